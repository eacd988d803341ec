#include <errno.h>
#include <sys/socket.h>

#include "nursery.h"

#define NOTE_BYTES 9

union fd_space {
	char bytes[CMSG_SPACE(sizeof(int) * 2)];
	struct cmsghdr align;
};

static void put_u32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static uint32_t get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int nursery_send(int sock, const struct nursery_note *n, struct vk_err *err)
{
	unsigned char bytes[NOTE_BYTES] = {(unsigned char)n->kind};
	put_u32(bytes + 1, n->id);
	put_u32(bytes + 5, n->value);
	union fd_space space = {{0}};
	struct iovec io = {bytes, sizeof(bytes)};
	struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1};
	if (n->kind == NURSERY_START) {
		const int fds[2] = {n->client, n->monitor};
		h.msg_control = space.bytes;
		h.msg_controllen = sizeof(space.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fds));
		memcpy(CMSG_DATA(c), fds, sizeof(fds));
	}
	ssize_t sent;
	do
		sent = sendmsg(sock, &h, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
		return vk_err_set(err, VK_UNAVAILABLE, "the nursery of sessions is gone");
	return sent < 0 ? vk_err_errno(err, errno, "sendmsg") : 0;
}

static void take_fds(struct msghdr *h, struct nursery_note *n)
{
	int fds[2];
	struct cmsghdr *c = CMSG_FIRSTHDR(h);
	if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
		c->cmsg_len != CMSG_LEN(sizeof(fds)))
		return;
	memcpy(fds, CMSG_DATA(c), sizeof(fds));
	n->client = fds[0];
	n->monitor = fds[1];
}

int nursery_recv(int sock, struct nursery_note *ret, struct vk_err *err)
{
	unsigned char bytes[NOTE_BYTES];
	union fd_space space;
	struct iovec io = {bytes, sizeof(bytes)};
	struct msghdr h = {.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = space.bytes,
		.msg_controllen = sizeof(space.bytes)};
	ssize_t n;
	do
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return vk_err_set(err, VK_UNAVAILABLE, "the nursery of sessions is gone");
	if (n < 0)
		return vk_err_errno(err, errno, "recvmsg");
	struct nursery_note note = {.client = -1, .monitor = -1};
	take_fds(&h, &note);
	if (n != NOTE_BYTES) {
		vk_closep(&note.client);
		vk_closep(&note.monitor);
		return vk_err_set(err, VK_INVALID, "a note of %zd bytes", n);
	}
	note.kind = (enum nursery_kind)bytes[0];
	note.id = get_u32(bytes + 1);
	note.value = get_u32(bytes + 5);
	*ret = note;
	return 0;
}
