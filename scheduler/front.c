/* Other hosts: who they are, and requests that they are to answer. */
#include "front.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "dial.h"
#include "feed.h"
#include "lead.h"
#include "relay.h"

#define SILENCE_MS  60000  /* streams say that they live every 5 s */
#define UPGRADE_MS  600000 /* a container of its own may have to pull its image */
#define REQUEST_MAX ((size_t)4 << 20)
#define QUEUE_MAX   ((size_t)8 << 20)
#define QUEUE_FULL  ((size_t)256 << 10) /* above this the other host is not read */
#define EARLY_MAX   ((size_t)64 << 10)

/* ---- the table ---- */

json_t *front_table(const struct state *st, const char *own)
{
	const struct host_row *row, *self = table_get(&st->hosts, own);
	if (self == NULL || self->addr == NULL)
		return json_pack("{s:n}", "hosts");
	json_t *all = json_object();
	table_each(&st->hosts, i, row)
	{
		if (row == self || row->addr == NULL)
			continue;
		json_t *j =
			json_pack("{s:s,s:I}", "addr", row->addr, "port", (json_int_t)row->port);
		if (row->key != NULL)
			json_object_set_new(j, "key", json_string(row->key));
		json_object_set_new(all, row->name, j);
	}
	return json_pack("{s:o}", "hosts", all);
}

int front_check_member(const struct state *st, const char *own, struct vk_err *err)
{
	const struct host_row *row, *self = table_get(&st->hosts, own);
	bool cluster = false;
	table_each(&st->hosts, i, row) cluster = cluster || row->addr != NULL;
	if (!cluster || (self != NULL && self->addr != NULL))
		return 0;
	vk_err_set(err, VK_DENIED, "%s is not a host of this cluster (any more)", own);
	return vk_err_hint(err,
		"to join it again: apt-get purge viking, which takes its data, install it, viking "
		"join "
		"TOKEN");
}

void front_refresh(struct sched *s)
{
	feed_set(s->front, front_table(&s->st, s->cfg->host_name));
}

/* ---- forwarding ---- */

struct forward {
	struct forward *next, **at; /* in s->forwards */
	struct sched *s;
	struct vk_req *r; /* until it is answered or the client has gone */
	struct dial *dial;
	char *whom;
	bool begun, lines; /* the answer; it is JSON lines */
	int far;           /* from the other side's 101 on */
	struct vk_buf early;
};

/* From here on it lives and ends by itself. */
static void forward_leave(struct forward *f)
{
	if (f->at == NULL)
		return;
	*f->at = f->next;
	if (f->next != NULL)
		f->next->at = f->at;
	f->at = NULL;
}

static void forward_free(struct forward *f)
{
	forward_leave(f);
	dial_free(f->dial);
	vk_closep(&f->far);
	vk_buf_release(&f->early);
	free(f->whom);
	free(f);
}

static void on_client_gone(void *arg, struct vk_req *r)
{
	(void)r;
	forward_free(arg);
}

static void on_drained(void *arg)
{
	struct forward *f = arg;
	dial_pause(f->dial, false);
}

static void on_head(void *arg, int status, const char *type)
{
	struct forward *f = arg;
	f->begun = true;
	f->lines = type != NULL && vk_starts(type, "application/x-ndjson");
	vk_req_on_drained(f->r, on_drained, f);
	/* keep-alives of lines come from the other side: ours could fall into the middle of one of its lines */
	vk_req_stream(f->r, status, type != NULL && type[0] != '\0' ? type : "application/json",
		QUEUE_MAX, on_client_gone, f);
}

static void on_body(void *arg, const void *p, size_t n)
{
	struct forward *f = arg;
	vk_req_write(f->r, p, n);
	if (vk_req_queued(f->r) > QUEUE_FULL)
		dial_pause(f->dial, true);
}

/* Broken off in the middle: who reads lines is told in the last one. */
static void write_failure(struct vk_req *r, const struct vk_err *err)
{
	vk_req_write(r, "\n", 1);
	vk_req_line(r,
		json_pack("{s:{s:b,s:s,s:o,s:s}}", "end", "ok", 0, "error", vk_err_name(err->code),
			"message", vk_json_safe_string(err->msg, strlen(err->msg)), "hint",
			err->hint));
}

/* failure NULL: the answer is complete. */
static void forward_over(struct forward *f, const struct vk_err *failure)
{
	struct vk_req *r = f->r;
	bool begun = f->begun, lines = f->lines;
	vk_req_on_closed(r, NULL, NULL);
	vk_req_on_drained(r, NULL, NULL);
	forward_free(f);
	if (!begun && failure->code == VK_UNAVAILABLE && vk_streq(vk_req_method(r), "GET")) {
		vk_req_error_again(r, failure); /* may be done twice */
		return;
	}
	if (!begun) {
		vk_req_error(r, failure);
		return;
	}
	if (failure != NULL && lines)
		write_failure(r, failure);
	vk_req_end(r);
}

