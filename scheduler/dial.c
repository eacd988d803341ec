/* A request to a local server, on the loop. */
#include "dial.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <viking/api.h>
#include <viking/json.h>
#include <viking/mem.h>

#define REQUEST_MAX ((size_t)4 << 20)
#define PIECE       16384

struct dial {
	struct vk_loop *loop;
	const struct dial_events *ev;
	void *arg;
	const char *whom;
	int fd;
	struct vk_io *io;
	struct vk_timer *deadline;
	int64_t silence_ms;
	struct vk_buf out;
	struct vk_http1 *reader;
	struct vk_err failure; /* found before the loop could tell it */
	int status;
	bool upgraded, complete, paused, over;
	unsigned busy; /* depth of callbacks */
	bool dead;     /* freed inside one of them */
};

static void leave(struct dial *d)
{
	if (--d->busy > 0 || !d->dead)
		return;
	vk_io_free(d->io);
	vk_closep(&d->fd);
	vk_timer_free(d->deadline);
	vk_http1_free(d->reader);
	vk_buf_release(&d->out);
	free(d);
}

void dial_free(struct dial *d)
{
	if (d == NULL)
		return;
	d->dead = true;
	d->busy++;
	leave(d);
}

static void finish(struct dial *d, const struct vk_err *err)
{
	if (d->over || d->dead)
		return;
	d->over = true;
	vk_timer_set(d->deadline, -1);
	if (d->io != NULL)
		vk_io_set(d->io, 0);
	d->ev->end(d->arg, err);
}

/* ---- the answer ---- */

static int on_head(void *arg, int status, const char *type, bool upgrade, struct vk_err *err)
{
	struct dial *d = arg;
	d->status = status;
	d->upgraded = upgrade && d->ev->taken != NULL;
	if (upgrade && !d->upgraded)
		return vk_err_set(err, VK_INTERNAL, "an answer of an unexpected kind");
	if (!upgrade && d->ev->head != NULL)
		d->ev->head(d->arg, status, type);
	return d->dead ? VK_CANCELLED : 0;
}

static int on_body(void *arg, const void *p, size_t n, struct vk_err *err)
{
	struct dial *d = arg;
	(void)err;
	d->ev->body(d->arg, p, n);
	return d->dead ? VK_CANCELLED : 0;
}

static int on_end(void *arg, struct vk_err *err)
{
	struct dial *d = arg;
	(void)err;
	d->complete = true;
	return 0;
}

static const struct vk_http1_events reader_events = {on_head, on_body, on_end};

static void hand_over(struct dial *d, const char *rest, size_t n)
{
	d->over = true;
	vk_timer_set(d->deadline, -1);
	vk_io_free(d->io);
	d->io = NULL;
	d->ev->taken(d->arg, VK_TAKE_FD(d->fd), rest, n);
}

