#include "exchange.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <viking/mem.h>

#define ANSWER_MAX (256u << 20) /* bytes: the servers of a million slots */

struct exchange {
	int fd;
	struct vk_io *io;
	struct vk_timer *deadline;
	char *request;
	size_t len, sent;
	bool shut;
	struct vk_buf answer;
	struct vk_err err; /* of connecting: told from the loop */
	exchange_done_fn *done;
	void *arg;
};

void exchange_free(struct exchange *x)
{
	if (x == NULL)
		return;
	vk_io_free(x->io);
	vk_timer_free(x->deadline);
	vk_closep(&x->fd);
	vk_buf_release(&x->answer);
	free(x->request);
	free(x);
}

static void finish(struct exchange *x)
{
	exchange_done_fn *done = x->done;
	void *arg = x->arg;
	struct vk_err err = x->err;
	vk_autobuf answer = x->answer;
	x->answer = (struct vk_buf){.max = 1};
	exchange_free(x);
	done(arg, &err, vk_buf_str(&answer));
}

static void on_deadline(void *arg)
{
	struct exchange *x = arg;
	if (x->err.code == 0)
		vk_err_set(&x->err, VK_TIMEOUT, "haproxy does not answer");
	finish(x);
}

static bool would_block(int e)
{
	return e == EAGAIN || e == EINTR || e == ENOTCONN;
}

/* False when the exchange is over. */
static bool send_more(struct exchange *x)
{
	ssize_t n = send(x->fd, x->request + x->sent, x->len - x->sent, MSG_NOSIGNAL);
	if (n < 0 && would_block(errno))
		return true;
	if (n < 0) {
		vk_err_errno(&x->err, errno, "haproxy's socket");
		return false;
	}
	x->sent += (size_t)n;
	if (x->sent < x->len)
		return true;
	if (x->shut)
		shutdown(x->fd, SHUT_WR);
	vk_io_set(x->io, VK_READ);
	return true;
}

static bool receive_more(struct exchange *x)
{
	char part[65536];
	ssize_t n = recv(x->fd, part, sizeof(part), 0);
	if (n < 0 && would_block(errno))
		return true;
	if (n == 0)
		return false;
	if (n < 0)
		vk_err_errno(&x->err, errno, "haproxy's socket");
	else if (vk_buf_add(&x->answer, part, (size_t)n) != 0)
		vk_err_set(&x->err, VK_LIMIT, "haproxy's answer is over %u bytes", ANSWER_MAX);
	return x->err.code == 0;
}

static void on_io(void *arg, int fd, int what)
{
	struct exchange *x = arg;
	(void)fd;
	if ((what & VK_WRITE) && x->sent < x->len && !send_more(x)) {
		finish(x);
		return;
	}
	if ((what & (VK_READ | VK_CLOSED)) && !receive_more(x))
		finish(x);
}

static int connect_to(struct exchange *x, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(a.sun_path))
		return vk_err_set(&x->err, VK_LIMIT, "%s is too long for a socket", path);
	memcpy(a.sun_path, path, strlen(path));
	x->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (x->fd < 0 || connect(x->fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		return vk_err_errno(&x->err, errno, "%s", path);
	return 0;
}

struct exchange *exchange_start(
	struct vk_loop *l, const struct exchange_opts *o, exchange_done_fn *done, void *arg)
{
	struct exchange *x = vk_alloc(sizeof(*x));
	x->fd = -1;
	x->done = done;
	x->arg = arg;
	x->request = vk_strdup(o->request);
	x->len = strlen(o->request);
	x->shut = o->shut;
	vk_buf_init(&x->answer, ANSWER_MAX);
	x->deadline = vk_timer_new(l, on_deadline, x);
	if (connect_to(x, o->socket) != 0) {
		vk_timer_set(x->deadline, 0);
		return x;
	}
	vk_timer_set(x->deadline, o->timeout_ms);
	x->io = vk_io_new(l, x->fd, VK_WRITE, on_io, x);
	return x;
}
