/* viking-cert-job: one mode, one answer. */
#include <stdio.h>
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
	const char *mode;
	int (*run)(const json_t *job, json_t **ret, struct vk_err *err);
} modes[] = {
	{"check", job_check},
};

static int run(const char *mode, json_t **ret, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(JOB_INPUT_MAX);
	vk_autojson *job = NULL;
	int rc = vk_fs_read_fd(STDIN_FILENO, &text, err);
	if (rc == 0)
		rc = vk_json_parse(vk_buf_str(&text), text.len, &job, err);
	for (size_t i = 0; rc == 0 && i < VK_COUNT(modes); i++)
		if (vk_streq(mode, modes[i].mode))
			return modes[i].run(job, ret, err);
	return rc != 0 ? rc : vk_err_set(err, VK_USAGE, "there is no job %.40s", mode);
}

int main(int argc, char **argv)
{
	struct vk_err err = {0};
	vk_autojson *answer = NULL;
	vk_log_init("cert-job");
	if (argc < 2)
		return 2;
	if (run(argv[1], &answer, &err) != 0)
		answer = worker_failure(&err);
	vk_autofree char *text = vk_json_text(answer);
	return vk_write_all(STDOUT_FILENO, text, strlen(text), &err) == 0 ? 0 : 1;
}
