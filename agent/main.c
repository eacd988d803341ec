/* viking-agent: makes this host's containers equal the desired set. */
#include <signal.h>
#include <viking/config.h>
#include <viking/log.h>
#include <viking/ready.h>
#include <viking/sandbox.h>

#include "agent.h"

static const char usage[] = "usage: viking-agent [--config FILE] [--root DIR]\n";

static int fail(const struct vk_err *err)
{
	fprintf(stderr, "viking-agent: %s\n", err->msg);
	if (err->hint[0] != '\0')
		fprintf(stderr, "viking-agent: try: %s\n", err->hint);
	return vk_err_exit(err->code);
}

/* A stop of the agent leaves the containers running. */
static void on_stop(void *arg, int signo)
{
	vk_log(VK_INFO, "stopping", "signal=%d", signo);
	vk_loop_stop(arg, 0);
}

/* The engine's socket is as good as root, so landlock would fence in little: what counts is that nothing is
 * executed here. */
static int confine(const struct vk_config *c, struct vk_sandbox_report *report, struct vk_err *err)
{
	const struct vk_sandbox s = {.seccomp = VK_SECCOMP_DAEMON, .mode = c->sandbox};
	return vk_sandbox_enter(&s, report, err);
}

static int serve(const struct vk_config *c, int ready, struct vk_err *err)
{
	struct vk_loop *loop = NULL;
	struct agent *agent = NULL;
	struct vk_sandbox_report report = {0};
	int r = confine(c, &report, err);
	if (r == 0)
		r = vk_loop_new(&loop, err);
	if (r == 0)
		r = agent_new(c, loop, &agent, err);
	if (r < 0) {
		vk_loop_free(loop);
		return r;
	}
	struct vk_signal *term = vk_signal_new(loop, SIGTERM, on_stop, loop);
	struct vk_signal *intr = vk_signal_new(loop, SIGINT, on_stop, loop);
	vk_ready(ready, &report);
	vk_log(VK_INFO, "serving", "root=%s", agent->root);
	r = vk_loop_run(loop);
	vk_signal_free(term);
	vk_signal_free(intr);
	agent_free(agent);
	vk_loop_free(loop);
	return r;
}

int main(int argc, char **argv)
{
	struct vk_config *c = NULL;
	struct vk_err err = {0};
	int ready = vk_ready_fd();
	vk_log_init("viking-agent");
	signal(SIGPIPE, SIG_IGN);
	int r = vk_config_from_argv(&argc, argv, &c, &err);
	if (r == 0 && argc > 1) {
		fputs(usage, stderr);
		vk_config_free(c);
		return vk_err_exit(VK_USAGE);
	}
	if (r == 0)
		r = serve(c, ready, &err);
	vk_config_free(c);
	return r < 0 ? fail(&err) : r;
}
