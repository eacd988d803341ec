/* page [PORT [BODY-BYTES]]: the application under load, a keep-alive HTTP server that answers every request with the same page; /long is a gigabyte
 * of such bodies. busybox's httpd forks for each request and keeps a backlog of nine, so a load test of the router would measure its dropped SYNs. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG (UINT64_C(1) << 30)
#define FDS  65536

static char *page;
static size_t page_size, body_size;
static uint64_t left[FDS]; /* of a long answer, by descriptor */
static int poller;

static void make_page(size_t body)
{
	page = malloc(body + 128);
	int head = page == NULL ? -1
				: snprintf(page, 128,
					  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
					  "Content-Length: %zu\r\n\r\n",
					  body);
	if (head < 0)
		exit(1);
	memset(page + head, 'k', body);
	page[(size_t)head + body - 1] = '\n';
	page_size = (size_t)head + body;
	body_size = body;
}

static int listen_on(unsigned short port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, room = 1 << 20; /* for a whole page: nothing waits to be written */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) != 0 ||
		bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0)
		exit(1);
	return fd;
}

static void watch(int fd, int how, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};
	epoll_ctl(poller, how, fd, &ev);
}

static void go_on(int fd)
{
	while (left[fd] > 0) {
		ssize_t n = write(fd, page + page_size - body_size,
			left[fd] < body_size ? left[fd] : body_size);
		if (n < 0) {
			watch(fd, EPOLL_CTL_MOD, errno == EAGAIN ? EPOLLOUT : EPOLLIN);
			return;
		}
		left[fd] -= (uint64_t)n;
	}
	watch(fd, EPOLL_CTL_MOD, EPOLLIN);
}

static void answer_long(int fd)
{
	left[fd] = LONG;
	if (dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n",
		    (unsigned long long)LONG) > 0)
		go_on(fd);
}

/* One page for each blank line: requests of this load have no body. A blank line that is cut by the end of the buffer would
 * be missed; the load generator sends a request in one segment. */
static void answer(int fd)
{
	char in[16384];
	ssize_t n = read(fd, in, sizeof(in) - 1);
	if (n <= 0) {
		close(fd);
		return;
	}
	in[n] = '\0';
	if (strncmp(in, "GET /long ", 10) == 0) {
		answer_long(fd);
		return;
	}
	for (const char *at = strstr(in, "\r\n\r\n"); at != NULL; at = strstr(at + 4, "\r\n\r\n"))
		if (write(fd, page, page_size) < 0)
			return;
}

static void take(int listener)
{
	int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (fd >= FDS) {
		close(fd);
		return;
	}
	left[fd] = 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch(fd, EPOLL_CTL_ADD, EPOLLIN);
}

int main(int argc, char **argv)
{
	int listener = listen_on(argc > 1 ? (unsigned short)strtoul(argv[1], NULL, 10) : 8080);
	make_page(argc > 2 ? strtoul(argv[2], NULL, 10) : 3);
	poller = epoll_create1(EPOLL_CLOEXEC);
	watch(listener, EPOLL_CTL_ADD, EPOLLIN);
	for (;;) {
		struct epoll_event got[256];
		int n = epoll_wait(poller, got, 256, -1);
		for (int i = 0; i < n; i++) {
			if (got[i].data.fd == listener)
				take(listener);
			else if (got[i].events & EPOLLOUT)
				go_on(got[i].data.fd);
			else
				answer(got[i].data.fd);
		}
	}
}
