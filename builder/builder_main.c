/* viking-builder: runs the builds that the scheduler wants. See README.md. */
#include <signal.h>
#include <viking/config.h>
#include <viking/log.h>
#include <viking/loop.h>
#include <viking/mem.h>
#include <viking/ready.h>
#include <viking/sandbox.h>

#include "dispatch.h"

#define FILES_MAX 1024

static void on_stop(void *arg, int signo)
{
	(void)signo;
	vk_loop_stop(arg, 0);
}

static int serve(const struct vk_config *c, char *const *argv, struct vk_err *err)
{
	struct vk_sandbox s = {
		.seccomp = VK_SECCOMP_SPAWN, .limit_nofile = FILES_MAX, .mode = c->sandbox};
	struct vk_sandbox_report confined = {0};
	struct vk_loop *l;
	int ready = vk_ready_fd();
	int code = vk_sandbox_enter(&s, &confined, err);
	if (code == 0)
		code = vk_loop_new(&l, err);
	if (code != 0)
		return code;
	struct vk_signal *term = vk_signal_new(l, SIGTERM, on_stop, l),
			 *intr = vk_signal_new(l, SIGINT, on_stop, l);
	struct dispatch *d = dispatch_new(l, c, argv);
	vk_ready(ready, &confined);
	code = vk_loop_run(l);
	dispatch_free(d);
	vk_signal_free(term);
	vk_signal_free(intr);
	vk_loop_free(l);
	return code;
}

int main(int argc, char **argv)
{
	struct vk_err err = {0};
	struct vk_config *c = NULL;
	vk_autostrv own = {
		0}; /* the arguments as they came: the configuration takes its own out of argv */
	for (int i = 0; i < argc; i++)
		vk_strv_add(&own, argv[i]);
	vk_log_init("viking-builder");
	signal(SIGPIPE, SIG_IGN);
	int code = vk_config_from_argv(&argc, argv, &c, &err);
	if (code == 0 && argc > 1)
		code = vk_err_set(&err, VK_USAGE, "viking-builder takes no words");
	if (code == 0)
		code = serve(c, own.v, &err);
	if (code < 0)
		vk_log_err(VK_ERROR, "start", &err);
	vk_config_free(c);
	return code < 0 ? vk_err_exit(code) : code;
}
