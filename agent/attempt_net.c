#include "attempt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/mem.h>
#include <viking/str.h>

#define HEAD_MAX 4096

struct net {
	struct attempt a;
	int fd;
	struct vk_io *io;
	char ip[64];
	unsigned port, below;
	char *path;
	bool sent;
	struct vk_buf in;
	int64_t timeout_ms;
};

void attempt_end(struct attempt *a, bool ok, const char *fmt, ...)
{
	char raw[320], text[200];
	attempt_fn *done = a->done;
	void *arg = a->arg;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	vk_str_printable(raw, strlen(raw), text, sizeof(text) - 1);
	a->release(a);
	done(arg, ok, text);
}

void attempt_cancel(struct attempt *a)
{
	if (a != NULL)
		a->release(a);
}

static void net_release(struct attempt *a)
{
	struct net *n = (struct net *)a;
	vk_io_free(n->io);
	vk_timer_free(a->deadline);
	if (n->fd >= 0)
		close(n->fd);
	vk_buf_release(&n->in);
	free(n->path);
	free(n);
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

int attempt_http_status(const char *p, size_t n)
{
	static const char head[] = "HTTP/1.";
	size_t known = n < sizeof(head) - 1 ? n : sizeof(head) - 1;
	if (memcmp(p, head, known) != 0)
		return -1;
	if (n < 12)
		return 0;
	if (!digit(p[7]) || p[8] != ' ' || !digit(p[9]) || !digit(p[10]) || !digit(p[11]))
		return -1;
	int status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
	return status < 100 ? -1 : status;
}

static void ask(struct net *n)
{
	vk_autobuf b = VK_BUF_INIT(8192);
	vk_buf_addf(&b,
		"GET %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: viking-health\r\nAccept: */*\r\n"
		"Connection: close\r\n\r\n",
		n->path, n->ip, n->port);
	ssize_t k = send(n->fd, b.data, b.len, MSG_NOSIGNAL); /* a fresh socket takes it at once */
	if (k != (ssize_t)b.len) {
		attempt_end(&n->a, false, "cannot send to port %u", n->port);
		return;
	}
	n->sent = true;
	vk_io_set(n->io, VK_READ);
}

static void on_connected(struct net *n)
{
	int e = 0;
	socklen_t len = sizeof(e);
	getsockopt(n->fd, SOL_SOCKET, SO_ERROR, &e, &len);
	if (e != 0) {
		attempt_end(&n->a, false,
			e == ECONNREFUSED ? "nothing listens on port %u" : "port %u: %s", n->port,
			strerror(e));
		return;
	}
	if (n->path == NULL)
		attempt_end(&n->a, true, "port %u accepts", n->port);
	else
		ask(n);
}

static void on_answer(struct net *n)
{
	char piece[1024];
	ssize_t k = recv(n->fd, piece, sizeof(piece), 0);
	if (k < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (k <= 0 || vk_buf_add(&n->in, piece, (size_t)k) < 0) {
		attempt_end(&n->a, false, "GET %s closed without an answer", n->path);
		return;
	}
	int status = attempt_http_status(n->in.data, n->in.len);
	if (status == 0)
		return;
	if (status < 0)
		attempt_end(&n->a, false, "port %u does not speak HTTP", n->port);
	else
		attempt_end(&n->a, status >= 200 && (unsigned)status < n->below,
			"GET %s answered %d", n->path, status);
}

static void on_io(void *arg, int fd, int what)
{
	struct net *n = arg;
	(void)fd;
	(void)what;
	if (n->sent)
		on_answer(n);
	else
		on_connected(n);
}

static void on_deadline(void *arg)
{
	struct net *n = arg;
	if (n->fd < 0)
		attempt_end(
			&n->a, false, "cannot connect to %s", n->ip[0] ? n->ip : "(no address)");
	else
		attempt_end(&n->a, false,
			n->path != NULL ? "no HTTP answer on port %u within %lld ms"
					: "port %u did not accept within %lld ms",
			n->port, (long long)n->timeout_ms);
}

/* 0 connected or on its way. */
static int open_socket(struct net *n)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)n->port)};
	if (inet_pton(AF_INET, n->ip, &to.sin_addr) != 1)
		return -1;
	n->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (n->fd < 0)
		return -1;
	if (connect(n->fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS)
		return 0;
	close(n->fd);
	n->fd = -1;
	return -1;
}

struct attempt *attempt_net(struct vk_loop *l, const char *ip, uint16_t port, const char *path,
	unsigned below, int64_t timeout_ms, attempt_fn *done, void *arg)
{
	struct net *n = vk_alloc(sizeof(*n));
	n->a = (struct attempt){.loop = l, .done = done, .arg = arg, .release = net_release};
	snprintf(n->ip, sizeof(n->ip), "%s", ip);
	n->port = port;
	n->below = below;
	n->path = vk_strdup(path);
	n->fd = -1;
	n->timeout_ms = timeout_ms;
	vk_buf_init(&n->in, HEAD_MAX);
	n->a.deadline = vk_timer_new(l, on_deadline, n);
	if (open_socket(n) == 0) {
		n->io = vk_io_new(l, n->fd, VK_WRITE, on_io, n);
		vk_timer_set(n->a.deadline, timeout_ms);
	} else {
		vk_timer_set(n->a.deadline, 0); /* done is never called from inside */
	}
	return &n->a;
}
