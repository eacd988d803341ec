/* Logs: the streams of all hosts' agents in one, in order of time as far as they come in time, read no faster than the client reads. */
#include <stdlib.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "dial.h"
#include "hosts.h"
#include "pick.h"

#define LINE_MAX_BYTES ((size_t)1 << 20) /* of one line of the agent's stream */
#define QUEUE_MAX      ((size_t)4 << 20)
#define QUEUE_FULL     ((size_t)256 << 10) /* above this the agent is not read */
#define HOLD_MS        400
#define SILENCE_MS     30000 /* the agent says that it lives every 5 s */

struct source {
	struct logs *l;
	char *host;
	struct dial *dial; /* NULL: it has said all */
	int status;
	struct vk_buf in; /* lines that wait for their turn; or the body of a refusal */
};

struct logs {
	struct call *c;   /* until the first answer begins */
	struct vk_req *r; /* from then on, the client's stream */
	struct source *source;
	size_t n;
	bool holding;
	struct vk_timer *hold; /* lines of one host wait so long for older ones of another */
};

static void logs_free(struct logs *l)
{
	for (size_t i = 0; i < l->n; i++) {
		dial_free(l->source[i].dial);
		vk_buf_release(&l->source[i].in);
		free(l->source[i].host);
	}
	vk_timer_free(l->hold);
	free(l->source);
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

/* ---- in order of time ---- */

/* Milliseconds of the first line; -1: no line is complete. One without a time is its host's end or sign of life. */
static int64_t first_time(const struct source *s, size_t *ret_n)
{
	const char *end = s->in.len > 0 ? memchr(s->in.data, '\n', s->in.len) : NULL;
	if (end == NULL || s->status != 200)
		return -1;
	*ret_n = (size_t)(end - s->in.data) + 1;
	const char *t = memmem(s->in.data, *ret_n, "\"t\":", 4);
	return t != NULL ? strtoll(t + 4, NULL, 10) : 0;
}

/* The one with the oldest line. *ret_all: each that is not at its end has one. */
static struct source *oldest(struct logs *l, bool *ret_all)
{
	struct source *first = NULL;
	int64_t least = -1;
	size_t n;
	*ret_all = true;
	for (size_t i = 0; i < l->n; i++) {
		int64_t t = first_time(&l->source[i], &n);
		*ret_all = *ret_all && (t >= 0 || l->source[i].dial == NULL);
		if (t >= 0 && (first == NULL || t < least)) {
			first = &l->source[i];
			least = t;
		}
	}
	return first;
}

static void write_first(struct logs *l, struct source *s)
{
	size_t n = 0;
	if (first_time(s, &n) > 0 || l->n == 1)
		vk_req_write(l->r, s->in.data, n);
	vk_buf_consume(&s->in, n);
}

static void read_on(struct logs *l)
{
	bool full = vk_req_queued(l->r) > QUEUE_FULL;
	for (size_t i = 0; i < l->n; i++)
		if (l->source[i].dial != NULL)
			dial_pause(l->source[i].dial, full || l->source[i].in.len > QUEUE_FULL);
}

/* late: what another host may still have to say of before is not waited for. l may be gone after it. */
static void merge(struct logs *l, bool late)
{
	bool all, ended = true;
	struct source *s;
	if (l->r == NULL)
		return;
	while ((s = oldest(l, &all)) != NULL && (all || late) && vk_req_queued(l->r) <= QUEUE_FULL)
		write_first(l, s);
	if (s == NULL || all || late)
		vk_timer_set(l->hold, -1);
	else if (!l->holding)
		vk_timer_set(l->hold, HOLD_MS);
	l->holding = s != NULL && !all && !late;
	for (size_t i = 0; i < l->n; i++)
		ended = ended && l->source[i].dial == NULL;
	if (!ended || s != NULL) {
		read_on(l);
		return;
	}
	struct vk_req *r = l->r;
	logs_free(l);
	vk_req_end(r);
}

static void on_hold_over(void *arg)
{
	struct logs *l = arg;
	l->holding = false;
	merge(l, true);
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
	merge(arg, false);
}

static void begin(struct logs *l)
{
	l->r = call_take(VK_TAKE(l->c));
	vk_req_stream(l->r, 200, NULL, QUEUE_MAX, on_client_gone, l);
	vk_req_on_drained(l->r, on_drained, l);
}

/* ---- the agents ---- */

static void on_head(void *arg, int status, const char *type)
{
	struct source *s = arg;
	(void)type;
	s->status = status;
	if (status == 200 && s->l->r == NULL)
		begin(s->l);
}

static void on_body(void *arg, const void *p, size_t n)
{
	struct source *s = arg;
	if (vk_buf_add(&s->in, p, n) != 0)
		vk_buf_clear(&s->in); /* no line of ours is as long: drop it, the next ones count */
	merge(s->l, false);
}

/* Of several the others go on; the client is told whose lines are missing. */
static void missing(struct logs *l, const char *host, const struct vk_err *err)
{
	if (l->r == NULL)
		begin(l);
	vk_req_line(l->r,
		json_pack("{s:s,s:o}", "away", host, "message",
			vk_json_safe_string(err->msg, strlen(err->msg))));
}

static void on_end(void *arg, const struct vk_err *failure)
{
	struct source *s = arg;
	struct logs *l = s->l;
	struct vk_err err = {0};
	if (failure != NULL)
		err = *failure;
	else if (s->status != 200)
		dial_refusal(s->status, vk_buf_str(&s->in), s->in.len, &err);
	dial_free(VK_TAKE(s->dial));
	if (err.code != 0 && l->n == 1) {
		if (l->r == NULL)
			fail_call(l, &err);
		else
			fail_stream(l, &err);
		return;
	}
	if (err.code != 0)
		missing(l, s->host, &err);
	merge(l, false);
}

static const struct dial_events events = {.head = on_head, .body = on_body, .end = on_end};

static void add_source(struct logs *l, const char *host)
{
	struct source *s = &l->source[l->n++];
	*s = (struct source){.l = l, .host = vk_strdup(host)};
	vk_buf_init(&s->in, LINE_MAX_BYTES);
}

/* Ours first, then those of the cluster: an instance may have been on any of them. */
static void open_all(struct logs *l, struct sched *s, const char *path)
{
	const struct host_row *row;
	l->source = vk_calloc(s->st.hosts.n + 1, sizeof(*l->source));
	add_source(l, s->cfg->host_name);
	table_each(&s->st.hosts, i, row) if (row->addr != NULL &&
		strcmp(row->name, s->cfg->host_name) != 0) add_source(l, row->name);
	for (size_t i = 0; i < l->n; i++) {
		vk_autofree char *socket = hosts_agent_socket(s, l->source[i].host);
		l->source[i].dial = dial_new(
			s->loop, socket, "GET", path, NULL, SILENCE_MS, &events, &l->source[i]);
	}
}

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
	struct logs *l = vk_alloc(sizeof(*l));
	*l = (struct logs){.c = c, .hold = vk_timer_new(c->s->loop, on_hold_over, l)};
	vk_req_on_closed(c->r, on_client_early, l);
	open_all(l, c->s, vk_buf_str(&path));
}
