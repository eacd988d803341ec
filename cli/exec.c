/*
 * run and enter: the connection is taken over (101) and carries frames (docs/protocol.md section 6). With a
 * terminal on both sides it is put into raw mode and its size follows the window.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"
#include <viking/exec_frames.h>

struct terminal {
	struct termios before;
	bool raw;
	struct winsize size;
};

struct relay {
	struct call *call;
	int fd, signals;
	struct vk_exec_frames in;
	bool stdin_open, ended;
	struct vk_err *err;
};

static void terminal_raw(struct terminal *t)
{
	if (tcgetattr(STDIN_FILENO, &t->before) < 0)
		return;
	struct termios raw = t->before;
	cfmakeraw(&raw);
	t->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void terminal_restore(struct terminal *t)
{
	if (t->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
	t->raw = false;
}

static int on_end(struct relay *r, const void *p, size_t n)
{
	vk_autojson *end = NULL;
	int e = vk_json_parse(p, n, &end, r->err);
	r->ended = true;
	if (e < 0)
		return e;
	if (json_object_get(end, "error") != NULL) {
		vk_err_set(r->err, vk_err_from_name(vk_json_str(end, "error", "INTERNAL")), "%s",
			vk_json_str(end, "message", "failed"));
		const char *hint = vk_json_str(end, "hint", "");
		if (hint[0] != '\0')
			vk_err_hint(r->err, "%s", hint);
		return r->err->code;
	}
	r->call->exit_status = (int)vk_json_int(end, "status", 1) & 0xff;
	return 0;
}

static int on_frame(void *arg, int type, const void *p, size_t n)
{
	struct relay *r = arg;
	if (type == VK_EXEC_STDOUT || type == VK_EXEC_STDERR)
		return vk_write_all(
			type == VK_EXEC_STDOUT ? STDOUT_FILENO : STDERR_FILENO, p, n, r->err);
	return type == VK_EXEC_END ? on_end(r, p, n) : 0;
}

static int from_server(struct relay *r)
{
	char chunk[16384];
	ssize_t n = read(r->fd, chunk, sizeof(chunk));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		r->ended = true;
		return vk_err_set(r->err, VK_UNAVAILABLE, "the connection broke off");
	}
	return vk_exec_frames_feed(&r->in, chunk, (size_t)n, on_frame, r, r->err);
}

static int send_frame(struct relay *r, int type, const void *p, size_t n)
{
	uint8_t head[5];
	vk_exec_head(head, type, (uint32_t)n);
	int e = vk_write_all(r->fd, head, sizeof(head), r->err);
	return e < 0 || n == 0 ? e : vk_write_all(r->fd, p, n, r->err);
}

static int from_stdin(struct relay *r)
{
	char chunk[16384];
	ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0)
		return send_frame(r, VK_EXEC_STDIN, chunk, (size_t)n);
	r->stdin_open = false;
	return send_frame(r, VK_EXEC_EOF, NULL, 0);
}

static int from_signals(struct relay *r)
{
	struct signalfd_siginfo si;
	if (read(r->signals, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return 0;
	if (si.ssi_signo == SIGWINCH) {
		struct winsize w;
		if (ioctl(STDIN_FILENO, TIOCGWINSZ, &w) < 0)
			return 0;
		uint8_t size[4] = {(uint8_t)(w.ws_row >> 8), (uint8_t)w.ws_row,
			(uint8_t)(w.ws_col >> 8), (uint8_t)w.ws_col};
		return send_frame(r, VK_EXEC_RESIZE, size, sizeof(size));
	}
	const char *name = sigabbrev_np((int)si.ssi_signo);
	return name ? send_frame(r, VK_EXEC_SIGNAL, name, strlen(name)) : 0;
}

static int relay(struct relay *r, const struct vk_buf *early)
{
	int e = vk_exec_frames_feed(&r->in, vk_buf_str(early), early->len, on_frame, r, r->err);
	while (e == 0 && !r->ended) {
		struct pollfd p[3] = {
			{.fd = r->fd, .events = POLLIN},
			{.fd = r->signals, .events = POLLIN},
			{.fd = r->stdin_open ? STDIN_FILENO : -1, .events = POLLIN},
		};
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return vk_err_errno(r->err, errno, "poll");
		if (p[0].revents)
			e = from_server(r);
		if (e == 0 && !r->ended && p[1].revents)
			e = from_signals(r);
		if (e == 0 && !r->ended && p[2].revents)
			e = from_stdin(r);
	}
	return e;
}

static int catch_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static json_t *request(
	const struct call *c, const struct terminal *t, bool tty, const char *node, uint64_t n)
{
	json_t *cmd = json_array();
	for (size_t i = 1; i < c->words.n; i++)
		json_array_append_new(
			cmd, vk_json_safe_string(c->words.v[i], strlen(c->words.v[i])));
	json_t *body = json_pack("{s:o s:b s:i s:i}", "cmd", cmd, "tty", tty, "rows",
		(int)t->size.ws_row, "cols", (int)t->size.ws_col);
	if (node != NULL)
		json_object_set_new(body, "node", vk_json_safe_string(node, strlen(node)));
	if (n > 0)
		json_object_set_new(body, "n", json_integer((json_int_t)n));
	return body;
}

static int interact(struct call *c, const char *s, const char *verb, const char *node, uint64_t n,
	struct vk_err *err)
{
	struct terminal t = {0};
	bool tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !call_flag(c, "--no-tty") &&
		ioctl(STDIN_FILENO, TIOCGWINSZ, &t.size) == 0;
	vk_autojson *body = request(c, &t, tty, node, n);
	vk_autofree char *path = vk_asprintf("/v1/stacks/%s/%s", s, verb);
	struct vk_api_opts o = api_opts(c);
	vk_autobuf early = VK_BUF_INIT(1 << 20);
	struct relay r = {.call = c, .fd = -1, .stdin_open = true, .err = err};
	int e = vk_api_upgrade(&o, "POST", path, body, &r.fd, &early, err);
	if (e < 0)
		return e;
	r.signals = catch_signals();
	vk_exec_frames_init(&r.in);
	if (tty)
		terminal_raw(&t);
	e = relay(&r, &early);
	terminal_restore(&t);
	vk_exec_frames_release(&r.in);
	vk_closep(&r.signals);
	vk_closep(&r.fd);
	return e;
}

static int run(struct call *c, struct vk_err *err)
{
	const char *s, *node = call_value(c, "--node");
	int r = stack_word(c, 0, &s, err);
	if (r == 0 && node != NULL)
		r = vk_node_name(node, err);
	return r < 0 ? r : interact(c, s, "run", node, 0, err);
}

/* "web.2": the second instance of web. */
static int instance_word(const struct call *c, char **ret_node, uint64_t *ret_n, struct vk_err *err)
{
	const char *w = call_value(c, "--node");
	if (w == NULL)
		return 0;
	const char *dot = strrchr(w, '.');
	*ret_node = dot ? vk_strndup(w, (size_t)(dot - w)) : vk_strdup(w);
	if (dot != NULL && vk_parse_u64(dot + 1, 1, 100000, ret_n) < 0)
		return vk_err_set(err, VK_USAGE, "%.64s is not NODE or NODE.N", w);
	return vk_node_name(*ret_node, err);
}

static int enter(struct call *c, struct vk_err *err)
{
	const char *s;
	vk_autofree char *node = NULL;
	uint64_t n = 0;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = instance_word(c, &node, &n, err);
	if (r < 0)
		return r;
	if (c->words.n == 1)
		vk_strv_add(&c->words, "/bin/sh");
	return interact(c, s, "exec", node, n, err);
}

static const struct option exec_options[] = {
	{"--node", "-p", "NODE[.N]", "which node, which of its instances; before COMMAND"},
	{"--no-tty", "-T", NULL, "no terminal, also where there is one; before COMMAND"},
	{0},
};

const struct command exec_commands[] = {
	{"run", "STACK [-p NODE] COMMAND ...", 2, 99, 2, false, run, exec_options,
		"a command in a container of its own, with the stack's image and config"},
	{"enter", "STACK [-p NODE[.N]] [COMMAND ...]", 1, 99, 2, false, enter, exec_options,
		"a command (default /bin/sh) inside a running instance"},
	{0},
};
