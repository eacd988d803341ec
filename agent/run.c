/* A container of its own for one command: create (pull if absent), 101, attach, start, status, remove. */
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "ifaddr.h"
#include "killer.h"
#include "net.h"
#include "policy.h"
#include "session.h"
#include "spec.h"

static void create(struct session *s);

static void on_removed(void *arg, const struct vk_err *err, json_t *answer)
{
	struct session *s = arg;
	(void)answer;
	s->op = NULL;
	if (err->code == 0 || err->code == VK_NOTFOUND)
		s->container[0] = '\0'; /* else the cleanup tries once more */
	if (s->failure.code != 0)
		session_fail(s, &s->failure);
	else
		session_status(s, s->status);
}

/* Who is told the end finds nothing of the container any more. */
static void leave(struct session *s)
{
	vk_autofree char *path = vk_asprintf("/containers/%s?force=1&v=1", s->container);
	s->op = vk_engine_call_async(
		s->a->engine, "DELETE", path, NULL, 2 * AGENT_CALL_MS, on_removed, s);
}

static void fail(struct session *s, const struct vk_err *err)
{
	s->failure = *err;
	leave(s);
}

static void on_status(void *arg, const struct vk_err *err, json_t *answer)
{
	struct session *s = arg;
	s->op = NULL;
	if (err->code != 0) {
		fail(s, err);
		return;
	}
	s->status = (int)vk_json_int(answer, "StatusCode", 255);
	leave(s);
}

static void run_ended(struct session *s)
{
	vk_autofree char *path = vk_asprintf("/containers/%s/wait", s->container);
	if (!s->live || s->op != NULL)
		return; /* the end of the start tells */
	s->op = vk_engine_call_async(s->a->engine, "POST", path, NULL, AGENT_CALL_MS, on_status, s);
}

static void run_resize(struct session *s)
{
	vk_autofree char *path =
		vk_asprintf("/containers/%s/resize?h=%u&w=%u", s->container, s->rows, s->cols);
	vk_engine_call_async(s->a->engine, "POST", path, NULL, AGENT_CALL_MS, NULL, NULL);
}

static void on_started(void *arg, const struct vk_err *err, json_t *answer)
{
	struct session *s = arg;
	(void)answer;
	s->op = NULL;
	if (err->code != 0) {
		fail(s, err);
		return;
	}
	s->live = true;
	if (s->tty && s->rows > 0)
		run_resize(s);
	if (s->engine_ended)
		run_ended(s);
}

static void on_attached(void *arg, const struct vk_err *err, int fd, const void *early, size_t n)
{
	struct session *s = arg;
	s->hijack = NULL;
	if (err->code != 0) {
		fail(s, err);
		return;
	}
	vk_autofree char *path = vk_asprintf("/containers/%s/start", s->container);
	s->op = vk_engine_call_async(
		s->a->engine, "POST", path, NULL, 2 * AGENT_CALL_MS, on_started, s);
	session_attach(s, fd, early, n);
}

static void run_connected(struct session *s)
{
	vk_autofree char *path = vk_asprintf(
		"/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1", s->container);
	s->hijack = hijack_start(
		s->a->loop, s->a->config->engine_socket, path, NULL, AGENT_CALL_MS, on_attached, s);
}

static void run_signal(struct session *s, const char *name)
{
	int signo = killer_number(name);
	vk_autofree char *path = vk_asprintf("/containers/%s/kill?signal=%d", s->container, signo);
	if (signo != 0)
		vk_engine_call_async(s->a->engine, "POST", path, NULL, AGENT_CALL_MS, NULL, NULL);
}

static void run_abandoned(struct session *s)
{
	(void)s; /* removal kills */
}

/* If the engine does not take this, the next listing finds a container without a session. */
static void run_cleanup(struct session *s)
{
	if (s->container[0] == '\0')
		return;
	vk_autofree char *path = vk_asprintf("/containers/%s?force=1&v=1", s->container);
	vk_engine_call_async(s->a->engine, "DELETE", path, NULL, 2 * AGENT_CALL_MS, NULL, NULL);
}

static const struct session_ops run_ops = {
	.connected = run_connected,
	.resize = run_resize,
	.signal = run_signal,
	.ended = run_ended,
	.abandoned = run_abandoned,
	.cleanup = run_cleanup,
};

static void on_pulled(void *arg, const struct vk_err *err)
{
	struct session *s = arg;
	s->pull = NULL;
	if (err->code != 0)
		session_fail(s, err);
	else
		create(s);
}

static void on_created(void *arg, const struct vk_err *err, json_t *answer)
{
	struct session *s = arg;
	s->op = NULL;
	if (err->code == VK_NOTFOUND && !s->pulled) {
		s->pulled = true;
		s->pull = images_pull(s->a->images, s->spec.image, on_pulled, s);
		return;
	}
	if (err->code != 0) {
		session_fail(s, err);
		return;
	}
	snprintf(s->container, sizeof(s->container), "%s", vk_json_str(answer, "Id", ""));
	session_upgrade(s);
}

static void create(struct session *s)
{
	const struct spec_run run = {.tty = s->tty, .rows = s->rows, .cols = s->cols};
	vk_autojson *env = ifaddr_env(s->spec.env);
	vk_autojson *body = spec_create(s->a->config, s->a->root, &s->spec, env, &run);
	vk_autofree char *path = vk_asprintf("/containers/create?name=%s", s->spec.name);
	s->op = vk_engine_call_async(
		s->a->engine, "POST", path, body, AGENT_CALL_MS, on_created, s);
}

struct run_request {
	json_t *run;
	bool tty;
	uint64_t rows, cols;
};
#define FIELD(type, member, needed, hi) \
	{ \
#member, type, offsetof(struct run_request, member), needed, 0, hi \
	}
static const struct vk_field fields[] = {FIELD(VK_F_OBJECT, run, true, 0),
	FIELD(VK_F_BOOL, tty, false, 0), FIELD(VK_F_U64, rows, false, 65535),
	FIELD(VK_F_U64, cols, false, 65535), {0}};

static int check(struct agent *a, const struct desired_instance *in, struct vk_err *err)
{
	int e = policy_check(a->config, in, err);
	if (e == 0)
		e = ifaddr_check(in->env, err);
	if (e < 0)
		return e;
	if (json_array_size(in->publish) > 0)
		return vk_err_set(err, VK_INVALID, "a run container publishes no ports");
	if (nets_ready(a->nets, in, err))
		return 0;
	return err->code != 0
		? err->code
		: vk_err_set(err, VK_UNAVAILABLE, "the network of the stack is still being made");
}

void session_run(struct agent *a, struct session **list, struct vk_req *r, const json_t *body)
{
	struct run_request q = {0};
	struct desired_instance in = {0};
	struct vk_err err = {0};
	int e = vk_json_fields(body, fields, &q, &err);
	if (e == 0)
		e = desired_instance_parse(q.run, &in, &err);
	if (e == 0)
		e = check(a, &in, &err);
	vk_fields_release(fields, &q);
	if (e < 0) {
		desired_instance_release(&in);
		vk_req_error(r, &err);
		return;
	}
	struct session *s = session_new(a, list, &run_ops, r);
	s->run = true;
	s->tty = q.tty;
	s->rows = (unsigned)q.rows;
	s->cols = (unsigned)q.cols;
	s->spec = in;
	s->has_spec = true;
	create(s);
}
