/*
 * Engine calls on the loop, by libcurl's socket and timer callbacks. libcurl forbids calls into itself
 * from its own callbacks, and `bytes` runs inside one: what is begun or cancelled there is only noted,
 * and done when libcurl has returned.
 */
#include <viking/str.h>

#include "engine_op.h"

#define MAX_IDLE_CONNECTIONS 4L

static void finish_all(struct vk_engine *e);

/* ---- libcurl's view of the loop ---- */

static void act(struct vk_engine *e, curl_socket_t fd, int what)
{
	int running;
	e->inside++;
	curl_multi_socket_action(e->multi, fd, what, &running);
	e->inside--;
	finish_all(e);
}

static void on_io(void *arg, int fd, int what)
{
	act(arg, fd,
		(what & VK_READ ? CURL_CSELECT_IN : 0) | (what & VK_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *slot)
{
	struct vk_engine *e = arg;
	struct vk_io *io = slot;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		vk_io_free(io);
		curl_multi_assign(e->multi, fd, NULL);
		return 0;
	}
	int want = (what & CURL_POLL_IN ? VK_READ : 0) | (what & CURL_POLL_OUT ? VK_WRITE : 0);
	if (io != NULL)
		vk_io_set(io, want);
	else
		curl_multi_assign(e->multi, fd, vk_io_new(e->loop, fd, want, on_io, e));
	return 0;
}

static int on_timer_wish(CURLM *m, long ms, void *arg)
{
	struct vk_engine *e = arg;
	(void)m;
	vk_timer_set(e->timer, ms);
	return 0;
}

static void on_timer(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

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
		curl_multi_remove_handle(op->e->multi, op->easy);
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
		curl_multi_remove_handle(e->multi, op->easy);
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
	op->e->inside++;
	curl_multi_add_handle(op->e->multi, op->easy);
	op->e->inside--;
}

static void transfer_ended(struct vk_engine_op *op, CURLcode code)
{
	struct vk_err err = {0};
	vk_autojson *answer = NULL;
	int rc = vk_engine_op_judge(op, code, &err);
	if (rc == 0 && op->negotiating) {
		curl_multi_remove_handle(op->e->multi, op->easy);
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
static void finish_all(struct vk_engine *e)
{
	if (e->inside > 0)
		return;
	struct vk_engine_op *op;
	while ((op = find(e, is_cancelled)) != NULL)
		drop(op);
	int left;
	for (CURLMsg *msg; (msg = curl_multi_info_read(e->multi, &left)) != NULL;) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		CURLcode code = msg->data.result; /* msg dies with the handle's removal */
		void *owner = NULL;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &owner);
		transfer_ended(owner, code);
	}
	while ((op = find(e, is_waiting)) != NULL)
		start(op);
}

static void on_soon(void *arg)
{
	finish_all(arg);
}

/* Starts from the loop, so that done is never called inside the call that asks for it. */
static void add(struct vk_engine_op *op)
{
	op->next = op->e->ops;
	op->e->ops = op;
	vk_timer_set(op->e->soon, 0);
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
	if (op->e->inside == 0)
		drop(op);
	else
		vk_timer_set(op->e->soon, 0);
}

void vk_engine_async_init(struct vk_engine *e)
{
	e->multi = curl_multi_init();
	e->timer = vk_timer_new(e->loop, on_timer, e);
	e->soon = vk_timer_new(e->loop, on_soon, e);
	curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
	curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
	curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
	curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, MAX_IDLE_CONNECTIONS);
}

void vk_engine_async_release(struct vk_engine *e)
{
	while (e->ops != NULL)
		drop(e->ops);
	curl_multi_cleanup(e->multi);
	vk_timer_free(e->timer);
	vk_timer_free(e->soon);
}
