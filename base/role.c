#include <viking/role.h>

#include <signal.h>
#include <viking/log.h>
#include <viking/ready.h>
#include <viking/str.h>

struct vk_role_watch {
	struct vk_role_watch *next;
	const char *path;
	struct vk_api_watch *watch;
	vk_api_watch_line_fn *fn;
	void *arg;
};

/* ---- the scheduler ---- */

static void on_line(void *arg, json_t *line)
{
	const struct vk_role_watch *w = arg;
	w->fn(w->arg, line);
}

static void on_state(void *arg, bool connected, const struct vk_err *err)
{
	const struct vk_role_watch *w = arg;
	if (connected)
		vk_log(VK_INFO, "api-connected", "path=%s", w->path);
	else
		vk_log_err(VK_WARN, "api-lost", err);
}

struct vk_role_watch *vk_role_watch(
	struct vk_role *r, const char *path, vk_api_watch_line_fn *fn, void *arg)
{
	struct vk_role_watch *w = vk_alloc(sizeof(*w));
	*w = (struct vk_role_watch){.next = r->watches, .path = path, .fn = fn, .arg = arg};
	r->watches = w;
	w->watch = vk_api_watch_new(r->l, &r->api, path, on_line, on_state, w);
	return w;
}

void vk_role_watch_anew(struct vk_role_watch *w)
{
	vk_api_watch_anew(w->watch);
}

static void on_reported(void *arg, const struct vk_err *err, const json_t *answer)
{
	(void)arg;
	(void)answer;
	if (err->code != 0)
		vk_log_err(VK_WARN, "report-refused", err);
}

void vk_role_report(struct vk_role *r, const char *path, const json_t *body)
{
	vk_api_queue_add(r->queue, "POST", path, body, on_reported, r);
}

/* ---- life ---- */

int vk_role_confine(const struct vk_role_ops *o, const struct vk_config *c,
	struct vk_sandbox_report *ret, struct vk_err *err)
{
	struct vk_role_rights r = {0};
	o->rights(c, &r);
	vk_strv_take(&r.read, vk_run_path(c, "api.sock"));
	const struct vk_sandbox s = {.read_paths = (const char *const *)r.read.v,
		.write_paths = (const char *const *)r.write.v,
		.exec_paths = (const char *const *)r.exec.v,
		.use_landlock = !r.any_file,
		.seccomp = r.seccomp,
		.keep_caps = r.keep_caps,
		.limit_nofile = r.limit_nofile,
		.mode = c->sandbox};
	int rc = vk_sandbox_enter(&s, ret, err);
	vk_strv_release(&r.read);
	vk_strv_release(&r.write);
	vk_strv_release(&r.exec);
	return rc;
}

static void on_signal(void *arg, int signo)
{
	vk_log(VK_INFO, "stopping", "signal=%d", signo);
	vk_loop_stop(arg, 0);
}

static int until_signal(struct vk_role *r, int ready, const struct vk_sandbox_report *report)
{
	char text[320];
	struct vk_signal *term = vk_signal_new(r->l, SIGTERM, on_signal, r->l);
	struct vk_signal *intr = vk_signal_new(r->l, SIGINT, on_signal, r->l);
	vk_sandbox_describe(report, text);
	vk_log(VK_INFO, "serving", "sandbox=\"%s\"", text);
	vk_ready(ready, report);
	int rc = vk_loop_run(r->l);
	vk_signal_free(term);
	vk_signal_free(intr);
	return rc;
}

static void stop(struct vk_role *r, const struct vk_role_ops *o)
{
	for (struct vk_role_watch *w = r->watches, *next; w != NULL; w = next) {
		next = w->next;
		vk_api_watch_free(w->watch);
		free(w);
	}
	o->free(r->self);
	vk_api_queue_free(r->queue);
}

static int serve(struct vk_role *r, const struct vk_role_ops *o, struct vk_err *err)
{
	struct vk_sandbox_report report = {0};
	vk_autofree char *socket = vk_run_path(r->c, "api.sock");
	int ready = vk_ready_fd();
	r->api = (struct vk_api_opts){.socket = socket, .role = o->name, .token = ""};
	int rc = o->open != NULL ? o->open(r, err) : 0;
	if (rc == 0)
		rc = vk_role_confine(o, r->c, &report, err);
	if (rc == 0) {
		r->queue = vk_api_queue_new(r->l, &r->api);
		rc = o->start(r, err);
	}
	if (rc == 0)
		rc = until_signal(r, ready, &report);
	stop(r, o);
	return rc;
}

int vk_role_main(const struct vk_role_ops *o, int argc, char **argv)
{
	struct vk_config *c = NULL;
	struct vk_loop *l = NULL;
	struct vk_err err = {0};
	vk_autostrv words = {0};
	for (int i = 0; i < argc; i++)
		vk_strv_add(&words, argv[i]);
	vk_log_init(o->name);
	signal(SIGPIPE, SIG_IGN);
	int rc = vk_config_from_argv(&argc, argv, &c, &err);
	if (rc == 0 && argc > 1)
		rc = vk_err_set(&err, VK_USAGE, "viking-%s takes no words", o->name);
	if (rc == 0)
		rc = vk_loop_new(&l, &err);
	if (rc == 0)
		rc = serve(&(struct vk_role){.c = c, .l = l, .argv = (const char *const *)words.v},
			o, &err);
	if (rc < 0)
		vk_log_err(VK_ERROR, "failed", &err);
	vk_loop_free(l);
	vk_config_free(c);
	return rc < 0 ? vk_err_exit(rc) : rc;
}
