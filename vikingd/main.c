/* vikingd: checks the configuration, makes what must exist, then supervises until SIGTERM. */
#include <signal.h>
#include <sys/socket.h>
#include <viking/config.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/log.h>
#include <viking/loop.h>
#include <viking/str.h>

#include "buildlimits.h"
#include "layout.h"
#include "supervisor.h"

static const char usage[] =
	"usage: vikingd [--config FILE] [--root DIR] [--check]\n"
	"  --check   validate the configuration, print the effective values, start nothing\n";

static int fail(const struct vk_err *err)
{
	fprintf(stderr, "vikingd: %s\n", err->msg);
	if (err->hint[0] != '\0')
		fprintf(stderr, "vikingd: try: %s\n", err->hint);
	return vk_err_exit(err->code);
}

static void on_stop(void *arg, int signo)
{
	vk_log(VK_INFO, "stopping", "signal=%d", signo);
	supervisor_stop(arg);
}

static void on_reload(void *arg, int signo)
{
	(void)signo;
	supervisor_reload(arg);
}

/* The engine may come later (the agent keeps trying), but a person starting vikingd should be told. */
static void report_engine(const struct vk_config *c)
{
	struct vk_err err = {0};
	vk_autoclose int fd = -1;
	if (vk_connect_unix(c->engine_socket, &fd, &err) == 0)
		return;
	vk_log(VK_ERROR, "no-engine", "socket=%s try=\"%s\"", c->engine_socket,
		"sudo apt-get install docker.io && sudo systemctl start docker (without systemd: "
		"sudo dockerd)");
}

static int serve(const struct vk_config *c, const char *config_file, struct vk_err *err)
{
	struct vk_loop *loop = NULL;
	struct supervisor *s = NULL;
	int r = vk_loop_new(&loop, err);
	if (r == 0)
		r = supervisor_new(loop, c, config_file, &s, err);
	if (r < 0) {
		vk_loop_free(loop);
		return r;
	}
	struct vk_signal *term = vk_signal_new(loop, SIGTERM, on_stop, s);
	struct vk_signal *intr = vk_signal_new(loop, SIGINT, on_stop, s);
	struct vk_signal *hup = vk_signal_new(loop, SIGHUP, on_reload, s);
	report_engine(c);
	/* A second vikingd under --root must not change the limits of the first one's builds. */
	struct buildlimits *limits = c->root == NULL ? buildlimits_new(loop, c) : NULL;
	supervisor_start(s);
	r = vk_loop_run(loop);
	buildlimits_free(limits);
	vk_signal_free(term);
	vk_signal_free(intr);
	vk_signal_free(hup);
	supervisor_free(s);
	vk_loop_free(loop);
	return r;
}

/* For people and scripts without systemd; the lock, not this file, keeps a second vikingd out. */
static int write_pid(const char *path, struct vk_err *err)
{
	vk_autofree char *text = vk_asprintf("%d\n", (int)getpid());
	return vk_fs_write_atomic(path, text, strlen(text), 0644, err);
}

static int prepare_and_serve(const struct vk_config *c, const char *config_file, struct vk_err *err)
{
	vk_autofree char *pid = vk_run_path(c, "vikingd.pid"), *api = vk_run_path(c, "api.sock");
	vk_autoclose int lock = -1;
	int r = layout_users(c, err);
	if (r == 0)
		r = layout_directories(c, err);
	if (r < 0)
		return r;
	vk_autofree char *path = vk_state_path(c, "vikingd.lock");
	r = vk_fs_lock(path, &lock, err);
	if (r < 0) {
		vk_err_wrap(err, "another vikingd runs on %s", c->state_dir);
		return vk_err_hint(err, "vikingd --root DIR for a second one beside it");
	}
	r = layout_registry(c, err);
	if (r == 0)
		r = write_pid(pid, err);
	if (r < 0)
		return r;
	r = serve(c, config_file, err);
	/* who asks now need not wait: nobody will come */
	unlink(api);
	unlink(pid);
	return r;
}

int main(int argc, char **argv)
{
	vk_log_init("vikingd");
	signal(SIGPIPE, SIG_IGN);
	const char *config_file = NULL;
	for (int i = 1; i + 1 < argc; i++)
		if (vk_streq(argv[i], "--config"))
			config_file = argv[i + 1];
	struct vk_config *c = NULL;
	struct vk_err err = {0};
	if (vk_config_from_argv(&argc, argv, &c, &err) < 0)
		return fail(&err);
	int status = 0;
	if (argc == 2 && vk_streq(argv[1], "--check")) {
		vk_config_print(c, false, stdout);
	} else if (argc == 2 && vk_streq(argv[1], "--version")) {
		printf("viking %s\n", VIKING_VERSION);
	} else if (argc > 1) {
		fputs(usage, vk_streq(argv[1], "--help") ? stdout : stderr);
		status = vk_streq(argv[1], "--help") ? 0 : vk_err_exit(VK_USAGE);
	} else if (prepare_and_serve(c, config_file, &err) < 0) {
		status = fail(&err);
	}
	vk_config_free(c);
	return status;
}
