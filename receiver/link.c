#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/exec_frames.h>
#include <viking/log.h>
#include <viking/mem.h>

#define PIPES 2
#define PIECE 65536
#define FULL  ((size_t)256 << 10) /* above this what fills a queue is not read */

struct pipe_end {
	struct link *k;
	int fd, type; /* fd -1: not there, or at its end */
	struct vk_io *io;
	struct vk_buf queue; /* of a sink */
	bool ending;
};

struct link {
	struct vk_loop *loop;
	int fd;
	struct vk_io *io;
	struct vk_exec_frames in;
	struct vk_buf out;
	struct pipe_end source[PIPES], sink[PIPES];
	const struct link_ops *ops;
	void *arg;
	bool gone;
};

static void end_close(struct pipe_end *e)
{
	vk_io_free(VK_TAKE(e->io));
	vk_closep(&e->fd);
	e->fd = -1;
	vk_buf_release(&e->queue);
}

bool link_idle(const struct link *k)
{
	bool idle = k->out.len == 0;
	for (size_t i = 0; i < PIPES; i++)
		idle = idle && k->sink[i].queue.len == 0;
	return idle;
}

/* ---- who is listened to ---- */

static void interest(struct link *k)
{
	bool full = false;
	for (size_t i = 0; i < PIPES; i++) {
		const struct pipe_end *s = &k->sink[i];
		full = full || s->queue.len >= FULL;
		if (s->fd >= 0)
			vk_io_set(s->io, s->queue.len > 0 ? VK_WRITE : 0);
		if (k->source[i].fd >= 0)
			vk_io_set(k->source[i].io, k->out.len < FULL ? VK_READ : 0);
	}
	if (!k->gone)
		vk_io_set(k->io, (full ? 0 : VK_READ) | (k->out.len > 0 ? VK_WRITE : 0));
}

static void leave(struct link *k)
{
	if (k->gone)
		return;
	k->gone = true;
	vk_io_set(k->io, 0);
	vk_buf_clear(&k->out);
	k->ops->gone(k->arg);
}

static void settle(struct link *k)
{
	interest(k);
	if (link_idle(k))
		k->ops->idle(k->arg);
}

/* ---- sinks ---- */

/* Who does not take its input any more has its reasons; the rest is dropped. */
static void sink_write(struct pipe_end *s)
{
	while (s->fd >= 0 && s->queue.len > 0) {
		ssize_t n = write(s->fd, s->queue.data, s->queue.len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			end_close(s);
			return;
		}
		vk_buf_consume(&s->queue, (size_t)n);
	}
	if (s->ending)
		end_close(s);
}

static struct pipe_end *sink_of(struct link *k, int type)
{
	for (size_t i = 0; i < PIPES; i++)
		if (k->sink[i].type == type)
			return &k->sink[i];
	return NULL;
}

static void on_sink(void *arg, int fd, int what)
{
	struct pipe_end *s = arg;
	(void)fd, (void)what;
	sink_write(s);
	settle(s->k);
}

void link_sink_end(struct link *k, int type)
{
	struct pipe_end *s = sink_of(k, type);
	if (s == NULL)
		return;
	s->ending = true;
	sink_write(s);
}

/* ---- the connection ---- */

void link_send(struct link *k, int type, const void *p, size_t n)
{
	uint8_t head[5];
	if (k->gone)
		return;
	vk_exec_head(head, type, (uint32_t)n);
	if (vk_buf_add(&k->out, head, sizeof(head)) != 0 || vk_buf_add(&k->out, p, n) != 0)
		leave(k);
	else
		interest(k);
}

static int on_frame(void *arg, int type, const void *p, size_t n)
{
	struct link *k = arg;
	struct pipe_end *s = sink_of(k, type);
	if (s == NULL) {
		k->ops->frame(k->arg, type, p, n);
		return 0;
	}
	if (s->fd >= 0 && !s->ending && vk_buf_add(&s->queue, p, n) != 0)
		return VK_LIMIT;
	if (k->ops->taken != NULL)
		k->ops->taken(k->arg, n);
	sink_write(s);
	return 0;
}

void link_feed(struct link *k, const void *p, size_t n)
{
	struct vk_err err = {0};
	if (vk_exec_frames_feed(&k->in, p, n, on_frame, k, &err) != 0)
		leave(k);
}

static void connection_read(struct link *k)
{
	char piece[PIECE];
	ssize_t n = recv(k->fd, piece, sizeof(piece), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		link_feed(k, piece, (size_t)n);
	else
		leave(k);
}

static void on_connection(void *arg, int fd, int what)
{
	struct link *k = arg;
	if ((what & VK_WRITE) && k->out.len > 0) {
		ssize_t n = send(fd, k->out.data, k->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			vk_buf_consume(&k->out, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			leave(k);
	}
	if (what & VK_READ && !k->gone)
		connection_read(k);
	settle(k);
}

/* ---- sources ---- */

static void on_source(void *arg, int fd, int what)
{
	struct pipe_end *s = arg;
	struct link *k = s->k;
	char piece[PIECE];
	(void)what;
	ssize_t n = read(fd, piece, sizeof(piece));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		link_send(k, s->type, piece, (size_t)n);
		return;
	}
	end_close(s);
	k->ops->ended(k->arg, s->type);
}

static void attach(struct link *k, struct pipe_end *ends, int type, int fd, vk_io_fn *fn)
{
	struct pipe_end *e = ends[0].type < 0 ? &ends[0] : &ends[1];
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	e->type = type;
	e->fd = fd;
	vk_buf_init(&e->queue, FULL + 2 * VK_EXEC_MAX);
	e->io = vk_io_new(k->loop, fd, 0, fn, e);
	interest(k);
}

void link_source(struct link *k, int type, int fd)
{
	attach(k, k->source, type, fd, on_source);
}

void link_sink(struct link *k, int type, int fd)
{
	attach(k, k->sink, type, fd, on_sink);
}

/* ---- life ---- */

struct link *link_new(struct vk_loop *l, int fd, const struct link_ops *ops, void *arg)
{
	struct link *k = vk_alloc(sizeof(*k));
	*k = (struct link){.loop = l, .fd = fd, .ops = ops, .arg = arg};
	for (size_t i = 0; i < PIPES; i++)
		k->source[i] = k->sink[i] = (struct pipe_end){.k = k, .fd = -1, .type = -1};
	vk_exec_frames_init(&k->in);
	vk_buf_init(&k->out, FULL + 2 * VK_EXEC_MAX);
	k->io = vk_io_new(l, fd, VK_READ, on_connection, k);
	return k;
}

void link_free(struct link *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < PIPES; i++) {
		end_close(&k->source[i]);
		end_close(&k->sink[i]);
	}
	vk_io_free(k->io);
	vk_closep(&k->fd);
	vk_exec_frames_release(&k->in);
	vk_buf_release(&k->out);
	free(k);
}
