/* viking-cert-job: one job, one answer; or one of the two programs that an order is made of. */
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "job.h"
#include "worker.h"

static const struct {
	const char *word;
	int (*job)(const json_t *job, json_t **ret, struct vk_err *err);
	int (*program)(int argc, char **argv);
} words[] = {
	{"check", job_check, NULL},
	{"order", job_order, NULL},
	{"run", NULL, confined_main},
	{"begin", NULL, hook_main},
	{"done", NULL, hook_main},
	{"failed", NULL, hook_main},
};

static int read_job(json_t **ret, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(JOB_INPUT_MAX);
	int rc = vk_fs_read_fd(STDIN_FILENO, &text, err);
	return rc == 0 ? vk_json_parse(vk_buf_str(&text), text.len, ret, err) : rc;
}

static int answer_job(int (*run)(const json_t *, json_t **, struct vk_err *))
{
	struct vk_err err = {0};
	vk_autojson *job = NULL, *answer = NULL;
	if (read_job(&job, &err) != 0 || run(job, &answer, &err) != 0)
		answer = worker_failure(&err);
	vk_autofree char *text = vk_json_text(answer);
	return vk_write_all(STDOUT_FILENO, text, strlen(text), &err) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	vk_log_init("cert-job");
	for (size_t i = 0; argc > 1 && i < VK_COUNT(words); i++)
		if (vk_streq(argv[1], words[i].word))
			return words[i].job != NULL ? answer_job(words[i].job)
						    : words[i].program(argc, argv);
	return 2;
}
