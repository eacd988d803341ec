/*
 * Engine calls on the loop (multi.h). `bytes` runs inside libcurl: what is begun or cancelled there is only
 * noted, and done when libcurl has returned.
 */
#include <viking/str.h>

#include "engine_op.h"

#define MAX_IDLE_CONNECTIONS 4L

/* ---- life of an op ---- */

static void unlink_op(struct vk_engine_op *op)
{
	struct vk_engine_op **at = &op->e->ops;
	while (*at != op)
		at = &(*at)->next;
	*at = op->next;
}

static void drop(struct vk_engine_op *op)
{
	if (op->started)
		curl_multi_remove_handle(op->e->multi.curl, op->easy);
	unlink_op(op);
	vk_engine_op_free(op);
}

/* Ends op with an error or its answer; done may begin and cancel others, but op itself is off the list. */
static void conclude(struct vk_engine_op *op, const struct vk_err *err, json_t *answer)
{
	struct vk_engine *e = op->e;
	vk_engine_done_fn *done = op->done;
	void *arg = op->done_arg;
	if (op->started)
		curl_multi_remove_handle(e->multi.curl, op->easy);
	unlink_op(op);
	vk_engine_op_free(op);
	if (done != NULL)
		done(arg, err, answer);
}

static void start(struct vk_engine_op *op)
{
	struct vk_err err = {0};
	if (vk_engine_op_prepare(op, &err) != 0) {
		conclude(op, &err, NULL);
		return;
	}
	op->started = true;
	vk_multi_add(&op->e->multi, op->easy);
}

static void transfer_ended(struct vk_engine_op *op, CURLcode code)
{
	struct vk_err err = {0};
	vk_autojson *answer = NULL;
	int rc = vk_engine_op_judge(op, code, &err);
	if (rc == 0 && op->negotiating) {
		curl_multi_remove_handle(op->e->multi.curl, op->easy);
		op->started = false;
		start(op);
		return;
	}
	if (rc == 0 && op->bytes_fn == NULL)
		vk_engine_op_json(op, &answer, &err);
	conclude(op, &err, answer);
}

static struct vk_engine_op *find(struct vk_engine *e, bool (*is)(const struct vk_engine_op *))
{
	for (struct vk_engine_op *op = e->ops; op != NULL; op = op->next)
		if (is(op))
			return op;
	return NULL;
}

static bool is_cancelled(const struct vk_engine_op *op)
{
	return op->cancelled;
}

static bool is_waiting(const struct vk_engine_op *op)
{
	return !op->started;
}

/* Outside of libcurl: drops what was cancelled, concludes what has ended, starts what waits. */
static void finish_all(void *arg)
{
	struct vk_engine *e = arg;
	if (e->multi.inside > 0)
		return;
	struct vk_engine_op *op;
	while ((op = find(e, is_cancelled)) != NULL)
		drop(op);
	CURLcode code = CURLE_OK;
	for (CURL *easy; (easy = vk_multi_ended(&e->multi, &code)) != NULL;) {
		void *owner = NULL;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &owner);
		transfer_ended(owner, code);
	}
	while ((op = find(e, is_waiting)) != NULL)
		start(op);
}

/* Starts from the loop, so that done is never called inside the call that asks for it. */
static void add(struct vk_engine_op *op)
{
	op->next = op->e->ops;
	op->e->ops = op;
	vk_multi_soon(&op->e->multi);
}

struct vk_engine_op *vk_engine_call_async(struct vk_engine *e, const char *method, const char *path,
	const json_t *body, int64_t timeout_ms, vk_engine_done_fn *done, void *arg)
{
	struct vk_engine_op *op = vk_engine_op_new(e, method, path, body);
	if (timeout_ms > 0)
		op->timeout_ms = timeout_ms;
	op->done = done;
	op->done_arg = arg;
	add(op);
	return op;
}

struct vk_engine_op *vk_engine_stream_async(struct vk_engine *e, const char *method,
	const char *path, const char *registry_auth, vk_engine_bytes_fn *bytes,
	vk_engine_done_fn *done, void *arg)
{
	struct vk_engine_op *op = vk_engine_op_new(e, method, path, NULL);
	op->registry_auth = vk_strdup(registry_auth);
	op->timeout_ms = 0;
	op->bytes_fn = bytes;
	op->sink_arg = arg;
	op->done = done;
	op->done_arg = arg;
	add(op);
	return op;
}

void vk_engine_op_cancel(struct vk_engine_op *op)
{
	if (op == NULL)
		return;
	op->cancelled = true;
	op->done = NULL;
	if (op->e->multi.inside == 0)
		drop(op);
	else
		vk_multi_soon(&op->e->multi);
}

void vk_engine_async_init(struct vk_engine *e)
{
	vk_multi_init(&e->multi, e->loop, MAX_IDLE_CONNECTIONS, finish_all, e);
}

void vk_engine_async_release(struct vk_engine *e)
{
	while (e->ops != NULL)
		drop(e->ops);
	vk_multi_release(&e->multi);
}
