/* The blocking client: one connection a call. Links neither libevent nor libcurl. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <viking/httpd.h>
#include <viking/json.h>
#include <viking/str.h>

#include "api_wire.h"

#define AGAIN_MS  100
#define NOBODY_MS 5000 /* vikingd has started a scheduler anew by then, if it lives */

/* One exchange: connect, send, then feed the reader until the answer ends. */
struct exchange {
	const struct vk_api_opts *o;
	int fd;
	int64_t timeout_ms, deadline;
	bool per_byte; /* the deadline moves with every byte (streams) */
	struct vk_http1 *reader;
	int status;
	bool raw, done;
	bool again, nobody; /* nothing was done of it; because nobody listens */
	bool question;      /* changes nothing: may be asked twice */
	struct vk_buf body; /* of a call, or of a refusal */
	/* stream */
	struct vk_jsonl lines;
	vk_api_line_fn *fn;
	void *arg;
};

static bool refused(const struct exchange *x)
{
	return x->status != 101 && (x->status < 200 || x->status > 299);
}

static int on_head(void *arg, int status, const char *type, bool upgrade, struct vk_err *err)
{
	struct exchange *x = arg;
	(void)type, (void)err;
	x->status = status;
	x->raw = upgrade;
	return 0;
}

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct exchange *x = arg;
	if (json_is_object(line) && json_object_size(line) == 0)
		return 0;
	return x->fn(x->arg, line, err);
}

static int on_body(void *arg, const void *p, size_t n, struct vk_err *err)
{
	struct exchange *x = arg;
	if (x->fn != NULL && !refused(x))
		return vk_jsonl_feed(&x->lines, p, n, on_line, x, err);
	if (vk_buf_add(&x->body, p, n) != 0)
		return vk_err_set(err, VK_LIMIT, "the answer is over %u bytes", VK_API_ANSWER_MAX);
	return 0;
}

static int on_end(void *arg, struct vk_err *err)
{
	struct exchange *x = arg;
	x->done = true;
	return x->fn != NULL && !refused(x) ? vk_jsonl_end(&x->lines, on_line, x, err) : 0;
}

static const struct vk_http1_events events = {on_head, on_body, on_end};

static void exchange_init(struct exchange *x, const struct vk_api_opts *o)
{
	*x = (struct exchange){.o = o, .fd = -1};
	x->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : VK_API_TIMEOUT_MS;
	x->deadline = vk_mono_ms() + x->timeout_ms;
	x->reader = vk_http1_new(&events, x);
	vk_buf_init(&x->body, VK_API_ANSWER_MAX);
	vk_jsonl_init(&x->lines, VK_API_ANSWER_MAX);
}

static void exchange_release(struct exchange *x)
{
	vk_closep(&x->fd);
	vk_http1_free(x->reader);
	vk_buf_release(&x->body);
	vk_jsonl_release(&x->lines);
}

static void exchange_again(struct exchange *x)
{
	const struct exchange last = *x;
	exchange_release(x);
	exchange_init(x, last.o);
	x->fn = last.fn;
	x->arg = last.arg;
	x->per_byte = last.per_byte;
	x->timeout_ms = last.timeout_ms;
}

/* Waits for the socket until the deadline. */
static int wait_for(struct exchange *x, short events_wanted, struct vk_err *err)
{
	for (;;) {
		int64_t left = x->deadline - vk_mono_ms();
		struct pollfd p = {.fd = x->fd, .events = events_wanted};
		int n = left > 0 ? poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left) : 0;
		if (n > 0)
			return 0;
		if (n == 0) {
			vk_err_set(err, VK_TIMEOUT, "no answer from %s within %lld s", x->o->socket,
				(long long)x->timeout_ms / 1000);
			return vk_err_hint(err, "journalctl -n 50, of who listens there");
		}
		if (errno != EINTR)
			return vk_err_errno(err, errno, "poll");
	}
}

static int open_socket(struct exchange *x, struct vk_err *err)
{
	struct vk_err why = {0};
	if (vk_connect_unix(x->o->socket, &x->fd, &why) == 0)
		return 0;
	/* the socket is there: who listened starts anew */
	x->again = x->nobody = why.code == VK_UNAVAILABLE;
	if (why.code == VK_UNAVAILABLE || why.code == VK_NOTFOUND)
		return vk_api_away(x->o->socket, err);
	vk_err_set(err, why.code, "%s", why.msg);
	return why.code;
}

