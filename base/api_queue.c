/* Calls in order over one keep-alive connection, kept until they are answered. */
#include <viking/api.h>
#include <viking/json.h>

#include "api_conn.h"
#include "api_wire.h"

struct call {
	struct call *next;
	struct vk_buf request;
	struct vk_err bad; /* the request could not be made: its answer */
	vk_api_done_fn *done;
	void *arg;
};

struct vk_api_queue {
	struct vk_api_opts o;
	struct vk_api_conn *conn;
	struct vk_timer *kick; /* sends the first call: soon, or after a back-off */
	int64_t backoff_ms;
	struct call *head, **tail;
	size_t n;
	bool sending; /* the head is on the wire, or its retry is scheduled */
	int status;
	struct vk_buf answer;
	unsigned busy;
	bool dead;
};

static void call_free(struct call *c)
{
	vk_buf_release(&c->request);
	free(c);
}

static struct call *pop(struct vk_api_queue *q)
{
	struct call *c = q->head;
	q->head = c->next;
	if (q->head == NULL)
		q->tail = &q->head;
	q->n--;
	return c;
}

static void leave(struct vk_api_queue *q)
{
	if (--q->busy > 0 || !q->dead)
		return;
	vk_api_conn_free(q->conn);
	vk_timer_free(q->kick);
	while (q->head != NULL)
		call_free(pop(q));
	vk_buf_release(&q->answer);
	vk_api_opts_release(&q->o);
	free(q);
}

void vk_api_queue_free(struct vk_api_queue *q)
{
	if (q == NULL)
		return;
	q->dead = true;
	q->busy++;
	leave(q);
}

size_t vk_api_queue_len(const struct vk_api_queue *q)
{
	return q->n;
}

static void schedule(struct vk_api_queue *q, int64_t ms)
{
	q->sending = true;
	vk_timer_set(q->kick, ms);
}

/* The head is answered: off the queue first, since done may add or free. */
static void finish(struct vk_api_queue *q, const struct vk_err *err, const json_t *answer)
{
	struct call *c = pop(q);
	q->busy++;
	q->sending = false;
	q->backoff_ms = 0;
	if (q->head != NULL)
		schedule(q, 0);
	if (c->done != NULL)
		c->done(c->arg, err, answer);
	call_free(c);
	leave(q);
}

static void send_head(void *arg)
{
	struct vk_api_queue *q = arg;
	if (q->head->bad.code != 0) {
		struct vk_err bad = q->head->bad;
		finish(q, &bad, NULL);
		return;
	}
	vk_buf_clear(&q->answer);
	vk_api_conn_send(q->conn, vk_buf_str(&q->head->request), q->head->request.len, false);
}

static void retry(struct vk_api_queue *q)
{
	q->backoff_ms = vk_api_backoff(q->backoff_ms);
	schedule(q, q->backoff_ms);
}

static int on_head(void *arg, int status, struct vk_err *err)
{
	struct vk_api_queue *q = arg;
	(void)err;
	q->status = status;
	return 0;
}

static int on_body(void *arg, const void *p, size_t n, struct vk_err *err)
{
	struct vk_api_queue *q = arg;
	if (vk_buf_add(&q->answer, p, n) != 0)
		return vk_err_set(err, VK_LIMIT, "the answer is over %u bytes", VK_API_ANSWER_MAX);
	return 0;
}

/* 503 and 504 come from a server that has lost its store for a while: the call is still wanted. */
static void on_end(void *arg)
{
	struct vk_api_queue *q = arg;
	if (q->status == 503 || q->status == 504) {
		retry(q);
		return;
	}
	struct vk_err err = {0};
	vk_autojson *answer = NULL;
	if (q->status < 200 || q->status > 299)
		vk_api_refusal(q->status, vk_buf_str(&q->answer), q->answer.len, NULL, &err);
	else if (q->answer.len > 0)
		vk_json_parse_max(
			vk_buf_str(&q->answer), q->answer.len, VK_API_ANSWER_MAX, &answer, &err);
	vk_buf_release(&q->answer);
	finish(q, &err, answer);
}

static void on_lost(void *arg, const struct vk_err *err)
{
	(void)err;
	retry(arg);
}

static const struct vk_api_conn_events events = {on_head, on_body, on_end, on_lost};

struct vk_api_queue *vk_api_queue_new(struct vk_loop *l, const struct vk_api_opts *o)
{
	struct vk_api_queue *q = vk_alloc(sizeof(*q));
	vk_api_opts_copy(&q->o, o);
	q->tail = &q->head;
	vk_buf_init(&q->answer, VK_API_ANSWER_MAX);
	q->conn = vk_api_conn_new(l, &q->o, &events, q);
	q->kick = vk_timer_new(l, send_head, q);
	return q;
}

void vk_api_queue_add(struct vk_api_queue *q, const char *method, const char *path,
	const json_t *body, vk_api_done_fn *done, void *arg)
{
	struct call *c = vk_alloc(sizeof(*c));
	vk_buf_init(&c->request, 1);
	vk_api_request(&q->o, method, path, body, false, &c->request, &c->bad);
	c->done = done;
	c->arg = arg;
	*q->tail = c;
	q->tail = &c->next;
	q->n++;
	if (!q->sending)
		schedule(q, 0);
}
