/*
 * viking-job: does one job for viking-builder. `viking-job --config FILE --root DIR` reads the job from
 * stdin; `viking-job --relay` copies a tar from stdin to stdout and says by its exit status whether
 * it came whole; `viking-job --disk ...` is described in disk_watch.h.
 */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <viking/config.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "disk_watch.h"
#include "job.h"
#include "relay.h"

static int read_job(json_t **ret, struct vk_err *err)
{
	vk_autobuf b = VK_BUF_INIT(JOB_BYTES_MAX);
	int code = vk_fs_read_fd(STDIN_FILENO, &b, err);
	return code != 0 ? code : vk_json_parse_max(vk_buf_str(&b), b.len, JOB_BYTES_MAX, ret, err);
}

static int do_job(const struct vk_config *c)
{
	struct vk_err err = {0};
	struct job j = {0};
	json_t *done = NULL;
	vk_autojson *doc = NULL;
	int code = read_job(&doc, &err);
	if (code == 0)
		code = job_init(&j, doc, c, &err);
	if (code == 0)
		code = job_run(&j, &done, &err);
	buildlog_end(&j.log);
	job_emit_done(&j, done, &err);
	job_release(&j);
	return code == 0 ? 0 : vk_err_exit(code);
}

int main(int argc, char **argv)
{
	struct vk_err err = {0};
	struct vk_config *c = NULL;
	vk_log_init("viking-job");
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && vk_streq(argv[1], "--relay"))
		return relay_tar(STDIN_FILENO, STDOUT_FILENO, &err) == 0 ? 0 : 1;
	if (argc == 6 && vk_streq(argv[1], "--disk"))
		return disk_watch_run(argv + 2) == 0 ? 0 : 1;
	if (vk_config_from_argv(&argc, argv, &c, &err) != 0 || argc > 1) {
		vk_log(VK_ERROR, "usage", "why=\"%s\"",
			err.msg[0] != '\0' ? err.msg : "viking-job takes no words");
		return vk_err_exit(VK_USAGE);
	}
	int status = do_job(c);
	vk_config_free(c);
	return status;
}