static void on_end(void *arg, const struct vk_err *failure)
{
	struct forward *f = arg;
	struct vk_err err = {0};
	if (failure == NULL || f->begun || failure->code == VK_TIMEOUT ||
		failure->code == VK_LIMIT) {
		forward_over(f, failure);
		return;
	}
	const struct vk_err *away = lead_away(f->s->lead);
	if (away != NULL) {
		vk_err_set(&err, VK_UNAVAILABLE,
			"nothing can be changed now: %s does not answer, nor the store: %s",
			f->whom, away->msg);
		vk_err_hint(&err,
			"applications and routes go on meanwhile; start the hosts that are off");
	} else {
		vk_err_set(&err, VK_UNAVAILABLE, "%s does not answer", f->whom);
		vk_err_hint(&err, "the same again, in a moment; viking leader");
	}
	forward_over(f, &err);
}

void front_end_all(struct sched *s, const struct vk_err *why)
{
	while (s->forwards != NULL)
		forward_over(s->forwards, why);
}

static void on_upgraded(void *arg, int fd, const void *early, size_t n)
{
	struct forward *f = arg;
	if (fd >= 0)
		relay_start(f->s->loop, fd, early, n, VK_TAKE_FD(f->far), vk_buf_str(&f->early),
			f->early.len);
	forward_free(f);
}

static void on_taken(void *arg, int fd, const void *early, size_t n)
{
	struct forward *f = arg;
	forward_leave(f);
	f->far = fd;
	(void)vk_buf_add(&f->early, early, n);
	vk_req_on_closed(f->r, NULL, NULL);
	vk_req_upgrade(VK_TAKE(f->r), "viking-frames", on_upgraded, f);
}

static const struct dial_events plain_events = {.head = on_head, .body = on_body, .end = on_end};
static const struct dial_events upgrade_events = {
	.head = on_head, .body = on_body, .end = on_end, .taken = on_taken};

/* Only what the API looks at; values come from a parsed head and hold no line ends. */
static void write_request(const struct vk_req *r, bool upgrade, struct vk_buf *out)
{
	static const char *const names[] = {"Viking-Role", "Authorization", "Content-Type"};
	const struct vk_buf *body = vk_req_body(r);
	vk_buf_addf(out, "%s ", vk_req_method(r));
	vk_req_target(r, out);
	vk_buf_adds(out, " HTTP/1.1\r\nHost: viking\r\n");
	for (size_t i = 0; i < VK_COUNT(names); i++)
		if (vk_req_header(r, names[i]) != NULL)
			vk_buf_addf(out, "%s: %s\r\n", names[i], vk_req_header(r, names[i]));
	if (upgrade)
		vk_buf_adds(out, "Connection: Upgrade\r\nUpgrade: viking-frames\r\n");
	vk_buf_addf(out, "Content-Length: %zu\r\n\r\n", body->len);
	if (vk_buf_add(out, vk_buf_str(body), body->len) != 0)
		vk_buf_clear(out);
}

struct dial *front_ask(struct sched *s, const struct vk_req *r, const char *host, const char *whom,
	const struct dial_events *ev, void *arg)
{
	vk_autofree char *socket = vk_run_path(s->cfg, "hosts/%s/api.sock", host);
	vk_autobuf request = VK_BUF_INIT(REQUEST_MAX);
	bool upgrade = ev->taken != NULL;
	write_request(r, upgrade, &request);
	struct dial *d = dial_raw(
		s->loop, socket, whom, &request, upgrade ? UPGRADE_MS : SILENCE_MS, ev, arg);
	if (request.len > 0)
		explicit_bzero(request.data, request.len);
	return d;
}

void front_forward(struct call *c, const char *host)
{
	struct sched *s = c->s;
	struct forward *f = vk_alloc(sizeof(*f));
	*f = (struct forward){.s = s, .r = call_take(c), .far = -1};
	f->next = s->forwards;
	f->at = &s->forwards;
	if (f->next != NULL)
		f->next->at = &f->next;
	s->forwards = f;
	f->whom = vk_asprintf("host %s", host);
	vk_buf_init(&f->early, EARLY_MAX);
	bool upgrade = vk_req_header(f->r, "Upgrade") != NULL;
	vk_req_on_closed(f->r, on_client_gone, f);
	f->dial = front_ask(s, f->r, host, f->whom, upgrade ? &upgrade_events : &plain_events, f);
}
