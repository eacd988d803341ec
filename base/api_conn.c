#include "api_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <viking/httpd.h>
#include <viking/str.h>

#include "api_wire.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000

struct vk_api_conn {
	struct vk_loop *loop;
	const struct vk_api_opts *o;
	const struct vk_api_conn_events *ev;
	void *arg;
	int fd;
	struct vk_io *io;
	struct vk_timer *deadline;
	struct vk_http1 *reader; /* NULL between answers */
	bool ended;              /* the reader has seen the end */
	struct vk_buf out;       /* what is still to be sent */
	bool per_byte;
	struct vk_err failure; /* code != 0: to be told when the deadline timer fires */
	unsigned busy;         /* depth of callbacks */
	bool dead;             /* freed inside one of them */
};

int64_t vk_api_backoff(int64_t last_ms)
{
	int64_t next = last_ms <= 0 ? BACKOFF_MIN_MS : last_ms * 2;
	return next > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : next;
}

void vk_api_opts_copy(struct vk_api_opts *to, const struct vk_api_opts *from)
{
	*to = *from;
	to->socket = vk_strdup(from->socket);
	to->role = vk_strdup(from->role);
	to->token = vk_strdup(from->token ? from->token : getenv("VIKING_TOKEN"));
	if (to->timeout_ms <= 0)
		to->timeout_ms = VK_API_TIMEOUT_MS;
}

static void free_const(const char *s)
{
	free((char *)(uintptr_t)s);
}

void vk_api_opts_release(struct vk_api_opts *o)
{
	free_const(o->socket);
	free_const(o->role);
	free_const(o->token);
	*o = (struct vk_api_opts){0};
}

static void close_conn(struct vk_api_conn *c)
{
	vk_io_free(c->io);
	c->io = NULL;
	vk_closep(&c->fd);
	c->fd = -1;
	vk_http1_free(c->reader);
	c->reader = NULL;
	vk_timer_set(c->deadline, -1);
	vk_buf_release(&c->out);
}

static void leave(struct vk_api_conn *c)
{
	if (--c->busy > 0 || !c->dead)
		return;
	close_conn(c);
	vk_timer_free(c->deadline);
	free(c);
}

void vk_api_conn_free(struct vk_api_conn *c)
{
	if (c == NULL)
		return;
	c->dead = true;
	c->busy++;
	leave(c);
}

static void lose(struct vk_api_conn *c, const struct vk_err *why)
{
	struct vk_err copy = *why;
	close_conn(c);
	c->ev->lost(c->arg, &copy);
}

static void on_deadline(void *arg)
{
	struct vk_api_conn *c = arg;
	if (c->failure.code == 0)
		vk_err_set(&c->failure, VK_TIMEOUT, "no answer from %s within %lld ms",
			c->o->socket, (long long)c->o->timeout_ms);
	struct vk_err why = c->failure;
	c->failure = (struct vk_err){0};
	c->busy++;
	lose(c, &why);
	leave(c);
}

static int reader_head(void *arg, int status, const char *type, bool upgrade, struct vk_err *err)
{
	struct vk_api_conn *c = arg;
	(void)type, (void)upgrade;
	int rc = c->ev->head(c->arg, status, err);
	return c->dead ? VK_CANCELLED : rc;
}

static int reader_body(void *arg, const void *p, size_t n, struct vk_err *err)
{
	struct vk_api_conn *c = arg;
	int rc = c->ev->body(c->arg, p, n, err);
	return c->dead ? VK_CANCELLED : rc;
}

static int reader_end(void *arg, struct vk_err *err)
{
	struct vk_api_conn *c = arg;
	(void)err;
	c->ended = true;
	return 0;
}

static const struct vk_http1_events reader_events = {reader_head, reader_body, reader_end};

static void answer_complete(struct vk_api_conn *c, bool eof)
{
	vk_http1_free(c->reader);
	c->reader = NULL;
	vk_timer_set(c->deadline, -1);
	if (eof)
		close_conn(c);
	c->ev->end(c->arg);
}

static void pull_in(struct vk_api_conn *c)
{
	char piece[16384];
	ssize_t n = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (c->reader ==
		NULL) { /* an idle connection the server has closed, or speaks on unasked */
		close_conn(c);
		return;
	}
	struct vk_err err = {0};
	size_t used;
	int rc = n > 0 ? vk_http1_feed(c->reader, piece, (size_t)n, &used, &err)
		       : vk_http1_eof(c->reader, &err);
	if (c->dead)
		return;
	if (rc == 0 && n > 0 && c->per_byte)
		vk_timer_set(c->deadline, c->o->timeout_ms);
	if (rc != 0)
		lose(c, &err);
	else if (c->ended)
		answer_complete(c, n <= 0);
}

static void push_out(struct vk_api_conn *c)
{
	while (c->out.len > 0) {
		ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			vk_io_set(c->io, VK_READ | VK_WRITE);
			return;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* reading tells what happened: an early answer or the end */
		vk_buf_consume(&c->out, (size_t)n);
	}
	vk_buf_release(&c->out);
	vk_io_set(c->io, VK_READ);
}

static void on_io(void *arg, int fd, int what)
{
	struct vk_api_conn *c = arg;
	(void)fd;
	c->busy++;
	if (what & VK_WRITE)
		push_out(c);
	if (what & VK_READ)
		pull_in(c);
	leave(c);
}

/* A unix socket's connect succeeds or fails at once; a full listen queue is waited for a moment. */
static int open_conn(struct vk_api_conn *c, struct vk_err *err)
{
	struct vk_err why = {0};
	if (vk_connect_unix(c->o->socket, &c->fd, &why) == 0) {
		c->io = vk_io_new(c->loop, c->fd, VK_READ, on_io, c);
		return 0;
	}
	if (why.code == VK_UNAVAILABLE || why.code == VK_NOTFOUND)
		return vk_api_away(c->o->socket, err);
	return vk_err_set(err, why.code, "%s", why.msg);
}

struct vk_api_conn *vk_api_conn_new(struct vk_loop *l, const struct vk_api_opts *o,
	const struct vk_api_conn_events *ev, void *arg)
{
	struct vk_api_conn *c = vk_alloc(sizeof(*c));
	c->loop = l;
	c->o = o;
	c->ev = ev;
	c->arg = arg;
	c->fd = -1;
	vk_buf_init(&c->out, SIZE_MAX / 4);
	c->deadline = vk_timer_new(l, on_deadline, c);
	return c;
}

void vk_api_conn_send(struct vk_api_conn *c, const void *request, size_t n, bool per_byte)
{
	if (c->fd < 0 && open_conn(c, &c->failure) != 0) {
		vk_timer_set(c->deadline, 0);
		return;
	}
	c->reader = vk_http1_new(&reader_events, c);
	c->ended = false;
	c->per_byte = per_byte;
	vk_buf_add(&c->out, request, n);
	vk_timer_set(c->deadline, c->o->timeout_ms);
	push_out(c);
}
