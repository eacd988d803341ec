/* A process in a running container: exec create, 101, hijacked exec start, exit status. */
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "instance.h"
#include "killer.h"
#include "session.h"
#include "spec.h"

/*
 * The engine says in the process's own output, and with status 126 for everything, that it cannot start a command:
 * 'OCI runtime exec failed: ... exec: "x": executable file not found in $PATH: unknown'. A shell's user expects
 * that on stderr, and 127 for what does not exist. An output that begins like it is held back until the status tells
 * whether there ever was a process.
 */
#define REFUSAL "OCI runtime exec failed: "

static void pass_refusal(struct session *s)
{
	if (s->refusal[0] != '\0')
		session_put(s, 1, s->refusal, strlen(s->refusal));
	s->refusal[0] = '\0';
}

static bool exec_output(struct session *s, int stream, const void *p, size_t n)
{
	bool first = !s->spoke;
	s->spoke = true;
	pass_refusal(s);
	if (!first || stream != 1 || n >= sizeof(s->refusal) || n < strlen(REFUSAL) ||
		memcmp(p, REFUSAL, strlen(REFUSAL)) != 0 || memchr(p, '\0', n) != NULL)
		return false;
	memcpy(s->refusal, p, n);
	s->refusal[n] = '\0';
	return true;
}

int exec_refusal(const char *text, char *line, size_t size)
{
	const char *why = strstr(text, "exec: \"");
	why = why != NULL ? why + strlen("exec: ") : text;
	size_t n = strcspn(why, "\r\n");
	static const char end[] = ": unknown";
	if (n > strlen(end) && memcmp(why + n - strlen(end), end, strlen(end)) == 0)
		n -= strlen(end);
	char clean[900];
	vk_str_printable(why, n, clean, sizeof(clean) - 1);
	snprintf(line, size, "viking: cannot run %s", clean);
	bool missing = strstr(why, "not found") != NULL || strstr(why, "no such file") != NULL;
	return missing ? 127 : 126;
}

static void on_status(void *arg, const struct vk_err *err, json_t *answer)
{
	struct session *s = arg;
	char line[1024];
	int status = (int)vk_json_int(answer, "ExitCode", 255);
	s->op = NULL;
	if (err->code != 0) {
		session_fail(s, err);
		return;
	}
	if (status == 126 && s->refusal[0] != '\0' && vk_json_int(answer, "Pid", 0) == 0) {
		status = exec_refusal(s->refusal, line, sizeof(line) - 2);
		memcpy(line + strlen(line), "\r\n", 3);
		session_put(s, 2, line, strlen(line));
		s->refusal[0] = '\0';
	}
	pass_refusal(s);
	session_status(s, status);
}

static void exec_ended(struct session *s)
{
	vk_autofree char *path = vk_asprintf("/exec/%s/json", s->exec);
	s->op = vk_engine_call_async(s->a->engine, "GET", path, NULL, AGENT_CALL_MS, on_status, s);
}

static void exec_resize(struct session *s)
{
	vk_autofree char *path =
		vk_asprintf("/exec/%s/resize?h=%u&w=%u", s->exec, s->rows, s->cols);
	vk_engine_call_async(s->a->engine, "POST", path, NULL, AGENT_CALL_MS, NULL, NULL);
}

static void on_started(void *arg, const struct vk_err *err, int fd, const void *early, size_t n)
{
	struct session *s = arg;
	s->hijack = NULL;
	if (err->code != 0) {
		session_fail(s, err);
		return;
	}
	s->live = true;
	if (s->tty && s->rows > 0)
		exec_resize(s);
	session_attach(s, fd, early, n);
}

static void exec_connected(struct session *s)
{
	vk_autofree char *path = vk_asprintf("/exec/%s/start", s->exec);
	vk_autojson *body = json_pack("{s:b,s:b}", "Detach", 0, "Tty", (int)s->tty);
	s->hijack = hijack_start(
		s->a->loop, s->a->config->engine_socket, path, body, AGENT_CALL_MS, on_started, s);
}

static void exec_signal(struct session *s, const char *name)
{
	killer_exec(s->a, s->container, s->exec, name);
}

static void exec_abandoned(struct session *s)
{
	killer_exec(s->a, s->container, s->exec, "KILL");
}

static void exec_cleanup(struct session *s)
{
	(void)s;
}

static const struct session_ops exec_ops = {
	.connected = exec_connected,
	.resize = exec_resize,
	.signal = exec_signal,
	.output = exec_output,
	.ended = exec_ended,
	.abandoned = exec_abandoned,
	.cleanup = exec_cleanup,
};

static void on_created(void *arg, const struct vk_err *err, json_t *answer)
{
	struct session *s = arg;
	s->op = NULL;
	if (err->code != 0) {
		session_fail(s, err);
		return;
	}
	snprintf(s->exec, sizeof(s->exec), "%s", vk_json_str(answer, "Id", ""));
	session_upgrade(s);
}

struct exec_request {
	char *instance;
	json_t *cmd, *env;
	bool tty;
	uint64_t rows, cols;
};
#define FIELD(type, member, needed, hi) \
	{ \
#member, type, offsetof(struct exec_request, member), needed, 0, hi \
	}
static const struct vk_field fields[] = {FIELD(VK_F_STR, instance, true, 159),
	FIELD(VK_F_ARRAY, cmd, true, 0), FIELD(VK_F_OBJECT, env, false, 0),
	FIELD(VK_F_BOOL, tty, false, 0), FIELD(VK_F_U64, rows, false, 65535),
	FIELD(VK_F_U64, cols, false, 65535), {0}};

static bool all_strings(json_t *env)
{
	const char *key;
	json_t *v;
	json_object_foreach(env, key, v) if (!json_is_string(v)) return false;
	return true;
}

static int check(
	struct agent *a, const struct exec_request *q, const struct inst **ret, struct vk_err *err)
{
	const struct inst *i = inst_find(a, q->instance);
	if (json_array_size(q->cmd) == 0 || !all_strings(q->env))
		return vk_err_set(err, VK_INVALID, "exec needs a command, and strings in env");
	if (i == NULL)
		return vk_err_set(err, VK_NOTFOUND, "no instance %s on this host", q->instance);
	if (i->phase != PHASE_UP || i->dead)
		return vk_err_set(err, VK_CONFLICT, "instance %s is not running (%s)", q->instance,
			inst_state(i));
	*ret = i;
	return 0;
}

void session_exec(struct agent *a, struct session **list, struct vk_req *r, const json_t *body)
{
	struct exec_request q = {0};
	struct vk_err err = {0};
	const struct inst *i = NULL;
	int e = vk_json_fields(body, fields, &q, &err);
	if (e == 0)
		e = check(a, &q, &i, &err);
	if (e < 0) {
		vk_fields_release(fields, &q);
		vk_req_error(r, &err);
		return;
	}
	struct session *s = session_new(a, list, &exec_ops, r);
	s->tty = q.tty;
	s->rows = (unsigned)q.rows;
	s->cols = (unsigned)q.cols;
	snprintf(s->container, sizeof(s->container), "%s", i->id);
	vk_autojson *ask = json_pack("{s:b,s:b,s:b,s:b,s:O,s:o}", "AttachStdin", 1, "AttachStdout",
		1, "AttachStderr", 1, "Tty", (int)q.tty, "Cmd", q.cmd, "Env", spec_env(q.env));
	vk_autofree char *path = vk_asprintf("/containers/%s/exec", i->id);
	s->op = vk_engine_call_async(a->engine, "POST", path, ask, AGENT_CALL_MS, on_created, s);
	vk_fields_release(fields, &q);
}
