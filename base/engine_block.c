/* Blocking engine calls: one handle on a private multi handle, so that a cancel descriptor and a slow
 * upload can be waited for beside it. */
#include <poll.h>
#include <viking/str.h>

#include "engine_op.h"

/* Limits of one blocking transfer. */
struct watch {
	int cancel_fd;
	int64_t deadline;   /* vk_mono_ms, -1 none */
	int64_t silence_ms; /* 0 none */
	int64_t heard;      /* last byte */
};

static bool fd_ready(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return fd >= 0 && poll(&p, 1, 0) > 0;
}

static int check_limits(struct vk_engine_op *op, struct watch *w, struct vk_err *err)
{
	int64_t now = vk_mono_ms();
	if (op->got_bytes)
		w->heard = now;
	op->got_bytes = false;
	if (fd_ready(w->cancel_fd))
		return vk_err_set(err, VK_CANCELLED, "cancelled");
	if (w->deadline >= 0 && now >= w->deadline)
		return vk_err_set(err, VK_TIMEOUT, "the engine did not finish %s %s in time",
			op->method, op->path);
	if (w->silence_ms > 0 && now - w->heard >= w->silence_ms)
		return vk_err_set(err, VK_TIMEOUT, "the engine was silent for %lld ms in %s %s",
			(long long)w->silence_ms, op->method, op->path);
	return 0;
}

static int wait_ms(const struct watch *w)
{
	int64_t now = vk_mono_ms(), left = 60000;
	if (w->deadline >= 0 && w->deadline - now < left)
		left = w->deadline - now;
	if (w->silence_ms > 0 && w->heard + w->silence_ms - now < left)
		left = w->heard + w->silence_ms - now;
	return left > 0 ? (int)left : 0;
}

/* The transfer's result when it has ended. */
static bool ended(CURLM *m, CURLcode *ret)
{
	int left;
	for (CURLMsg *msg; (msg = curl_multi_info_read(m, &left)) != NULL;) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		*ret = msg->data.result;
		return true;
	}
	return false;
}

static int drive(struct vk_engine_op *op, struct watch *w, struct vk_err *err)
{
	CURLM *m = op->e->blocking;
	for (;;) {
		int running;
		CURLcode code = CURLE_OK;
		curl_multi_perform(m, &running);
		if (ended(m, &code))
			return vk_engine_op_judge(op, code, err);
		int rc = check_limits(op, w, err);
		if (rc != 0)
			return rc;
		struct curl_waitfd extra[2];
		unsigned n = 0;
		if (w->cancel_fd >= 0)
			extra[n++] = (struct curl_waitfd){
				.fd = w->cancel_fd, .events = CURL_WAIT_POLLIN};
		if (op->upload_paused)
			extra[n++] = (struct curl_waitfd){
				.fd = op->upload_fd, .events = CURL_WAIT_POLLIN};
		curl_multi_poll(m, extra, n, wait_ms(w), NULL);
		if (op->upload_paused && fd_ready(op->upload_fd)) {
			op->upload_paused = false;
			curl_easy_pause(op->easy, CURLPAUSE_CONT);
		}
	}
}

/* One or two transfers: GET /version when it is not known yet, then the request. Taking an unfinished
 * handle out of the multi handle closes its connection, which is how the engine is told to stop. */
static int run(struct vk_engine_op *op, int cancel_fd, int64_t total_ms, int64_t silence_ms,
	struct vk_err *err)
{
	struct vk_err own = {0};
	struct watch w = {.cancel_fd = cancel_fd,
		.silence_ms = silence_ms,
		.heard = vk_mono_ms(),
		.deadline = total_ms > 0 ? vk_mono_ms() + total_ms : -1};
	int rc;
	bool again;
	do {
		rc = vk_engine_op_prepare(op, &own);
		if (rc != 0)
			break;
		again = op->negotiating;
		curl_multi_add_handle(op->e->blocking, op->easy);
		rc = drive(op, &w, &own);
		curl_multi_remove_handle(op->e->blocking, op->easy);
	} while (rc == 0 && again);
	if (rc != 0 && err != NULL)
		*err = own;
	return rc;
}

int vk_engine_call(struct vk_engine *e, const char *method, const char *path, const json_t *body,
	int64_t timeout_ms, json_t **ret, struct vk_err *err)
{
	struct vk_engine_op *op = vk_engine_op_new(e, method, path, body);
	if (timeout_ms > 0)
		op->timeout_ms = timeout_ms;
	vk_autojson *answer = NULL;
	int rc = run(op, -1, op->timeout_ms, 0, err);
	if (rc == 0)
		rc = vk_engine_op_json(op, &answer, err);
	vk_engine_op_free(op);
	if (rc == 0 && ret != NULL)
		*ret = VK_TAKE(answer);
	return rc;
}

struct download {
	struct vk_engine_op *op;
	struct vk_buf *out;
};

static void on_bytes(void *arg, const void *p, size_t n)
{
	struct download *d = arg;
	if (vk_buf_add(d->out, p, n) == 0)
		return;
	d->op->cancelled = true; /* the transfer ends with what is in op->err */
	vk_err_set(&d->op->err, VK_LIMIT, "the engine's answer is over %zu bytes", d->out->max);
}

int vk_engine_download(struct vk_engine *e, const char *path, struct vk_buf *out,
	int64_t timeout_ms, struct vk_err *err)
{
	struct vk_engine_op *op = vk_engine_op_new(e, "GET", path, NULL);
	struct download d = {op, out};
	op->bytes_fn = on_bytes;
	op->sink_arg = &d;
	int rc = run(op, -1, timeout_ms > 0 ? timeout_ms : VK_ENGINE_TIMEOUT_MS, 0, err);
	vk_engine_op_free(op);
	return rc;
}

int vk_engine_negotiate(struct vk_engine *e, struct vk_err *err)
{
	return e->prefix[0] != '\0' ? 0 : vk_engine_call(e, "GET", "/_ping", NULL, 0, NULL, err);
}

static int stream(struct vk_engine_op *op, const char *registry_auth, int cancel_fd,
	int64_t total_ms, int64_t silence_ms, struct vk_err *err)
{
	op->registry_auth = vk_strdup(registry_auth);
	op->timeout_ms = 0;
	int rc = run(op, cancel_fd, total_ms, silence_ms, err);
	vk_engine_op_free(op);
	return rc;
}

int vk_engine_stream(struct vk_engine *e, const char *method, const char *path,
	const char *registry_auth, vk_jsonl_fn *fn, void *arg, int64_t silence_ms,
	struct vk_err *err)
{
	struct vk_engine_op *op = vk_engine_op_new(e, method, path, NULL);
	op->line_fn = fn;
	op->sink_arg = arg;
	return stream(op, registry_auth, -1, 0, silence_ms, err);
}

int vk_engine_upload(struct vk_engine *e, const char *method, const char *path,
	const char *registry_auth, int fd, int cancel_fd, vk_jsonl_fn *fn, void *arg,
	int64_t total_ms, struct vk_err *err)
{
	struct vk_engine_op *op = vk_engine_op_new(e, method, path, NULL);
	op->upload_fd = fd;
	op->line_fn = fn;
	op->sink_arg = arg;
	return stream(op, registry_auth, cancel_fd, total_ms, 0, err);
}
