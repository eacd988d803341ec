#include "session.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/json.h>
#include <viking/mem.h>

#define PIPE_MAX  (512u << 10)
#define PIPE_FULL (256u << 10) /* above this the other side is not read */
#define PIECE     32768
#define LINGER_MS 10000 /* for the client to take the last bytes */

static void pump(struct session *s);

static void on_linger(void *arg)
{
	session_free(arg);
}

static void on_request_closed(void *arg, struct vk_req *r)
{
	struct session *s = arg;
	(void)r;
	s->req = NULL;
	session_free(s);
}

struct session *session_new(
	struct agent *a, struct session **list, const struct session_ops *ops, struct vk_req *r)
{
	struct session *s = vk_alloc(sizeof(*s));
	s->a = a;
	s->ops = ops;
	s->req = r;
	s->client = s->engine = -1;
	vk_buf_init(&s->to_client, PIPE_MAX);
	vk_buf_init(&s->to_engine, PIPE_MAX + FRAMES_STDIN_MAX);
	s->linger = vk_timer_new(a->loop, on_linger, s);
	s->list = list;
	s->next = *list;
	*list = s;
	vk_req_on_closed(r, on_request_closed, s);
	return s;
}

static void close_engine(struct session *s)
{
	vk_io_free(s->engine_io);
	s->engine_io = NULL;
	vk_closep(&s->engine);
	s->engine = -1;
}

