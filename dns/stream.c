/* Questions over TCP, one at a time a connection: read, answer or ask the host's resolver over TCP, write, again. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/mem.h>

#include "resolver.h"

#define QUERY_MAX  4096
#define ACCEPT_MAX 16

struct stream {
	struct listener *s;
	struct stream *next;
	uint32_t addr;
	int fd, up_fd; /* up_fd: the host's resolver, -1 = not asked */
	struct vk_io *io, *up_io;
	struct vk_timer *timer;
	struct vk_buf in, out; /* with the length before each message */
	size_t upstream;       /* of the next resolver to try */
};

static void stream_free(struct stream *t)
{
	for (struct stream **at = &t->s->streams; *at != NULL; at = &(*at)->next) {
		if (*at == t) {
			*at = t->next;
			t->s->n_streams--;
			break;
		}
	}
	vk_io_free(t->io);
	vk_io_free(t->up_io);
	vk_timer_free(t->timer);
	vk_closep(&t->fd);
	vk_closep(&t->up_fd);
	vk_buf_release(&t->in);
	vk_buf_release(&t->out);
	free(t);
}

static void stream_over(void *arg)
{
	stream_free(arg);
}

static void on_client(void *arg, int fd, int what);
static void on_upstream(void *arg, int fd, int what);
static void ask_upstream(struct stream *t);

static void watch_client(struct stream *t, int what)
{
	vk_io_free(VK_TAKE(t->io));
	t->io = vk_io_new(t->s->r->l, t->fd, what, on_client, t);
}

static void reply(struct stream *t, const uint8_t *msg, size_t n)
{
	uint8_t head[2];
	dns_put16(head, (uint16_t)n);
	vk_buf_clear(&t->out);
	(void)vk_buf_add(&t->out, head, 2);
	(void)vk_buf_add(&t->out, msg, n);
	watch_client(t, VK_WRITE);
}

/* The length of the message that is complete at the head of b, 0 = none yet. */
static size_t complete(const struct vk_buf *b)
{
	size_t n = b->len >= 2 ? dns_get16((const uint8_t *)b->data) : 0;
	return n > 0 && b->len >= n + 2 ? n : 0;
}

static void next_question(struct stream *t)
{
	static uint8_t out[DNS_TCP_MOST]; /* one thread, used within this call */
	size_t n = complete(&t->in);
	if (n == 0) {
		watch_client(t, VK_READ);
		return;
	}
	struct dns_query q;
	bool foreign = false;
	size_t len = resolver_answer(t->s, t->addr, (const uint8_t *)t->in.data + 2, n, true, out,
		sizeof(out), &q, &foreign);
	if (foreign) {
		t->upstream = 0;
		ask_upstream(t);
	} else if (len > 0) {
		vk_buf_consume(&t->in, n + 2);
		reply(t, out, len);
	} else {
		stream_free(t);
	}
}

static void on_client(void *arg, int fd, int what)
{
	struct stream *t = arg;
	char chunk[1024];
	if ((what & VK_WRITE) != 0) {
		ssize_t n = send(fd, t->out.data, t->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			stream_free(t);
			return;
		}
		vk_buf_consume(&t->out, n > 0 ? (size_t)n : 0);
		if (t->out.len == 0) {
			vk_timer_set(t->timer, DNS_STREAM_MS);
			next_question(t);
		}
		return;
	}
	ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || vk_buf_add(&t->in, chunk, (size_t)n) != 0)
		stream_free(t);
	else
		next_question(t);
}

/* ---- the other side ---- */

static void close_upstream(struct stream *t)
{
	vk_io_free(VK_TAKE(t->up_io));
	vk_closep(&t->up_fd);
	t->up_fd = -1;
}

static void ask_upstream(struct stream *t)
{
	const struct resolver *r = t->s->r;
	close_upstream(t);
	vk_io_free(VK_TAKE(t->io)); /* what else the client says waits in the socket */
	vk_buf_clear(&t->out);
	while (t->upstream < r->n_upstream) {
		const struct sockaddr_in *to = &r->upstream[t->upstream++];
		t->up_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (t->up_fd >= 0 &&
			(connect(t->up_fd, (const struct sockaddr *)to, sizeof(*to)) == 0 ||
				errno == EINPROGRESS)) {
			t->up_io = vk_io_new(r->l, t->up_fd, VK_WRITE, on_upstream, t);
			return;
		}
		vk_closep(&t->up_fd);
		t->up_fd = -1;
	}
	stream_free(t);
}

static void upstream_ready(struct stream *t)
{
	size_t n = complete(&t->in) + 2;
	/* a question is far smaller than a socket's buffer: all or a failure */
	if (send(t->up_fd, t->in.data, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n) {
		ask_upstream(t);
		return;
	}
	vk_io_free(VK_TAKE(t->up_io));
	t->up_io = vk_io_new(t->s->r->l, t->up_fd, VK_READ, on_upstream, t);
}

static void on_upstream(void *arg, int fd, int what)
{
	struct stream *t = arg;
	char chunk[4096];
	if ((what & VK_WRITE) != 0) {
		upstream_ready(t);
		return;
	}
	ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || vk_buf_add(&t->out, chunk, (size_t)n) != 0) {
		ask_upstream(t);
		return;
	}
	size_t len = complete(&t->out);
	if (len == 0)
		return;
	close_upstream(t);
	vk_buf_consume(&t->in, complete(&t->in) + 2);
	if (t->out.len > len + 2) { /* nothing more was asked for */
		stream_free(t);
		return;
	}
	watch_client(t, VK_WRITE);
}

/* ---- coming and going ---- */

void stream_accept(struct listener *s)
{
	for (int i = 0; i < ACCEPT_MAX; i++) {
		struct sockaddr_in from = {0};
		socklen_t size = sizeof(from);
		int fd = accept4(
			s->tcp_fd, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		if (!listener_serves(s, ntohl(from.sin_addr.s_addr)) ||
			s->n_streams >= DNS_STREAMS_MAX) {
			close(fd);
			continue;
		}
		struct stream *t = vk_alloc(sizeof(*t));
		*t = (struct stream){.s = s,
			.next = s->streams,
			.addr = ntohl(from.sin_addr.s_addr),
			.fd = fd,
			.up_fd = -1};
		vk_buf_init(&t->in, QUERY_MAX);
		vk_buf_init(&t->out, DNS_TCP_MOST + 2);
		t->timer = vk_timer_new(s->r->l, stream_over, t);
		vk_timer_set(t->timer, DNS_STREAM_MS);
		s->streams = t;
		s->n_streams++;
		watch_client(t, VK_READ);
	}
}

void stream_drop_all(struct listener *s)
{
	while (s->streams != NULL)
		stream_free(s->streams);
}
