/* A pipe both ways between two sockets. */
#include "relay.h"

#include <errno.h>
#include <sys/socket.h>
#include <viking/mem.h>

#define BUFFER_MAX  ((size_t)256 << 10)
#define BUFFER_FULL ((size_t)128 << 10) /* above this its source is not read */
#define PIECE       32768
#define EARLY_MAX \
	((size_t)64 << 10) /* what a server may have read before it handed a socket over */
#define LINGER_MS 10000    /* for the client to take the last bytes */

struct side {
	struct relay *r;
	int fd;
	struct vk_io *io;
	struct vk_buf in; /* for this side to take */
	bool ended;       /* sends no more */
};

struct relay {
	struct side near, far;
	struct vk_timer *linger;
};

static void relay_free(struct relay *r)
{
	struct side *sides[] = {&r->near, &r->far};
	for (size_t i = 0; i < VK_COUNT(sides); i++) {
		vk_io_free(sides[i]->io);
		vk_closep(&sides[i]->fd);
		vk_buf_release(&sides[i]->in);
	}
	vk_timer_free(r->linger);
	free(r);
}

static struct side *other(struct side *s)
{
	return s == &s->r->near ? &s->r->far : &s->r->near;
}

/* False: the peer is gone. */
static bool side_write(struct side *s)
{
	if (s->in.len == 0)
		return true;
	ssize_t n = send(s->fd, s->in.data, s->in.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	vk_buf_consume(&s->in, (size_t)n);
	return true;
}

/* False: the peer is at its end. */
static bool side_read(struct side *s)
{
	char piece[PIECE];
	ssize_t n = recv(s->fd, piece, sizeof(piece), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	return n > 0 && vk_buf_add(&other(s)->in, piece, (size_t)n) == 0;
}

static void side_interest(struct side *s)
{
	bool full = other(s)->in.len >= BUFFER_FULL;
	/* the client's going is noticed also while it is not read; of the far side every byte counts */
	int closed = s == &s->r->near ? VK_CLOSED : 0;
	vk_io_set(
		s->io, closed | (s->ended || full ? 0 : VK_READ) | (s->in.len > 0 ? VK_WRITE : 0));
}

/* Writes what can be written; r may be gone after it. */
static void relay_pump(struct relay *r)
{
	if (!side_write(&r->near)) {
		relay_free(r);
		return;
	}
	if (!r->far.ended && !side_write(&r->far))
		vk_buf_clear(&r->far.in); /* it takes no input any more; its output still counts */
	if (r->far.ended && r->near.in.len == 0) {
		relay_free(r);
		return;
	}
	side_interest(&r->near);
	side_interest(&r->far);
}

static void on_near(void *arg, int fd, int what)
{
	struct relay *r = arg;
	(void)fd;
	bool gone = (what & VK_CLOSED) != 0 && (what & VK_READ) == 0;
	if (gone || ((what & VK_READ) && !side_read(&r->near)))
		relay_free(r);
	else
		relay_pump(r);
}

static void on_far(void *arg, int fd, int what)
{
	struct relay *r = arg;
	(void)fd;
	if ((what & VK_READ) && !side_read(&r->far)) {
		r->far.ended = true;
		vk_buf_clear(&r->far.in);
		vk_timer_set(r->linger, LINGER_MS);
	}
	relay_pump(r);
}

static void on_linger(void *arg)
{
	relay_free(arg);
}

static void side_init(struct relay *r, struct side *s, int fd)
{
	s->r = r;
	s->fd = fd;
	vk_buf_init(&s->in, BUFFER_MAX + EARLY_MAX);
}

void relay_start(struct vk_loop *l, int near_fd, const void *near_early, size_t near_n, int far_fd,
	const void *far_early, size_t far_n)
{
	struct relay *r = vk_alloc(sizeof(*r));
	side_init(r, &r->near, near_fd);
	side_init(r, &r->far, far_fd);
	r->linger = vk_timer_new(l, on_linger, r);
	r->near.io = vk_io_new(l, near_fd, VK_READ | VK_CLOSED, on_near, r);
	r->far.io = vk_io_new(l, far_fd, VK_READ, on_far, r);
	if (vk_buf_add(&r->near.in, far_early, far_n) != 0 ||
		vk_buf_add(&r->far.in, near_early, near_n) != 0) {
		relay_free(r);
		return;
	}
	relay_pump(r);
}
