/* One connection, its first bytes, a deadline. */
#include "ping.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/mem.h>
#include <viking/str.h>

#define SEEN_MAX 64

struct ping {
	int fd;
	struct vk_io *io;
	struct vk_timer *deadline;
	char *say, *expect, *name;
	char seen[SEEN_MAX];
	size_t n;
	struct vk_err failure;
	ping_fn *fn;
	void *arg;
};

void ping_cancel(struct ping *p)
{
	if (p == NULL)
		return;
	vk_io_free(p->io);
	vk_closep(&p->fd);
	vk_timer_free(p->deadline);
	free(p->say);
	free(p->expect);
	free(p->name);
	free(p);
}

static void over(struct ping *p, const struct vk_err *err)
{
	if (p->expect == NULL && err != NULL && err->code == VK_UNAVAILABLE)
		err = NULL; /* refused */
	struct vk_err copy = err != NULL ? *err : (struct vk_err){0};
	ping_fn *fn = p->fn;
	void *arg = p->arg;
	ping_cancel(p);
	fn(arg, err != NULL ? &copy : NULL);
}

static void fail(struct ping *p, int errnum)
{
	struct vk_err err = {0};
	vk_err_errno(&err, errnum, "%s", p->name);
	over(p, &err);
}

static void on_deadline(void *arg)
{
	struct ping *p = arg;
	if (p->failure.code == 0)
		vk_err_set(&p->failure, VK_TIMEOUT, "%s: no answer", p->name);
	over(p, &p->failure);
}

static void connected(struct ping *p)
{
	int e = 0;
	socklen_t n = sizeof(e);
	getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &e, &n);
	if (e == 0 && p->say[0] != '\0' && send(p->fd, p->say, strlen(p->say), MSG_NOSIGNAL) < 0)
		e = errno;
	if (e != 0)
		fail(p, e);
	else if (p->expect == NULL)
		over(p, NULL);
	else
		vk_io_set(p->io, VK_READ);
}

static void answered(struct ping *p)
{
	size_t wanted = strlen(p->expect);
	ssize_t n = recv(p->fd, p->seen + p->n, SEEN_MAX - p->n, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		p->n += (size_t)n;
	if (n > 0 && p->n < wanted)
		return;
	bool right = p->n >= wanted && memcmp(p->seen, p->expect, wanted) == 0;
	struct vk_err err = {0};
	if (!right)
		vk_err_set(&err, VK_FAILED, "%s: answers, but not as it should", p->name);
	over(p, right ? NULL : &err);
}

static void on_io(void *arg, int fd, int what)
{
	struct ping *p = arg;
	(void)fd;
	if (what & VK_WRITE)
		connected(p);
	else
		answered(p);
}

static socklen_t address_of(const struct ping_spec *spec, struct sockaddr_storage *ret)
{
	struct sockaddr_in *a4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ret;
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, spec->address, &a4->sin_addr) == 1) {
		if (a4->sin_addr.s_addr == htonl(INADDR_ANY))
			a4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a4->sin_family = AF_INET;
		a4->sin_port = htons(spec->port);
		return sizeof(*a4);
	}
	if (inet_pton(AF_INET6, spec->address, &a6->sin6_addr) != 1)
		return 0;
	if (IN6_IS_ADDR_UNSPECIFIED(&a6->sin6_addr))
		a6->sin6_addr = in6addr_loopback;
	a6->sin6_family = AF_INET6;
	a6->sin6_port = htons(spec->port);
	return sizeof(*a6);
}

static void begin(struct ping *p, struct vk_loop *l, const struct ping_spec *spec)
{
	struct sockaddr_storage a;
	socklen_t n = address_of(spec, &a);
	if (n == 0) {
		vk_err_set(&p->failure, VK_INVALID, "%s is no IP address", spec->address);
		return;
	}
	p->fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0 ||
		(connect(p->fd, (const struct sockaddr *)&a, n) != 0 && errno != EINPROGRESS)) {
		vk_err_errno(&p->failure, errno, "%s", p->name);
		return;
	}
	p->io = vk_io_new(l, p->fd, VK_WRITE, on_io, p);
}

struct ping *ping_start(struct vk_loop *l, const struct ping_spec *spec, int64_t deadline_ms,
	ping_fn *fn, void *arg)
{
	struct ping *p = vk_alloc(sizeof(*p));
	p->fd = -1;
	p->say = vk_strdup(spec->say != NULL ? spec->say : "");
	p->expect = vk_strdup(spec->expect);
	p->name = vk_asprintf("%s port %u", spec->address, (unsigned)spec->port);
	p->fn = fn;
	p->arg = arg;
	p->deadline = vk_timer_new(l, on_deadline, p);
	begin(p, l, spec);
	vk_timer_set(p->deadline, p->failure.code != 0 ? 0 : deadline_ms);
	return p;
}
