/* The hostile way to a server: a process that carries bytes late and in pieces, and swallows answers when told to. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/mem.h>

#include "etcd_server.h"

#define PAIRS_MAX 64
#define PIECE_MAX 1500
#define LATE_MS   3

struct pair {
	int fd[2]; /* client's, server's; -1 = free */
	bool watches;
	char tail[16]; /* the last the client sent */
};

static int connect_to(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void end_pair(struct pair *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
	p->fd[0] = p->fd[1] = -1;
}

static void look_for_watch(struct pair *p, const char *piece, size_t n)
{
	static const char word[] = "/v3/watch";
	char text[sizeof(p->tail) + PIECE_MAX];
	memcpy(text, p->tail, sizeof(p->tail));
	memcpy(text + sizeof(p->tail), piece, n);
	p->watches |= memmem(text, sizeof(p->tail) + n, word, sizeof(word) - 1) != NULL;
	memcpy(p->tail, text + n, sizeof(p->tail));
}

/* One piece from one end to the other; by its size late or not. */
static void carry(struct pair *p, int from, unsigned *seed, volatile struct chaos_orders *orders)
{
	char piece[PIECE_MAX];
	size_t most = 1 + (size_t)rand_r(seed) % PIECE_MAX;
	ssize_t n = read(p->fd[from], piece, most);
	if (n > 0 && from == 0)
		look_for_watch(p, piece, (size_t)n);
	if (from == 1 && orders->mute && p->watches)
		return;
	if (n > 0 && from == 1 && orders->swallow > 0) {
		orders->swallow--;
		n = 0;
	}
	if (n > 0 && rand_r(seed) % 4 == 0)
		poll(NULL, 0, rand_r(seed) % (LATE_MS + 1));
	if (n <= 0 || write(p->fd[!from], piece, (size_t)n) != n)
		end_pair(p);
}

static void accept_one(int listener, int to_port, struct pair *pairs)
{
	int fd = accept(listener, NULL, NULL);
	for (size_t i = 0; i < PAIRS_MAX && fd >= 0; i++) {
		if (pairs[i].fd[0] >= 0)
			continue;
		int server = connect_to(to_port);
		if (server < 0)
			break;
		pairs[i] = (struct pair){.fd = {fd, server}};
		return;
	}
	close(fd);
}

static void serve(int listener, int to_port, unsigned seed, volatile struct chaos_orders *orders)
{
	struct pair pairs[PAIRS_MAX];
	memset(pairs, -1, sizeof(pairs));
	for (;;) {
		struct pollfd set[1 + 2 * PAIRS_MAX] = {{.fd = listener, .events = POLLIN}};
		for (size_t i = 0; i < PAIRS_MAX; i++)
			for (size_t k = 0; k < 2; k++)
				set[1 + 2 * i + k] =
					(struct pollfd){.fd = pairs[i].fd[k], .events = POLLIN};
		poll(set, VK_COUNT(set), -1);
		size_t first = (size_t)rand_r(&seed) % (2 * PAIRS_MAX); /* no one's turn is fixed */
		for (size_t j = 0; j < 2 * PAIRS_MAX; j++) {
			size_t at = (first + j) % (2 * PAIRS_MAX);
			struct pair *p = &pairs[at / 2];
			if (set[1 + at].revents != 0 && p->fd[0] >= 0)
				carry(p, (int)(at % 2), &seed, orders);
		}
		if (set[0].revents != 0)
			accept_one(listener, to_port, pairs);
	}
}

void chaos_start(struct chaos *c, int to_port, unsigned seed)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	vk_autoclose int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(listener, PAIRS_MAX), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&a, &n), 0);
	c->port = ntohs(a.sin_port);
	c->orders = mmap(NULL, sizeof(*c->orders), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(c->orders, MAP_FAILED);
	c->pid = fork();
	if (c->pid != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	serve(listener, to_port, seed, c->orders);
}

void chaos_stop(struct chaos *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
}
