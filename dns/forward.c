/*
 * A foreign question goes out as it came, but for the id, from a socket of its own: the kernel chooses a fresh port and lets only
 * the asked resolver answer, so that neither can be guessed together.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "resolver.h"

#define QUERY_MAX 1024 /* a question with cookies and such */

struct pending {
	struct listener *s;
	struct pending *next;
	struct sockaddr_in from;
	struct dns_query q;
	uint8_t msg[QUERY_MAX];
	size_t n, tried;
	uint16_t id; /* of the forwarded message */
	int fd;
	struct vk_io *io;
	struct vk_timer *timer;
};

static void pending_free(struct pending *p)
{
	for (struct pending **at = &p->s->pending; *at != NULL; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			p->s->n_pending--;
			break;
		}
	}
	vk_io_free(p->io);
	vk_timer_free(p->timer);
	vk_closep(&p->fd);
	free(p);
}

static void reply(struct pending *p, const uint8_t *msg, size_t n)
{
	(void)sendto(p->s->udp_fd, msg, n, MSG_DONTWAIT, (const struct sockaddr *)&p->from,
		sizeof(p->from));
}

static void give_up(struct pending *p)
{
	uint8_t out[DNS_UDP_PLAIN];
	size_t n = dns_answer(p->msg, &p->q, DNS_SERVFAIL, NULL, 0, out, sizeof(out));
	if (n > 0)
		reply(p, out, n);
	pending_free(p);
}

static void try_next(void *arg);

static void on_reply(void *arg, int fd, int what)
{
	struct pending *p = arg;
	uint8_t msg[4096];
	(void)what;
	ssize_t n = recv(fd, msg, sizeof(msg), MSG_DONTWAIT);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			try_next(p); /* nobody listens there */
		return;
	}
	if (!dns_matches(msg, (size_t)n, p->id, p->msg, p->q.length))
		return;
	dns_put16(msg, p->q.id);
	reply(p, msg, (size_t)n);
	pending_free(p);
}

static bool send_to(struct pending *p, const struct sockaddr_in *upstream)
{
	vk_io_free(VK_TAKE(p->io));
	vk_closep(&p->fd);
	p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0 || getrandom(&p->id, sizeof(p->id), 0) != sizeof(p->id) ||
		connect(p->fd, (const struct sockaddr *)upstream, sizeof(*upstream)) < 0)
		return false;
	dns_put16(p->msg, p->id);
	ssize_t sent = send(p->fd, p->msg, p->n, MSG_DONTWAIT);
	dns_put16(p->msg, p->q.id);
	if (sent != (ssize_t)p->n)
		return false;
	p->io = vk_io_new(p->s->r->l, p->fd, VK_READ, on_reply, p);
	return true;
}

static void try_next(void *arg)
{
	struct pending *p = arg;
	const struct resolver *r = p->s->r;
	while (p->tried < r->n_upstream)
		if (send_to(p, &r->upstream[p->tried++])) {
			vk_timer_set(p->timer, DNS_TRY_MS);
			return;
		}
	give_up(p);
}

void forward_ask(struct listener *s, const struct sockaddr_in *from, const uint8_t *msg, size_t n,
	const struct dns_query *q)
{
	if (s->n_pending >= DNS_PENDING_MAX || n > QUERY_MAX)
		return; /* who floods waits for its own time-outs */
	struct pending *p = vk_alloc(sizeof(*p));
	*p = (struct pending){.s = s, .next = s->pending, .from = *from, .q = *q, .n = n, .fd = -1};
	memcpy(p->msg, msg, n);
	p->timer = vk_timer_new(s->r->l, try_next, p);
	s->pending = p;
	s->n_pending++;
	try_next(p);
}

void forward_drop_all(struct listener *s)
{
	while (s->pending != NULL)
		pending_free(s->pending);
}

/* ---- whom to ask ---- */

static bool add_upstream(const char *word, struct sockaddr_in *ret)
{
	struct in_addr a;
	if (inet_pton(AF_INET, word, &a) != 1)
		return false;
	*ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = a};
	return true;
}

size_t forward_upstreams(
	const char *text, bool resolv_conf, struct sockaddr_in ret[static DNS_UPSTREAMS_MAX])
{
	size_t n = 0;
	while (*text != '\0' && n < DNS_UPSTREAMS_MAX) {
		size_t line = strcspn(text, resolv_conf ? "\n" : ",");
		vk_autofree char *copy = vk_strndup(text, line);
		char *word = copy + strspn(copy, " \t");
		text += line + (text[line] != '\0' ? 1 : 0);
		if (resolv_conf) {
			if (!vk_starts(word, "nameserver") || strchr(" \t", word[10]) == NULL)
				continue;
			word += 10;
			word += strspn(word, " \t");
		}
		word[strcspn(word, " \t\r")] = '\0';
		n += add_upstream(word, &ret[n]) ? 1 : 0;
	}
	return n;
}
