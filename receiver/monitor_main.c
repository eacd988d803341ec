/* viking-monitor: the monitor of one SSH connection. Started by viking-receiver only. */
#include <signal.h>
#include <unistd.h>
#include <viking/log.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "monitor.h"
#include "rights.h"

static int read_words(int argc, char **argv, struct monitor_opts *o, struct vk_err *err)
{
	uint64_t session = 0, listener = 0;
	bool far =
		argc > 1 && vk_streq(argv[1], "far"); /* on standard input and output (inetd.h) */
	if (argc != 5 || (!far && vk_parse_u64(argv[1], 3, 1 << 20, &session) != 0) ||
		vk_parse_u64(argv[2], far ? 1 : 3, 1 << 20, &listener) != 0)
		return vk_err_set(err, VK_USAGE, "viking-monitor is started by viking-receiver");
	o->session = (int)session;
	o->far = far ? STDIN_FILENO : -1;
	o->listener = (int)listener;
	o->config_file = argv[3];
	o->addr = argv[4];
	return 0;
}

int main(int argc, char **argv)
{
	struct monitor_opts o = {0};
	struct vk_sandbox_report report;
	struct vk_err err = {0};
	vk_log_init("monitor");
	signal(SIGPIPE, SIG_IGN);
	int rc = vk_config_from_argv(&argc, argv, &o.config, &err);
	if (rc == 0)
		rc = read_words(argc, argv, &o, &err);
	vk_cloexec_from(3);
	if (rc == 0)
		rc = rights_take(o.config, o.config_file, RIGHTS_MONITOR, &report, &err);
	if (rc == 0)
		rc = monitor_run(&o, &err);
	if (rc != 0)
		vk_log_err(VK_ERROR, "monitor", &err);
	vk_config_free(o.config);
	return vk_err_exit(rc);
}
