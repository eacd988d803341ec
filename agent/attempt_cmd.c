/* A health check by a command: exec create, hijacked start (the connection ends with the process), and the
 * exit status. A command over its deadline is left to itself and counted as failed. */
#include <errno.h>
#include <unistd.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "attempt.h"
#include "hijack.h"

struct cmd {
	struct attempt a;
	struct vk_engine *engine;
	char *socket;
	struct vk_engine_op *op;
	struct hijack *hijack;
	char exec[80];
	int fd;
	struct vk_io *io;
	struct vk_frames frames;
	struct vk_buf out; /* the first bytes it wrote */
	int64_t timeout_ms;
};

static void cmd_release(struct attempt *a)
{
	struct cmd *c = (struct cmd *)a;
	if (c->op != NULL)
		vk_engine_op_cancel(c->op);
	hijack_cancel(c->hijack);
	vk_io_free(c->io);
	vk_timer_free(a->deadline);
	if (c->fd >= 0)
		close(c->fd);
	vk_buf_release(&c->out);
	free(c->socket);
	free(c);
}

static void on_deadline(void *arg)
{
	struct cmd *c = arg;
	attempt_end(
		&c->a, false, "the command did not end within %lld ms", (long long)c->timeout_ms);
}

static void on_status(void *arg, const struct vk_err *err, json_t *answer)
{
	struct cmd *c = arg;
	c->op = NULL;
	if (err->code != 0) {
		attempt_end(&c->a, false, "%s", err->msg);
		return;
	}
	int status = (int)vk_json_int(answer, "ExitCode", -1);
	vk_autofree char *said = vk_strdup(vk_buf_str(&c->out));
	attempt_end(&c->a, status == 0, said[0] ? "status %d: %s" : "status %d", status, said);
}

static int on_piece(void *arg, int stream, const void *p, size_t n)
{
	struct cmd *c = arg;
	size_t room = c->out.max - c->out.len;
	(void)stream;
	vk_buf_add(&c->out, p, n < room ? n : room);
	return 0;
}

static void on_io(void *arg, int fd, int what)
{
	struct cmd *c = arg;
	char piece[4096];
	ssize_t n = read(fd, piece, sizeof(piece));
	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && vk_frames_feed(&c->frames, piece, (size_t)n, on_piece, c, NULL) == 0)
		return;
	vk_io_free(c->io);
	c->io = NULL;
	vk_autofree char *path = vk_asprintf("/exec/%s/json", c->exec);
	c->op = vk_engine_call_async(c->engine, "GET", path, NULL, c->timeout_ms, on_status, c);
}

static void on_hijacked(void *arg, const struct vk_err *err, int fd, const void *early, size_t n)
{
	struct cmd *c = arg;
	c->hijack = NULL;
	if (err->code != 0) {
		attempt_end(&c->a, false, "%s", err->msg);
		return;
	}
	c->fd = fd;
	vk_frames_feed(&c->frames, early, n, on_piece, c, NULL);
	c->io = vk_io_new(c->a.loop, fd, VK_READ, on_io, c);
}

static void on_created(void *arg, const struct vk_err *err, json_t *answer)
{
	struct cmd *c = arg;
	c->op = NULL;
	if (err->code != 0) {
		attempt_end(&c->a, false, "%s", err->msg);
		return;
	}
	snprintf(c->exec, sizeof(c->exec), "%s", vk_json_str(answer, "Id", ""));
	vk_autofree char *path = vk_asprintf("/exec/%s/start", c->exec);
	vk_autojson *body = json_pack("{s:b,s:b}", "Detach", 0, "Tty", 0);
	c->hijack = hijack_start(c->a.loop, c->socket, path, body, c->timeout_ms, on_hijacked, c);
}

struct attempt *attempt_cmd(struct vk_loop *l, struct vk_engine *e, const char *socket,
	const char *container, const json_t *cmd, int64_t timeout_ms, attempt_fn *done, void *arg)
{
	struct cmd *c = vk_alloc(sizeof(*c));
	c->a = (struct attempt){.loop = l, .done = done, .arg = arg, .release = cmd_release};
	c->engine = e;
	c->socket = vk_strdup(socket);
	c->fd = -1;
	c->timeout_ms = timeout_ms;
	vk_buf_init(&c->out, 120);
	c->a.deadline = vk_timer_new(l, on_deadline, c);
	vk_timer_set(c->a.deadline, timeout_ms);
	vk_autofree char *path = vk_asprintf("/containers/%s/exec", container);
	vk_autojson *body =
		json_pack("{s:b,s:b,s:O}", "AttachStdout", 1, "AttachStderr", 1, "Cmd", cmd);
	c->op = vk_engine_call_async(e, "POST", path, body, timeout_ms, on_created, c);
	return &c->a;
}
