/* A stream of JSON lines on a loop which reconnects by itself. */
#include <viking/api.h>
#include <viking/json.h>

#include "api_conn.h"
#include "api_wire.h"

struct vk_api_watch {
	struct vk_api_opts o;
	struct vk_api_conn *conn;
	struct vk_timer *again;
	int64_t backoff_ms;
	struct vk_buf request;
	struct vk_err bad; /* the request could not be made */
	struct vk_jsonl lines;
	struct vk_buf refusal;
	int status;
	int told; /* the code of the present loss that the owner knows, or 0 */
	bool connected;
	vk_api_watch_line_fn *on_line;
	vk_api_watch_state_fn *on_state;
	void *arg;
	unsigned busy;
	bool dead, anew;
};

static void leave(struct vk_api_watch *w)
{
	if (--w->busy > 0 || !w->dead)
		return;
	vk_api_conn_free(w->conn);
	vk_timer_free(w->again);
	vk_buf_release(&w->request);
	vk_buf_release(&w->refusal);
	vk_jsonl_release(&w->lines);
	vk_api_opts_release(&w->o);
	free(w);
}

void vk_api_watch_free(struct vk_api_watch *w)
{
	if (w == NULL)
		return;
	w->dead = true;
	w->busy++;
	leave(w);
}

void vk_api_watch_anew(struct vk_api_watch *w)
{
	w->anew = true;
}

static void tell(struct vk_api_watch *w, bool connected, const struct vk_err *err)
{
	int code = connected ? 0 : err != NULL ? err->code : VK_UNAVAILABLE;
	if (code != 0 && w->told == code)
		return;
	w->told = code;
	w->connected = connected;
	if (w->on_state != NULL)
		w->on_state(w->arg, connected, err);
}

static void retry(struct vk_api_watch *w, const struct vk_err *why)
{
	w->busy++;
	w->backoff_ms = vk_api_backoff(w->backoff_ms);
	vk_timer_set(w->again, w->backoff_ms);
	tell(w, false, why);
	leave(w);
}

static void ask(void *arg)
{
	struct vk_api_watch *w = arg;
	if (w->bad.code != 0) {
		retry(w, &w->bad);
		return;
	}
	w->anew = false;
	vk_buf_clear(&w->refusal);
	vk_jsonl_release(&w->lines);
	vk_api_conn_send(w->conn, vk_buf_str(&w->request), w->request.len, true);
}

static bool accepted(const struct vk_api_watch *w)
{
	return w->status >= 200 && w->status < 300;
}

static int on_head(void *arg, int status, struct vk_err *err)
{
	struct vk_api_watch *w = arg;
	(void)err;
	w->status = status;
	if (!accepted(w))
		return 0;
	w->backoff_ms = 0;
	w->busy++;
	tell(w, true, NULL);
	leave(w);
	return 0;
}

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct vk_api_watch *w = arg;
	const json_t *end = json_object_get(line, "end");
	if (json_is_object(end))
		return vk_api_end(end, err) != 0
			? err->code
			: vk_err_set(err, VK_UNAVAILABLE, "the server ended the stream");
	if (!json_is_object(line) || json_object_size(line) > 0)
		w->on_line(w->arg, line);
	if (w->anew)
		return vk_err_set(err, VK_CONFLICT, "the stream has a gap");
	return w->dead ? vk_err_set(err, VK_CANCELLED, "freed") : 0;
}

static int on_body(void *arg, const void *p, size_t n, struct vk_err *err)
{
	struct vk_api_watch *w = arg;
	if (!accepted(w))
		return vk_buf_add(&w->refusal, p, n);
	w->busy++;
	int rc = vk_jsonl_feed(&w->lines, p, n, on_line, w, err);
	leave(w);
	return rc;
}

static void on_end(void *arg)
{
	struct vk_api_watch *w = arg;
	struct vk_err why = {0};
	if (accepted(w))
		vk_err_set(&why, VK_UNAVAILABLE, "the server ended the stream");
	else
		vk_api_refusal(w->status, vk_buf_str(&w->refusal), w->refusal.len, NULL, &why);
	retry(w, &why);
}

static void on_lost(void *arg, const struct vk_err *err)
{
	retry(arg, err);
}

static const struct vk_api_conn_events events = {on_head, on_body, on_end, on_lost};

struct vk_api_watch *vk_api_watch_new(struct vk_loop *l, const struct vk_api_opts *o,
	const char *path, vk_api_watch_line_fn *on_line_fn, vk_api_watch_state_fn *on_state,
	void *arg)
{
	struct vk_api_watch *w = vk_alloc(sizeof(*w));
	vk_api_opts_copy(&w->o, o);
	if (o->timeout_ms <= 0)
		w->o.timeout_ms = VK_API_SILENCE_MS;
	w->on_line = on_line_fn;
	w->on_state = on_state;
	w->arg = arg;
	vk_buf_init(&w->request, 1);
	vk_buf_init(&w->refusal, VK_API_ANSWER_MAX);
	vk_jsonl_init(&w->lines, VK_API_ANSWER_MAX);
	w->conn = vk_api_conn_new(l, &w->o, &events, w);
	w->again = vk_timer_new(l, ask, w);
	vk_api_request(&w->o, "GET", path, NULL, false, &w->request, &w->bad);
	vk_timer_set(w->again, 0);
	return w;
}
