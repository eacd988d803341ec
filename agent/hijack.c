#include "hijack.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <viking/api.h>
#include <viking/json.h>
#include <viking/mem.h>

#define REFUSAL_MAX 65536

struct hijack {
	struct vk_loop *loop;
	int fd;
	struct vk_io *io;
	struct vk_timer *timer;
	struct vk_http1 *reader;
	struct vk_buf out, refusal;
	int status;
	bool raw, ended;
	struct vk_err err; /* set before the loop runs: reported from the timer */
	hijack_fn *done;
	void *arg;
};

static void hijack_free(struct hijack *h)
{
	vk_io_free(h->io);
	vk_timer_free(h->timer);
	vk_http1_free(h->reader);
	vk_buf_release(&h->out);
	vk_buf_release(&h->refusal);
	if (h->fd >= 0)
		close(h->fd);
	free(h);
}

void hijack_cancel(struct hijack *h)
{
	if (h != NULL)
		hijack_free(h);
}

static void conclude(struct hijack *h, const struct vk_err *err, const void *early, size_t n)
{
	hijack_fn *done = h->done;
	void *arg = h->arg;
	int fd = err->code == 0 ? VK_TAKE_FD(h->fd) : -1;
	hijack_free(h);
	done(arg, err, fd, early, n);
}

static int on_head(void *arg, int status, const char *type, bool upgrade, struct vk_err *err)
{
	struct hijack *h = arg;
	(void)type;
	(void)err;
	h->status = status;
	h->raw = upgrade || status == 101;
	return 0;
}

static int on_body(void *arg, const void *p, size_t n, struct vk_err *err)
{
	struct hijack *h = arg;
	(void)err;
	return vk_buf_add(&h->refusal, p, n);
}

static int on_end(void *arg, struct vk_err *err)
{
	struct hijack *h = arg;
	(void)err;
	h->ended = true;
	return 0;
}

static void refused(struct hijack *h)
{
	struct vk_err err = {0};
	vk_autojson *j = NULL;
	int code = vk_err_from_http(h->status);
	if (h->refusal.len > 0)
		vk_json_parse(h->refusal.data, h->refusal.len, &j, NULL);
	vk_err_set(&err, code != 0 ? code : VK_INTERNAL, "%s",
		vk_json_str(j, "message", "the engine refused the connection"));
	conclude(h, &err, NULL, 0);
}

static void read_answer(struct hijack *h)
{
	char piece[4096];
	size_t used = 0;
	struct vk_err err = {0};
	ssize_t n = recv(h->fd, piece, sizeof(piece), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		vk_http1_eof(h->reader, NULL);
		if (h->ended) {
			refused(h);
			return;
		}
		vk_err_set(&err, VK_UNAVAILABLE, "the engine closed the connection");
		conclude(h, &err, NULL, 0);
		return;
	}
	if (vk_http1_feed(h->reader, piece, (size_t)n, &used, &err) != 0)
		conclude(h, &err, NULL, 0);
	else if (h->raw)
		conclude(h, &err, piece + used, (size_t)n - used);
	else if (h->ended)
		refused(h);
}

static void write_request(struct hijack *h)
{
	ssize_t n = send(h->fd, h->out.data, h->out.len, MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		struct vk_err err = {0};
		vk_err_set(&err, VK_UNAVAILABLE, "the engine: %s", strerror(errno));
		conclude(h, &err, NULL, 0);
		return;
	}
	vk_buf_consume(&h->out, (size_t)n);
	if (h->out.len == 0)
		vk_io_set(h->io, VK_READ);
}

static void on_io(void *arg, int fd, int what)
{
	struct hijack *h = arg;
	(void)fd;
	if (h->out.len > 0 && (what & VK_WRITE))
		write_request(h);
	else
		read_answer(h);
}

static void on_timer(void *arg)
{
	struct hijack *h = arg;
	if (h->err.code == 0)
		vk_err_set(&h->err, VK_TIMEOUT, "the engine did not answer");
	struct vk_err err = h->err;
	conclude(h, &err, NULL, 0);
}

static int connect_engine(struct hijack *h, const char *socket_path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	if (strlen(socket_path) >= sizeof(to.sun_path))
		return vk_err_set(&h->err, VK_INVALID, "engine socket path too long");
	memcpy(to.sun_path, socket_path, strlen(socket_path) + 1);
	h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (h->fd < 0)
		return vk_err_errno(&h->err, errno, "socket");
	if (connect(h->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return vk_err_set(&h->err, VK_UNAVAILABLE, "no engine at %s: %s", socket_path,
			strerror(errno));
	return 0;
}

static int compose(struct hijack *h, const char *path, const json_t *body)
{
	vk_autofree char *text = body != NULL ? vk_json_text(body) : vk_strdup("");
	vk_buf_addf(&h->out,
		"POST %s HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
		path);
	if (body != NULL)
		vk_buf_adds(&h->out, "Content-Type: application/json\r\n");
	vk_buf_addf(&h->out, "Content-Length: %zu\r\n\r\n", strlen(text));
	if (vk_buf_adds(&h->out, text) < 0)
		return vk_err_set(&h->err, VK_LIMIT, "request too long");
	return 0;
}

struct hijack *hijack_start(struct vk_loop *l, const char *socket_path, const char *path,
	const json_t *body, int64_t timeout_ms, hijack_fn *done, void *arg)
{
	static const struct vk_http1_events events = {on_head, on_body, on_end};
	struct hijack *h = vk_alloc(sizeof(*h));
	h->loop = l;
	h->fd = -1;
	h->done = done;
	h->arg = arg;
	vk_buf_init(&h->out, 1u << 20);
	vk_buf_init(&h->refusal, REFUSAL_MAX);
	h->reader = vk_http1_new(&events, h);
	h->timer = vk_timer_new(l, on_timer, h);
	if (compose(h, path, body) < 0 || connect_engine(h, socket_path) < 0) {
		vk_timer_set(h->timer, 0);
		return h;
	}
	h->io = vk_io_new(l, h->fd, VK_READ | VK_WRITE, on_io, h);
	vk_timer_set(h->timer, timeout_ms);
	return h;
}
