#include "message.h"

#include <errno.h>
#include <sys/socket.h>

/* One row a kind: who sends it, whether only after log-in, how many numbers, strings and descriptors. */
struct layout {
	enum message_from from;
	bool login;
	uint8_t numbers, strings, fds;
};

static const struct layout layouts[MESSAGE_KINDS] = {
	[MESSAGE_KEY_QUERY] = {FROM_SESSION, false, 0, 1, 0},
	[MESSAGE_KEY_LOGIN] = {FROM_SESSION, false, 0, 2, 0},
	[MESSAGE_RUN] = {FROM_SESSION, true, 3, 4, 0},
	[MESSAGE_RESIZE] = {FROM_SESSION, true, 2, 0, 0},
	[MESSAGE_SIGNAL] = {FROM_SESSION, true, 0, 1, 0},
	[MESSAGE_PROGRESS] = {FROM_SESSION, true, 1, 0, 0},
	[MESSAGE_CLOSE] = {FROM_SESSION, true, 0, 0, 0},
	[MESSAGE_KEY_ANSWER] = {FROM_MONITOR, false, 1, 1, 0},
	[MESSAGE_STARTED] = {FROM_MONITOR, true, 1, 0, MESSAGE_FDS},
	[MESSAGE_SAY] = {FROM_MONITOR, true, 2, 1, 0},
	[MESSAGE_EXITED] = {FROM_MONITOR, true, 1, 1, 0},
	[MESSAGE_REVOKED] = {FROM_MONITOR, false, 0, 1, 0},
};

bool message_needs_login(enum message_kind kind)
{
	return layouts[kind].login;
}

static void put_number(struct vk_buf *out, uint32_t v, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0;)
		vk_buf_addc(out, (char)(v >> (8 * i)));
}

int message_encode(const struct message *m, struct vk_buf *out, struct vk_err *err)
{
	const struct layout *l = &layouts[m->kind];
	out->max = MESSAGE_MAX;
	put_number(out, m->kind, 1);
	put_number(out, m->channel, 1);
	for (unsigned i = 0; i < l->numbers; i++)
		put_number(out, m->num[i], 4);
	for (unsigned i = 0; i < l->strings; i++) {
		const char *s = m->str[i] != NULL ? m->str[i] : "";
		size_t n = strlen(s);
		if (out->len + 2 + n > MESSAGE_MAX)
			return vk_err_set(err, VK_LIMIT, "a message is over %d bytes", MESSAGE_MAX);
		put_number(out, (uint32_t)n, 2);
		vk_buf_add(out, s, n);
	}
	return 0;
}

/* The rest of a datagram; `bad` stays set once something was missing. */
struct reader {
	const unsigned char *p;
	size_t n;
	bool bad;
};

static uint32_t take_number(struct reader *r, unsigned bytes)
{
	if (r->n < bytes) {
		r->bad = true;
		r->n = 0;
		return 0;
	}
	uint32_t v = 0;
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | r->p[i];
	r->p += bytes;
	r->n -= bytes;
	return v;
}

static char *take_string(struct reader *r)
{
	size_t n = take_number(r, 2);
	if (n > r->n || memchr(r->p, '\0', n) != NULL)
		r->bad = true;
	if (r->bad)
		return vk_strdup("");
	char *s = vk_strndup((const char *)r->p, n);
	r->p += n;
	r->n -= n;
	return s;
}

static int take_body(
	struct reader *r, const struct layout *l, struct message *m, struct vk_err *err)
{
	for (unsigned i = 0; i < l->numbers; i++)
		m->num[i] = take_number(r, 4);
	for (unsigned i = 0; i < l->strings; i++)
		m->str[i] = take_string(r);
	if (!r->bad && r->n == 0)
		return 0;
	message_release(m);
	return vk_err_set(err, VK_INVALID, "a message of kind %d has a wrong length", (int)m->kind);
}

int message_decode(
	const void *p, size_t n, enum message_from from, struct message *ret, struct vk_err *err)
{
	struct reader r = {.p = p, .n = n};
	unsigned kind = take_number(&r, 1), channel = take_number(&r, 1);
	if (r.bad || kind == 0 || kind >= MESSAGE_KINDS || layouts[kind].from != from)
		return vk_err_set(err, VK_INVALID, "a message of kind %u is not expected", kind);
	if (channel >= CHANNELS_MAX)
		return vk_err_set(err, VK_INVALID, "a message names channel %u", channel);
	struct message m = MESSAGE_INIT((enum message_kind)kind, channel);
	int rc = take_body(&r, &layouts[kind], &m, err);
	if (rc == 0)
		*ret = m;
	return rc;
}

void message_release(struct message *m)
{
	for (unsigned i = 0; i < MESSAGE_STRINGS; i++) {
		free(m->str[i]);
		m->str[i] = NULL;
	}
	for (unsigned i = 0; i < MESSAGE_FDS; i++)
		vk_closep(&m->fd[i]);
	m->fd[0] = m->fd[1] = m->fd[2] = -1;
}

int message_send(int sock, const struct message *m, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(MESSAGE_MAX);
	int rc = message_encode(m, &text, err);
	if (rc != 0)
		return rc;
	union {
		char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS)];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec io = {text.data, text.len};
	struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1};
	unsigned fds = 0;
	while (fds < MESSAGE_FDS && m->fd[fds] >= 0)
		fds++;
	if (fds > 0) {
		h.msg_control = control.bytes;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fds);
		memcpy(CMSG_DATA(c), m->fd, sizeof(int) * fds);
	}
	ssize_t n;
	do
		n = sendmsg(sock, &h, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		return vk_err_set(err, VK_UNAVAILABLE, "the other side is gone");
	return n < 0 ? vk_err_errno(err, errno, "sendmsg") : 0;
}

/* Puts the descriptors of a received datagram into fd, closes what is too many. */
static unsigned take_fds(struct msghdr *h, int fd[MESSAGE_FDS])
{
	unsigned n = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int one;
			memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
			if (n < MESSAGE_FDS)
				fd[n++] = one;
			else
				close(one);
		}
	}
	return n;
}

int message_recv(int sock, enum message_from from, struct message *ret, struct vk_err *err)
{
	char bytes[MESSAGE_MAX];
	union {
		char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec io = {bytes, sizeof(bytes)};
	struct msghdr h = {.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	ssize_t n;
	do
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return vk_err_set(err, VK_UNAVAILABLE, "the other side is gone");
	if (n < 0)
		return vk_err_errno(err, errno, "recvmsg");
	int fd[MESSAGE_FDS] = {-1, -1, -1};
	unsigned fds = take_fds(&h, fd);
	struct message m;
	int rc = h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)
		? vk_err_set(err, VK_INVALID, "a message is too long")
		: message_decode(bytes, (size_t)n, from, &m, err);
	if (rc == 0 && fds > layouts[m.kind].fds) {
		message_release(&m);
		rc = vk_err_set(err, VK_INVALID, "a message brings descriptors it may not");
	}
	if (rc != 0) {
		for (unsigned i = 0; i < fds; i++)
			close(fd[i]);
		return rc;
	}
	memcpy(m.fd, fd, sizeof(fd));
	*ret = m;
	return 0;
}
