#include "logquery.h"

#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#define LINES_MAX     10000
#define LINES_DEFAULT 100
#define BYTES_MAX     (16u << 20) /* of the answer from the ring */
#define QUEUE_MAX     (32u << 20) /* a reader that falls behind further is cut off */
/* Lines of one container are in order, those of several as they were read: after a pause of the agent
 * one container's minute stands before another's. The search for a time goes on for so long. */
#define DISORDER_MS 600000

struct logquery {
	struct logqueries *set;
	struct logquery *next;
	struct vk_req *req;
	char *stack, *node; /* node NULL = all */
	char *needle;       /* what a raw line of the node must hold */
	uint64_t want;
	int64_t since_ms;
	bool follow;
	struct logscan *scan; /* NULL when the past is sent */
	struct vk_timer *slice;
	json_t *past; /* lines found, newest first */
	json_t *live; /* lines that came meanwhile */
	size_t bytes;
};

struct logqueries {
	struct vk_loop *loop;
	struct logset *logs;
	struct logquery *list;
};

static void query_free(struct logquery *q)
{
	for (struct logquery **at = &q->set->list; *at != NULL; at = &(*at)->next)
		if (*at == q) {
			*at = q->next;
			break;
		}
	logscan_free(q->scan);
	vk_timer_free(q->slice);
	json_decref(q->past);
	json_decref(q->live);
	free(q->stack);
	free(q->node);
	free(q->needle);
	free(q);
}

static json_t *shown(int64_t t, const char *instance, int stream, json_t *text)
{
	return json_pack(
		"{s:I,s:s,s:i,s:o}", "t", (json_int_t)t, "i", instance, "s", stream, "l", text);
}

static bool take_line(void *arg, const char *raw, size_t n)
{
	struct logquery *q = arg;
	vk_autojson *line = NULL;
	if (q->needle != NULL && memmem(raw, n, q->needle, strlen(q->needle)) == NULL)
		return false;
	if (vk_json_parse(raw, n, &line, NULL) < 0)
		return false;
	json_t *text = json_object_get(line, "l");
	int64_t t = vk_json_int(line, "t", 0);
	if (text == NULL)
		return false; /* a segment's head */
	if (t < q->since_ms)
		return t < q->since_ms - DISORDER_MS;
	json_array_append_new(q->past,
		shown(t, vk_json_str(line, "i", ""), (int)vk_json_int(line, "s", 1),
			json_incref(text)));
	q->bytes += n;
	return json_array_size(q->past) >= q->want || q->bytes > BYTES_MAX;
}

static void send_all(struct logquery *q)
{
	size_t i;
	json_t *line;
	for (size_t k = json_array_size(q->past); k > 0; k--)
		vk_req_line(q->req, json_incref(json_array_get(q->past, k - 1)));
	json_array_clear(q->past);
	json_array_foreach(q->live, i, line) vk_req_line(q->req, json_incref(line));
	json_array_clear(q->live);
}

static void on_slice(void *arg)
{
	struct logquery *q = arg;
	if (q->want > 0 && logscan_step(q->scan, take_line, q)) {
		vk_timer_set(q->slice, 0);
		return;
	}
	logscan_free(q->scan);
	q->scan = NULL;
	send_all(q);
	if (q->follow)
		return;
	struct vk_req *req = q->req;
	query_free(q);
	vk_req_line(req, json_pack("{s:{s:b}}", "end", "ok", 1));
	vk_req_end(req);
}

static void on_closed(void *arg, struct vk_req *r)
{
	(void)r;
	query_free(arg);
}

static void on_line(void *arg, const char *stack, const struct logline *l)
{
	struct logqueries *set = arg;
	for (struct logquery *q = set->list, *next; q != NULL; q = next) {
		next = q->next;
		if (!q->follow || !vk_streq(q->stack, stack) ||
			(q->node && !vk_streq(q->node, l->node)))
			continue;
		json_t *line = shown(l->time_ns / 1000000, l->instance, l->stream,
			vk_json_safe_string(l->text, l->len));
		if (q->scan != NULL)
			json_array_append_new(q->live, line);
		else
			vk_req_line(q->req, line);
	}
}

static int read_query(struct vk_req *r, struct logquery *q, struct vk_err *err)
{
	const char *stack = vk_req_query(r, "stack"), *node = vk_req_query(r, "node");
	const char *n = vk_req_query(r, "n"), *since = vk_req_query(r, "since");
	const char *follow = vk_req_query(r, "follow");
	uint64_t ms = 0;
	int e = vk_stack_name(stack != NULL ? stack : "", err);
	if (e == 0 && node != NULL && node[0] != '\0')
		e = vk_node_name(node, err);
	if (e < 0)
		return e;
	q->want = since != NULL && since[0] != '\0' ? LINES_MAX : LINES_DEFAULT;
	if (n != NULL && n[0] != '\0' && vk_parse_u64(n, 0, LINES_MAX, &q->want) < 0)
		return vk_err_set(err, VK_INVALID, "n must be a number up to %d", LINES_MAX);
	if (since != NULL && since[0] != '\0' && vk_parse_u64(since, 0, INT64_MAX, &ms) < 0)
		return vk_err_set(err, VK_INVALID, "since must be milliseconds since 1970");
	q->since_ms = (int64_t)ms;
	q->follow = follow != NULL && !vk_streq(follow, "0");
	q->stack = vk_strdup(stack);
	q->node = node != NULL && node[0] != '\0' ? vk_strdup(node) : NULL;
	q->needle = q->node != NULL ? vk_asprintf("\"d\":\"%s\"", q->node) : NULL;
	return 0;
}

void logqueries_answer(struct logqueries *set, struct vk_req *r)
{
	struct vk_err err = {0};
	struct logquery *q = vk_alloc(sizeof(*q));
	q->set = set;
	q->req = r;
	q->past = json_array();
	q->live = json_array();
	if (read_query(r, q, &err) < 0) {
		query_free(q);
		vk_req_error(r, &err);
		return;
	}
	q->next = set->list;
	set->list = q;
	q->scan = logscan_new(set->logs, q->stack);
	q->slice = vk_timer_new(set->loop, on_slice, q);
	vk_timer_set(q->slice, 0);
	vk_req_stream(r, 200, NULL, QUEUE_MAX, on_closed, q);
}

struct logqueries *logqueries_new(struct vk_loop *l, struct logset *set)
{
	struct logqueries *q = vk_alloc(sizeof(*q));
	q->loop = l;
	q->logs = set;
	logset_watch(set, on_line, q);
	return q;
}

void logqueries_free(struct logqueries *s)
{
	if (s == NULL)
		return;
	logset_watch(s->logs, NULL, NULL);
	while (s->list != NULL)
		query_free(s->list);
	free(s);
}
