/* Logs: a stream of the agent's passed on line by line, read no faster than the client reads. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "dial.h"
#include "pick.h"

#define LINE_MAX_BYTES ((size_t)1 << 20) /* of one line of the agent's stream */
#define QUEUE_MAX      ((size_t)4 << 20)
#define QUEUE_FULL     ((size_t)256 << 10) /* above this the agent is not read */
#define SILENCE_MS     30000               /* the agent says that it lives every 5 s */

struct logs {
	struct call *c;   /* until the agent's answer begins */
	struct vk_req *r; /* from then on, the client's stream */
	struct dial *dial;
	int status;
	struct vk_buf in; /* a line that is not complete; or the body of a refusal */
};

static void logs_free(struct logs *l)
{
	dial_free(l->dial);
	vk_buf_release(&l->in);
	free(l);
}

static void fail_call(struct logs *l, const struct vk_err *err)
{
	struct call *c = l->c;
	logs_free(l);
	if (c->r != NULL)
		vk_req_on_closed(c->r, NULL, NULL);
	call_error(c, err);
}

/* Cut off or broken off: the client is told in the last line. */
static void fail_stream(struct logs *l, const struct vk_err *err)
{
	struct vk_req *r = l->r;
	vk_req_line(r,
		json_pack("{s:{s:b,s:s,s:o,s:s}}", "end", "ok", 0, "error", vk_err_name(err->code),
			"message", vk_json_safe_string(err->msg, strlen(err->msg)), "hint",
			err->hint));
	logs_free(l);
	vk_req_end(r);
}

/* ---- the client ---- */

static void on_client_early(void *arg, struct vk_req *r)
{
	struct logs *l = arg;
	struct vk_err err = {0};
	(void)r;
	vk_err_set(&err, VK_CANCELLED, "the client went away");
	l->c->r = NULL;
	fail_call(l, &err);
}

static void on_client_gone(void *arg, struct vk_req *r)
{
	(void)r;
	logs_free(arg);
}

static void on_drained(void *arg)
{
	struct logs *l = arg;
	dial_pause(l->dial, false);
}

/* ---- the agent ---- */

static void on_head(void *arg, int status, const char *type)
{
	struct logs *l = arg;
	(void)type;
	l->status = status;
	if (status != 200)
		return;
	l->r = call_take(VK_TAKE(l->c));
	vk_req_stream(l->r, 200, NULL, QUEUE_MAX, on_client_gone, l);
	vk_req_on_drained(l->r, on_drained, l);
}

/* Whole lines only: the server puts keep-alive lines between them. */
static void pass_on(struct logs *l)
{
	const char *last = l->in.len > 0 ? memrchr(l->in.data, '\n', l->in.len) : NULL;
	if (last == NULL)
		return;
	size_t n = (size_t)(last - l->in.data) + 1;
	vk_req_write(l->r, l->in.data, n);
	vk_buf_consume(&l->in, n);
	if (vk_req_queued(l->r) > QUEUE_FULL)
		dial_pause(l->dial, true);
}

static void on_body(void *arg, const void *p, size_t n)
{
	struct logs *l = arg;
	if (vk_buf_add(&l->in, p, n) != 0)
		vk_buf_clear(&l->in); /* no line of ours is as long: drop it, the next ones count */
	if (l->r != NULL)
		pass_on(l);
}

static void on_end(void *arg, const struct vk_err *failure)
{
	struct logs *l = arg;
	struct vk_err err = {0};
	if (l->r == NULL) {
		if (failure != NULL)
			err = *failure;
		else
			dial_refusal(l->status, vk_buf_str(&l->in), l->in.len, &err);
		fail_call(l, &err);
		return;
	}
	if (failure != NULL) {
		fail_stream(l, failure);
		return;
	}
	struct vk_req *r = l->r;
	logs_free(l);
	vk_req_end(r);
}

static const struct dial_events events = {.head = on_head, .body = on_body, .end = on_end};

/* ---- the request ---- */

static int number_of(
	struct call *c, const char *name, uint64_t max, struct vk_buf *path, struct vk_err *err)
{
	const char *text = vk_req_query(c->r, name);
	uint64_t n;
	if (text == NULL || text[0] == '\0')
		return 0;
	if (vk_parse_u64(text, 0, max, &n) != 0)
		return vk_err_set(err, VK_INVALID, "%s must be a number up to %llu", name,
			(unsigned long long)max);
	return vk_buf_addf(path, "&%s=%llu", name, (unsigned long long)n);
}

static int logs_path(struct call *c, struct vk_buf *path, struct vk_err *err)
{
	const char *node = vk_req_query(c->r, "node"), *follow = vk_req_query(c->r, "follow");
	const struct stack *sk = call_stack(c, err);
	int rc = sk == NULL ? err->code : vk_buf_addf(path, "/logs?stack=%s", c->stack);
	if (rc == 0 && node != NULL && node[0] != '\0') {
		rc = vk_node_name(node, err);
		if (rc == 0)
			rc = pick_known(sk, node, err);
		if (rc == 0)
			rc = vk_buf_addf(path, "&node=%s", node);
	}
	if (rc == 0)
		rc = number_of(c, "n", 10000, path, err);
	if (rc == 0)
		rc = number_of(c, "since", INT64_MAX, path, err);
	if (rc == 0 && follow != NULL && strcmp(follow, "0") != 0)
		rc = vk_buf_adds(path, "&follow=1");
	return rc;
}

void api_logs(struct call *c)
{
	struct vk_err err = {0};
	vk_autobuf path = VK_BUF_INIT(1024);
	if (logs_path(c, &path, &err) != 0) {
		call_error(c, &err);
		return;
	}
	vk_autofree char *socket = vk_run_path(c->s->cfg, "agent.sock");
	struct logs *l = vk_alloc(sizeof(*l));
	l->c = c;
	vk_buf_init(&l->in, LINE_MAX_BYTES);
	vk_req_on_closed(c->r, on_client_early, l);
	l->dial = dial_new(
		c->s->loop, socket, "GET", vk_buf_str(&path), NULL, SILENCE_MS, &events, l);
}
