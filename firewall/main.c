/* viking-firewall: keeps containers to their stack, their links and the outside. */
#include <signal.h>
#include <viking/config.h>
#include <viking/log.h>
#include <viking/loop.h>
#include <viking/ready.h>
#include <viking/sandbox.h>

#include "firewall.h"

static void on_signal(void *arg, int signo)
{
	(void)signo;
	vk_loop_stop(arg, 0);
}

static int serve(const struct vk_config *c, struct vk_loop *l, struct vk_err *err)
{
	struct firewall *f = NULL;
	struct vk_sandbox_report report = {0};
	int ready = vk_ready_fd();
	int rc = firewall_new(l, c, &f, err);
	if (rc == 0)
		rc = firewall_confine(c, &report, err);
	if (rc == 0) {
		char text[320];
		vk_sandbox_describe(&report, text);
		vk_log(VK_INFO, "serving", "sandbox=\"%s\"", text);
		struct vk_signal *term = vk_signal_new(l, SIGTERM, on_signal, l);
		struct vk_signal *intr = vk_signal_new(l, SIGINT, on_signal, l);
		firewall_start(f);
		vk_ready(ready, &report);
		rc = vk_loop_run(l);
		vk_signal_free(term);
		vk_signal_free(intr);
	}
	firewall_free(f);
	return rc;
}

int main(int argc, char **argv)
{
	struct vk_config *c = NULL;
	struct vk_loop *l = NULL;
	struct vk_err err = {0};
	vk_log_init("firewall");
	int rc = vk_config_from_argv(&argc, argv, &c, &err);
	if (rc == 0)
		rc = vk_loop_new(&l, &err);
	if (rc == 0)
		rc = serve(c, l, &err);
	if (rc < 0)
		vk_log_err(VK_ERROR, "failed", &err);
	vk_loop_free(l);
	vk_config_free(c);
	return rc < 0 ? vk_err_exit(rc) : rc;
}