static int send_all(struct exchange *x, const struct vk_buf *b, struct vk_err *err)
{
	for (size_t off = 0; off < b->len;) {
		ssize_t n = send(x->fd, b->data + off, b->len - off, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			off += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EPIPE)
			return 0; /* it may have answered early (413): read that */
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return vk_err_errno(err, errno, "%s", x->o->socket);
		int rc = wait_for(x, POLLOUT, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* Who was asked is gone; of a question nothing was lost. */
static int unanswered(struct exchange *x, struct vk_err *err)
{
	x->again = x->question;
	vk_err_set(err, VK_UNAVAILABLE, "viking ended before it answered, and may have begun");
	return vk_err_hint(err, "viking events");
}

/* Reads until the answer ends or turns raw; bytes after a 101 head go to early. */
static int receive(struct exchange *x, struct vk_buf *early, struct vk_err *err)
{
	char piece[16384];
	while (!x->done && !x->raw) {
		int rc = wait_for(x, POLLIN, err);
		if (rc != 0)
			return rc;
		ssize_t n = recv(x->fd, piece, sizeof(piece), MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 && errno != ECONNRESET)
			return vk_err_errno(err, errno, "%s", x->o->socket);
		if (n <= 0)
			return x->status == 0 ? unanswered(x, err) : vk_http1_eof(x->reader, err);
		size_t used;
		rc = vk_http1_feed(x->reader, piece, (size_t)n, &used, err);
		if (rc != 0)
			return rc;
		if (x->raw && early != NULL &&
			vk_buf_add(early, piece + used, (size_t)n - used) != 0)
			return vk_err_set(
				err, VK_LIMIT, "too many bytes came with the answer's head");
		if (x->per_byte)
			x->deadline = vk_mono_ms() + x->timeout_ms;
	}
	return 0;
}

static int attempt(struct exchange *x, const char *method, const char *path, const json_t *body,
	bool upgrade, struct vk_buf *early, struct vk_err *err)
{
	x->question = vk_streq(method, "GET");
	vk_autobuf request = VK_BUF_INIT(1);
	int rc = vk_api_request(x->o, method, path, body, upgrade, &request, err);
	if (rc == 0)
		rc = open_socket(x, err);
	if (rc == 0)
		rc = send_all(x, &request, err);
	if (rc == 0)
		rc = receive(x, early, err);
	if (rc == 0 && refused(x))
		rc = vk_api_refusal(x->status, vk_buf_str(&x->body), x->body.len, &x->again, err);
	return rc;
}

/* Until it is begun, or patience ends. */
static int perform(struct exchange *x, const char *method, const char *path, const json_t *body,
	bool upgrade, struct vk_buf *early, struct vk_err *err)
{
	int64_t start = vk_mono_ms(), patience = x->o->patience_ms;
	int64_t nobody = patience < NOBODY_MS ? patience : NOBODY_MS;
	int rc = attempt(x, method, path, body, upgrade, early, err);
	while (rc != 0 && x->again && vk_mono_ms() - start < (x->nobody ? nobody : patience)) {
		(void)poll(NULL, 0, AGAIN_MS);
		exchange_again(x);
		rc = attempt(x, method, path, body, upgrade, early, err);
	}
	return rc;
}

int vk_api_call(const struct vk_api_opts *o, const char *method, const char *path,
	const json_t *body, json_t **ret, struct vk_err *err)
{
	struct exchange x;
	exchange_init(&x, o);
	json_t *answer = NULL;
	int rc = perform(&x, method, path, body, false, NULL, err);
	if (rc == 0 && x.body.len > 0)
		rc = vk_json_parse_max(
			vk_buf_str(&x.body), x.body.len, VK_API_ANSWER_MAX, &answer, err);
	exchange_release(&x);
	if (rc == 0 && ret != NULL)
		*ret = VK_TAKE(answer);
	json_decref(answer);
	return rc;
}

int vk_api_stream(const struct vk_api_opts *o, const char *method, const char *path,
	const json_t *body, vk_api_line_fn *fn, void *arg, struct vk_err *err)
{
	struct exchange x;
	exchange_init(&x, o);
	x.per_byte = true;
	if (o->timeout_ms <= 0)
		x.timeout_ms = VK_API_SILENCE_MS;
	x.fn = fn;
	x.arg = arg;
	int rc = perform(&x, method, path, body, false, NULL, err);
	exchange_release(&x);
	return rc;
}

int vk_api_upgrade(const struct vk_api_opts *o, const char *method, const char *path,
	const json_t *body, int *ret_fd, struct vk_buf *early, struct vk_err *err)
{
	struct exchange x;
	exchange_init(&x, o);
	int rc = perform(&x, method, path, body, true, early, err);
	if (rc == 0 && !x.raw)
		rc = vk_err_set(err, VK_INTERNAL,
			"the server answered %d instead of switching protocols", x.status);
	if (rc == 0)
		*ret_fd = VK_TAKE_FD(x.fd);
	exchange_release(&x);
	return rc;
}