static void pull_in(struct dial *d)
{
	char piece[PIECE];
	struct vk_err err = {0};
	size_t used = 0;
	ssize_t n = recv(d->fd, piece, sizeof(piece), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		n = 0;
	int rc = n > 0 ? vk_http1_feed(d->reader, piece, (size_t)n, &used, &err)
		       : vk_http1_eof(d->reader, &err);
	if (d->dead)
		return;
	if (rc != 0)
		finish(d, &err);
	else if (d->upgraded)
		hand_over(d, piece + used, (size_t)n - used);
	else if (d->complete)
		finish(d, NULL);
	else if (!d->paused)
		vk_timer_set(d->deadline, d->silence_ms);
}

/* ---- the request ---- */

static void interest(struct dial *d)
{
	if (d->io != NULL && !d->over)
		vk_io_set(d->io, (d->paused ? 0 : VK_READ) | (d->out.len > 0 ? VK_WRITE : 0));
}

static void push_out(struct dial *d)
{
	ssize_t n = send(d->fd, d->out.data, d->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		vk_buf_consume(&d->out, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		vk_buf_clear(&d->out); /* reading tells what happened */
	interest(d);
}

static void on_io(void *arg, int fd, int what)
{
	struct dial *d = arg;
	(void)fd;
	d->busy++;
	if ((what & VK_WRITE) && d->out.len > 0)
		push_out(d);
	if ((what & VK_READ) && !d->over)
		pull_in(d);
	leave(d);
}

static void on_deadline(void *arg)
{
	struct dial *d = arg;
	if (d->failure.code == 0)
		vk_err_set(&d->failure, VK_TIMEOUT, "%s did not answer within %lld s", d->whom,
			(long long)(d->silence_ms / 1000));
	d->busy++;
	finish(d, &d->failure);
	leave(d);
}

static int write_request(
	struct vk_buf *out, const char *method, const char *path, const json_t *body, bool upgrade)
{
	vk_autofree char *text = body != NULL ? vk_json_text(body) : vk_strdup("");
	int rc = vk_buf_addf(out, "%s %s HTTP/1.1\r\nHost: viking\r\n", method, path);
	if (upgrade)
		rc |= vk_buf_adds(out, "Connection: Upgrade\r\nUpgrade: viking-frames\r\n");
	rc |= vk_buf_addf(
		out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", strlen(text));
	rc |= vk_buf_adds(out, text);
	explicit_bzero(text, strlen(text)); /* it may hold configuration */
	return rc;
}

/* A unix socket connects or fails at once; so does this one when the agent hangs and its queue is full. */
static void open_socket(struct dial *d, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(a.sun_path)) {
		vk_err_set(&d->failure, VK_LIMIT, "%s is too long for a socket", path);
		return;
	}
	memcpy(a.sun_path, path, strlen(path));
	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0 || connect(d->fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
		vk_err_set(&d->failure, VK_UNAVAILABLE, "%s does not answer", d->whom);
		vk_err_hint(&d->failure, "on the host: viking doctor");
		return;
	}
	d->io = vk_io_new(d->loop, d->fd, VK_READ | VK_WRITE, on_io, d);
}

struct dial *dial_raw(struct vk_loop *l, const char *socket, const char *whom,
	const struct vk_buf *request, int64_t silence_ms, const struct dial_events *ev, void *arg)
{
	struct dial *d = vk_alloc(sizeof(*d));
	d->loop = l;
	d->ev = ev;
	d->arg = arg;
	d->whom = whom;
	d->fd = -1;
	d->silence_ms = silence_ms;
	vk_buf_init(&d->out, REQUEST_MAX);
	d->reader = vk_http1_new(&reader_events, d);
	d->deadline = vk_timer_new(l, on_deadline, d);
	if (request->len == 0 || vk_buf_add(&d->out, request->data, request->len) != 0)
		vk_err_set(&d->failure, VK_LIMIT, "the request is too long");
	else
		open_socket(d, socket);
	vk_timer_set(d->deadline, d->failure.code != 0 ? 0 : silence_ms);
	return d;
}

struct dial *dial_new(struct vk_loop *l, const char *socket, const char *method, const char *path,
	const json_t *body, int64_t silence_ms, const struct dial_events *ev, void *arg)
{
	vk_autobuf request = VK_BUF_INIT(REQUEST_MAX);
	if (write_request(&request, method, path, body, ev->taken != NULL) != 0)
		vk_buf_clear(&request);
	struct dial *d =
		dial_raw(l, socket, "the agent of this host", &request, silence_ms, ev, arg);
	if (request.len > 0)
		explicit_bzero(request.data, request.len);
	return d;
}

void dial_pause(struct dial *d, bool pause)
{
	if (d->paused == pause || d->over)
		return;
	d->paused = pause;
	vk_timer_set(d->deadline, pause ? -1 : d->silence_ms);
	interest(d);
}

int dial_refusal(int status, const char *body, size_t n, struct vk_err *err)
{
	vk_autojson *j = NULL;
	int code = vk_err_from_http(status);
	if (vk_json_parse(body, n, &j, NULL) != 0 || !json_is_object(j))
		return vk_err_set(err, code != 0 ? code : VK_INTERNAL,
			"the agent answered with status %d", status);
	code = vk_err_from_name(vk_json_str(j, "error", "INTERNAL"));
	vk_err_set(err, code != 0 ? code : VK_INTERNAL, "%s", vk_json_str(j, "message", "refused"));
	return vk_err_hint(err, "%s", vk_json_str(j, "hint", ""));
}
