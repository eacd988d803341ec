#include "far.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/exec_frames.h>
#include <viking/json.h>
#include <viking/str.h>

#include "command.h"
#include "link.h"
#include "message.h"

#define LINE_MS  10000
#define LINE_MAX 8192
#define MIB      ((uint64_t)1 << 20)

struct far {
	struct vk_loop *loop;
	int fd, session; /* the connection until the link has it; our end of the pair */
	struct vk_io *io;
	struct vk_buf early; /* of the connection, behind the line */
	struct link *link;   /* once the monitor has answered */
	unsigned open;       /* outputs of git */
	uint64_t received;
	int status; /* -1 until it has ended */
	bool told;  /* the last frame is on its way */
	bool copy;
};

/* Ends the monitor, with what it runs. */
static void hang_up(struct far *f)
{
	vk_io_free(VK_TAKE(f->io));
	vk_closep(&f->session);
	f->session = -1;
}

/* ---- frames ---- */

static void tell_end(struct far *f)
{
	if (f->status < 0 || f->open > 0 || f->told)
		return;
	f->told = true;
	vk_autofree char *text = vk_asprintf("{\"status\":%d}", f->status);
	link_send(f->link, VK_EXEC_END, text, strlen(text));
}

static void on_frame(void *arg, int type, const void *p, size_t n)
{
	struct far *f = arg;
	(void)p, (void)n;
	if (type == VK_EXEC_EOF)
		link_sink_end(f->link, VK_EXEC_STDIN);
}

/* As a session does: who receives much has more time. */
static void on_taken(void *arg, size_t n)
{
	struct far *f = arg;
	uint64_t before = f->received / MIB;
	f->received += n;
	if (f->received / MIB == before || f->session < 0)
		return;
	struct message m = MESSAGE_INIT(MESSAGE_PROGRESS, 0);
	m.num[0] = (uint32_t)(f->received / MIB);
	(void)message_send(f->session, &m, NULL);
}

static void on_ended(void *arg, int type)
{
	struct far *f = arg;
	(void)type;
	f->open--;
	tell_end(f);
}

static void on_idle(void *arg)
{
	struct far *f = arg;
	if (f->told)
		hang_up(f);
}

static void on_gone(void *arg)
{
	hang_up(arg);
}

static const struct link_ops link_ops = {
	.frame = on_frame, .taken = on_taken, .ended = on_ended, .idle = on_idle, .gone = on_gone};

/* ---- the monitor ---- */

static void begin(struct far *f)
{
	f->link = link_new(f->loop, VK_TAKE_FD(f->fd), &link_ops, f);
}

static void on_started(struct far *f, struct message *m)
{
	static const int types[] = {VK_EXEC_STDIN, VK_EXEC_STDOUT, VK_EXEC_STDERR};
	begin(f);
	link_sink(f->link, types[0], VK_TAKE_FD(m->fd[0]));
	for (size_t i = 1; i < VK_COUNT(types); i++, f->open++)
		link_source(f->link, types[i], VK_TAKE_FD(m->fd[i]));
	link_feed(f->link, vk_buf_str(&f->early), f->early.len);
}

static void on_say(struct far *f, const struct message *m)
{
	begin(f);
	link_send(f->link, m->num[0] == 1 ? VK_EXEC_STDOUT : VK_EXEC_STDERR, m->str[0],
		strlen(m->str[0]));
	f->status = (int)m->num[1];
	tell_end(f);
}

static void on_message(void *arg, int fd, int what)
{
	struct far *f = arg;
	struct message m;
	(void)what;
	if (message_recv(fd, FROM_MONITOR, &m, NULL) != 0) {
		hang_up(f);
		return;
	}
	if (m.kind == MESSAGE_STARTED && f->link == NULL) {
		on_started(f, &m);
	} else if (m.kind == MESSAGE_SAY && f->link == NULL) {
		on_say(f, &m);
	} else if (m.kind == MESSAGE_EXITED && f->link != NULL) {
		f->status = (int)m.num[0];
		tell_end(f);
	}
	message_release(&m);
}

/* ---- the line ---- */

/* What is behind the line stays in f->early. */
static int read_line(struct far *f, json_t **ret, struct vk_err *err)
{
	int64_t deadline = vk_mono_ms() + LINE_MS;
	const char *end;
	while ((end = memchr(vk_buf_str(&f->early), '\n', f->early.len)) == NULL) {
		struct pollfd p = {.fd = f->fd, .events = POLLIN};
		int64_t left = deadline - vk_mono_ms();
		char piece[1024];
		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return vk_err_set(err, VK_TIMEOUT, "the other host says nothing");
		ssize_t n = read(f->fd, piece, sizeof(piece));
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0 || vk_buf_add(&f->early, piece, (size_t)n) != 0)
			return vk_err_set(err, VK_INVALID, "the other host asks for nothing");
	}
	size_t n = (size_t)(end - vk_buf_str(&f->early));
	int rc = vk_json_parse(vk_buf_str(&f->early), n, ret, err);
	vk_buf_consume(&f->early, n + 1);
	return rc;
}

/* The monitor parses the words again: this only keeps other hosts to what they come for. */
static int only_git(const char *text, struct vk_err *err)
{
	struct command c;
	int rc = command_parse(text, strlen(text), &c, err);
	bool git = c.kind == COMMAND_RECEIVE || c.kind == COMMAND_UPLOAD;
	command_release(&c);
	if (rc == 0 && !git)
		rc = vk_err_set(err, VK_DENIED, "other hosts come for git only");
	return rc;
}

static int ask(struct far *f, const json_t *line, struct vk_err *err)
{
	struct message m = MESSAGE_INIT(MESSAGE_RUN, 0);
	f->copy = vk_json_bool(line, "copy", false);
	const char *const words[] = {
		vk_json_str(line, "command", ""), "", "", vk_json_str(line, "git_protocol", "")};
	for (size_t i = 0; i < VK_COUNT(words); i++)
		m.str[i] = (char *)(uintptr_t)words[i];
	int rc = only_git(words[0], err);
	return rc == 0 ? message_send(f->session, &m, err) : rc;
}

int far_new(struct vk_loop *l, int fd, struct far **ret, int *ret_session, struct keyhold **ret_key,
	struct vk_err *err)
{
	struct far *f = vk_alloc(sizeof(*f));
	vk_autojson *line = NULL;
	int pair[2] = {-1, -1};
	*f = (struct far){.loop = l, .fd = fd, .session = -1, .status = -1};
	vk_buf_init(&f->early, LINE_MAX);
	int rc = read_line(f, &line, err);
	if (rc == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		rc = vk_err_errno(err, errno, "socketpair");
	f->session = pair[1];
	if (rc == 0)
		rc = ask(f, line, err);
	if (rc != 0) {
		vk_closep(&pair[0]);
		far_free(f);
		return rc;
	}
	f->io = vk_io_new(l, f->session, VK_READ, on_message, f);
	*ret_key = keyhold_given(vk_json_str(line, "key", ""), vk_json_str(line, "token", ""));
	*ret_session = pair[0];
	*ret = f;
	return 0;
}

bool far_is_copy(const struct far *f)
{
	return f != NULL && f->copy;
}

void far_free(struct far *f)
{
	if (f == NULL)
		return;
	link_free(f->link);
	hang_up(f);
	vk_closep(&f->fd);
	vk_buf_release(&f->early);
	free(f);
}