void session_free(struct session *s)
{
	for (struct session **at = s->list; *at != NULL; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	if (s->op != NULL)
		vk_engine_op_cancel(s->op);
	if (s->pull != NULL)
		images_cancel(s->pull);
	hijack_cancel(s->hijack);
	close_engine(s);
	s->ops->cleanup(s);
	vk_io_free(s->client_io);
	vk_closep(&s->client);
	vk_timer_free(s->linger);
	vk_buf_release(&s->to_client);
	vk_buf_release(&s->to_engine);
	if (s->has_spec)
		desired_instance_release(&s->spec);
	free(s);
}

/* The client went before the process was at its end. */
static void abandon(struct session *s)
{
	if (!s->closing && (s->live || s->hijack != NULL))
		s->ops->abandoned(s);
	session_free(s);
}

/* ---- the last frame ---- */

static void finish(struct session *s, const json_t *last)
{
	vk_autofree char *text = vk_json_text(last);
	if (frames_put(&s->to_client, FRAME_END, text, strlen(text)) < 0) {
		vk_buf_clear(
			&s->to_client); /* a client that has read nothing for so long gets the end only */
		frames_put(&s->to_client, FRAME_END, text, strlen(text));
	}
	s->closing = true;
	close_engine(s);
	vk_timer_set(s->linger, LINGER_MS);
	pump(s);
}

void session_status(struct session *s, int status)
{
	vk_autojson *last = json_pack("{s:i}", "status", status);
	finish(s, last);
}

void session_fail(struct session *s, const struct vk_err *err)
{
	if (s->req != NULL) {
		struct vk_req *r = VK_TAKE(s->req);
		vk_req_on_closed(r, NULL, NULL);
		session_free(s);
		vk_req_error(r, err);
		return;
	}
	vk_autojson *last =
		json_pack("{s:s,s:s}", "error", vk_err_name(err->code), "hint", err->hint);
	json_object_set_new(last, "message", vk_json_safe_string(err->msg, strlen(err->msg)));
	finish(s, last);
}

/* ---- client to engine ---- */

static int on_frame(void *arg, int type, const void *p, size_t n, struct vk_err *err)
{
	struct session *s = arg;
	const uint8_t *b = p;
	char name[FRAMES_CONTROL_MAX + 1] = "";
	switch (type) {
	case FRAME_STDIN:
		if (s->input_ended || s->engine_ended)
			return 0;
		return vk_buf_add(&s->to_engine, p, n) < 0
			? vk_err_set(err, VK_LIMIT, "too much input")
			: 0;
	case FRAME_EOF:
		if (s->tty && !s->input_ended)
			vk_buf_addc(&s->to_engine, 4); /* a terminal's end of input */
		s->input_ended = true;
		return 0;
	case FRAME_RESIZE:
		s->rows = (unsigned)b[0] << 8 | b[1];
		s->cols = (unsigned)b[2] << 8 | b[3];
		if (s->live && s->tty)
			s->ops->resize(s);
		return 0;
	default:
		memcpy(name, p, n);
		if (s->live)
			s->ops->signal(s, name);
		return 0;
	}
}

static bool read_client(struct session *s)
{
	char piece[PIECE];
	ssize_t n = recv(s->client, piece, sizeof(piece), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	return frames_feed(&s->in, piece, (size_t)n, on_frame, s, NULL) == 0;
}

/* False when the peer is gone. */
static bool write_out(int fd, struct vk_buf *b)
{
	ssize_t n = send(fd, b->data, b->len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	vk_buf_consume(b, (size_t)n);
	return true;
}

/* ---- engine to client ---- */

int session_put(struct session *s, int stream, const void *p, size_t n)
{
	return frames_put(&s->to_client, stream == 2 ? FRAME_STDERR : FRAME_STDOUT, p, n);
}

static int on_output(void *arg, int stream, const void *p, size_t n)
{
	struct session *s = arg;
	if (n == 0 || (s->ops->output != NULL && s->ops->output(s, stream, p, n)))
		return 0;
	return session_put(s, stream, p, n);
}

static void take_output(struct session *s, const void *p, size_t n)
{
	if (s->tty)
		on_output(s, 1, p, n);
	else
		vk_frames_feed(&s->out, p, n, on_output, s, NULL);
}

static void engine_end(struct session *s)
{
	s->engine_ended = true;
	close_engine(s);
	s->ops->ended(s);
}

static void read_engine(struct session *s)
{
	char piece[PIECE];
	ssize_t n = recv(s->engine, piece, sizeof(piece), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		engine_end(s);
	else
		take_output(s, piece, (size_t)n);
}

/* ---- both ---- */

static void set_interest(struct session *s)
{
	if (s->client_io != NULL)
		vk_io_set(s->client_io,
			VK_CLOSED | (s->to_engine.len < PIPE_FULL ? VK_READ : 0) |
				(s->to_client.len > 0 ? VK_WRITE : 0));
	if (s->engine_io != NULL)
		vk_io_set(s->engine_io,
			(s->to_client.len < PIPE_FULL ? VK_READ : 0) |
				(s->to_engine.len > 0 ? VK_WRITE : 0));
}

/* Writes what can be written; may free s. */
static void pump(struct session *s)
{
	if (s->client >= 0 && s->to_client.len > 0 && !write_out(s->client, &s->to_client)) {
		abandon(s);
		return;
	}
	if (s->closing && s->to_client.len == 0) {
		session_free(s);
		return;
	}
	if (s->engine >= 0 && s->to_engine.len > 0 && !write_out(s->engine, &s->to_engine))
		vk_buf_clear(
			&s->to_engine); /* it does not read any more; its output still counts */
	if (s->engine >= 0 && s->input_ended && !s->input_shut && s->to_engine.len == 0) {
		s->input_shut = true;
		if (!s->tty)
			shutdown(s->engine, SHUT_WR);
	}
	set_interest(s);
}

static void on_client(void *arg, int fd, int what)
{
	struct session *s = arg;
	(void)fd;
	if ((what & VK_READ) && !read_client(s)) {
		abandon(s);
		return;
	}
	if ((what & VK_CLOSED) && !(what & VK_READ)) {
		abandon(s);
		return;
	}
	pump(s);
}

static void on_engine(void *arg, int fd, int what)
{
	struct session *s = arg;
	(void)fd;
	if (what & VK_READ)
		read_engine(s); /* never frees s: the status comes from a call */
	pump(s);
}

static void on_upgraded(void *arg, int fd, const void *early, size_t n)
{
	struct session *s = arg;
	s->req = NULL;
	if (fd < 0) {
		session_free(s);
		return;
	}
	s->client = fd;
	s->client_io = vk_io_new(s->a->loop, fd, VK_READ | VK_CLOSED, on_client, s);
	if (n > 0 && frames_feed(&s->in, early, n, on_frame, s, NULL) < 0) {
		session_free(s);
		return;
	}
	s->ops->connected(s);
}

void session_upgrade(struct session *s)
{
	vk_req_on_closed(s->req, NULL, NULL);
	vk_req_upgrade(s->req, "viking-frames", on_upgraded, s);
}

void session_attach(struct session *s, int fd, const void *early, size_t n)
{
	s->engine = fd;
	s->engine_io = vk_io_new(s->a->loop, fd, VK_READ, on_engine, s);
	take_output(s, early, n);
	pump(s);
}
