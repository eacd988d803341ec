/* Channels: what their callbacks record, and the carrying of bytes from the main loop. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <viking/str.h>

#include "command.h"
#include "session.h"

#define READ_BYTES    32768u
#define FAR_RTT_US    2000 /* from here on libssh's window of 1.28 MB holds an upload back */
#define SCRATCH_BYTES (8u << 20)
#define SIDE_MAX      4096u /* columns and rows believed */
#define REPORT_MS     1000
#define TEXT_MAX      (64u << 10)

/* ---- callbacks: record and queue ---- */

static int on_data(
	ssh_session ssh, ssh_channel ch, void *data, uint32_t len, int is_stderr, void *arg)
{
	(void)ssh, (void)ch;
	struct channel *c = arg;
	const char *p = data;
	size_t n = len;
	c->received += len;
	bool starting = c->state < CHANNEL_RUNNING; /* the client need not wait for our answer */
	if (is_stderr || (c->in < 0 && !starting))
		return (int)len; /* nobody reads it any more */
	while (!starting && c->queue.len == 0 && n > 0) {
		ssize_t w = write(c->in, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno != EAGAIN) {
			vk_closep(&c->in);
			c->in = -1;
			return (int)len;
		}
		if (w <= 0)
			break;
		p += w;
		n -= (size_t)w;
	}
	if (n > 0 && vk_buf_add(&c->queue, p, n) != 0)
		c->client_closed = true; /* it sends without end and reads nothing */
	return (int)len;
}

static void on_eof(ssh_session ssh, ssh_channel ch, void *arg)
{
	(void)ssh, (void)ch;
	((struct channel *)arg)->client_eof = true;
}

static void on_close(ssh_session ssh, ssh_channel ch, void *arg)
{
	(void)ssh, (void)ch;
	((struct channel *)arg)->client_closed = true;
}

static void on_signal(ssh_session ssh, ssh_channel ch, const char *name, void *arg)
{
	(void)ssh, (void)ch;
	struct channel *c = arg;
	struct message m = MESSAGE_INIT(MESSAGE_SIGNAL, c->n);
	char word[16];
	if (c->state != CHANNEL_RUNNING || name == NULL || strlen(name) >= sizeof(word))
		return;
	memcpy(word, name, strlen(name) + 1);
	m.str[0] = word;
	session_tell(c->s, &m);
}

static uint32_t side(int n)
{
	return n < 0 ? 0 : (uint32_t)n > SIDE_MAX ? SIDE_MAX : (uint32_t)n;
}

static int on_pty(ssh_session ssh, ssh_channel ch, const char *term, int columns, int rows, int px,
	int py, void *arg)
{
	(void)ssh, (void)ch, (void)px, (void)py;
	struct channel *c = arg;
	if (c->state != CHANNEL_OPEN)
		return 1;
	c->pty = true;
	c->columns = side(columns);
	c->rows = side(rows);
	free(c->term);
	c->term = term != NULL && command_env_value(term) ? vk_strdup(term) : NULL;
	return 0;
}

static int on_resize(
	ssh_session ssh, ssh_channel ch, int columns, int rows, int px, int py, void *arg)
{
	(void)ssh, (void)ch, (void)px, (void)py;
	struct channel *c = arg;
	c->columns = side(columns);
	c->rows = side(rows);
	c->resized = true; /* the last one of a burst is passed on */
	return 0;
}

static int on_env(ssh_session ssh, ssh_channel ch, const char *name, const char *value, void *arg)
{
	(void)ssh, (void)ch;
	struct channel *c = arg;
	const struct {
		const char *name;
		char **to;
	} known[] = {{"GIT_PROTOCOL", &c->git_protocol}, {"LANG", &c->lang}, {"TERM", &c->term}};
	for (size_t i = 0; i < VK_COUNT(known); i++)
		if (c->state == CHANNEL_OPEN && vk_streq(name, known[i].name) && value != NULL &&
			command_env_value(value)) {
			free(*known[i].to);
			*known[i].to = vk_strdup(value);
			return 0;
		}
	return 1;
}

static int on_exec(ssh_session ssh, ssh_channel ch, const char *command, void *arg)
{
	(void)ssh, (void)ch;
	struct channel *c = arg;
	if (c->state != CHANNEL_OPEN || command == NULL)
		return 1;
	/* one byte more than is allowed, so that the monitor's parser says what is wrong */
	c->command = vk_strndup(command, COMMAND_MAX + 1);
	c->state = CHANNEL_WANTS;
	return 0;
}

static int on_shell(ssh_session ssh, ssh_channel ch, void *arg)
{
	return on_exec(ssh, ch, "", arg);
}

static int on_subsystem(ssh_session ssh, ssh_channel ch, const char *name, void *arg)
{
	(void)ssh, (void)ch, (void)name, (void)arg;
	return 1;
}

/* ---- life ---- */

ssh_channel channel_open(struct session *s)
{
	struct channel *c = NULL;
	for (unsigned i = 0; i < CHANNELS_MAX && c == NULL; i++)
		if (s->channels[i].state == CHANNEL_FREE)
			c = &s->channels[i];
	ssh_channel ch = c != NULL ? ssh_channel_new(s->ssh) : NULL;
	if (ch == NULL)
		return NULL;
	*c = (struct channel){.s = s,
		.n = (unsigned)(c - s->channels),
		.state = CHANNEL_OPEN,
		.ssh = ch,
		.in = -1,
		.queue = VK_BUF_INIT(QUEUE_MAX)};
	c->out = (struct stream){.fd = -1, .left = VK_BUF_INIT(TEXT_MAX)};
	c->err = (struct stream){.fd = -1, .is_stderr = true, .left = VK_BUF_INIT(TEXT_MAX)};
	c->callbacks = (struct ssh_channel_callbacks_struct){.userdata = c,
		.channel_data_function = on_data,
		.channel_eof_function = on_eof,
		.channel_close_function = on_close,
		.channel_signal_function = on_signal,
		.channel_pty_request_function = on_pty,
		.channel_pty_window_change_function = on_resize,
		.channel_env_request_function = on_env,
		.channel_exec_request_function = on_exec,
		.channel_shell_request_function = on_shell,
		.channel_subsystem_request_function = on_subsystem};
	ssh_callbacks_init(&c->callbacks);
	if (ssh_set_channel_callbacks(ch, &c->callbacks) != SSH_OK) {
		ssh_channel_free(ch);
		c->state = CHANNEL_FREE;
		return NULL;
	}
	s->opened = true;
	return ch;
}

static void close_fds(struct channel *c)
{
	vk_closep(&c->in);
	vk_closep(&c->out.fd);
	vk_closep(&c->err.fd);
	c->in = c->out.fd = c->err.fd = -1;
}

/* Lets libssh's half go; the slot may still wait for the monitor. */
static void release_ssh(struct channel *c)
{
	if (c->ssh == NULL)
		return;
	ssh_remove_channel_callbacks(c->ssh, &c->callbacks);
	ssh_channel_close(c->ssh);
	ssh_channel_free(c->ssh);
	c->ssh = NULL;
}

void channel_release(struct channel *c)
{
	release_ssh(c);
	close_fds(c);
	vk_buf_release(&c->queue);
	vk_buf_release(&c->out.left);
	vk_buf_release(&c->err.left);
	free(c->command);
	free(c->term);
	free(c->lang);
	free(c->git_protocol);
	*c = (struct channel){.s = c->s, .n = c->n, .in = -1, .out = {.fd = -1}, .err = {.fd = -1}};
}

/* ---- with the monitor ---- */

void channel_send_run(struct channel *c)
{
	struct message m = MESSAGE_INIT(MESSAGE_RUN, c->n);
	m.num[0] = c->pty;
	m.num[1] = c->columns;
	m.num[2] = c->rows;
	m.str[0] = c->command;
	m.str[1] = c->term;
	m.str[2] = c->lang;
	m.str[3] = c->git_protocol;
	c->state = CHANNEL_ASKED;
	session_tell(c->s, &m);
}

static void send_close(struct channel *c)
{
	const struct message m = MESSAGE_INIT(MESSAGE_CLOSE, c->n);
	session_tell(c->s, &m);
}

void channel_started(struct channel *c, struct message *m)
{
	if (c->state == CHANNEL_DRAINING) {
		send_close(c); /* the client went while it was being started */
		return;
	}
	if (c->state != CHANNEL_ASKED) {
		c->s->ended = true;
		return;
	}
	c->in = VK_TAKE_FD(m->fd[0]);
	c->out.fd = VK_TAKE_FD(m->fd[1]);
	c->err.fd = VK_TAKE_FD(m->fd[2]);
	c->window = m->num[0] > SCRATCH_BYTES ? SCRATCH_BYTES : m->num[0];
	c->state = CHANNEL_RUNNING;
}

void channel_say(struct channel *c, const struct message *m)
{
	if (c->state == CHANNEL_DRAINING) {
		c->exited = true;
		return;
	}
	if (c->state != CHANNEL_ASKED) {
		c->s->ended = true;
		return;
	}
	struct stream *to = m->num[0] == 1 ? &c->out : &c->err;
	(void)vk_buf_adds(&to->left, m->str[0]); /* fits: a message is smaller */
	c->status = m->num[1];
	c->exited = true;
	c->state = CHANNEL_RUNNING;
}

void channel_exited(struct channel *c, const struct message *m)
{
	c->exited = true;
	c->status = m->num[0];
	snprintf(c->signal, sizeof(c->signal), "%s", m->str[0]);
}

/* ---- bytes ---- */

void channel_pump_in(struct channel *c)
{
	while (c->in >= 0 && c->queue.len > 0) {
		ssize_t w = write(c->in, c->queue.data, c->queue.len);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN)
			return;
		if (w <= 0) { /* it reads no more */
			vk_buf_clear(&c->queue);
			vk_closep(&c->in);
			c->in = -1;
			return;
		}
		vk_buf_consume(&c->queue, (size_t)w);
	}
	if (c->client_eof && c->in >= 0 && !c->pty && c->queue.len == 0) {
		vk_closep(&c->in);
		c->in = -1;
	}
}

/* Hands bytes to libssh, as many as the client's window takes now. */
static size_t give(struct channel *c, const struct stream *st, const char *p, size_t n)
{
	uint32_t window = ssh_channel_window_size(c->ssh);
	if (n > window)
		n = window;
	if (n == 0)
		return 0;
	int w = st->is_stderr ? ssh_channel_write_stderr(c->ssh, p, (uint32_t)n)
			      : ssh_channel_write(c->ssh, p, (uint32_t)n);
	return w > 0 ? (size_t)w : 0;
}

static bool flush_left(struct channel *c, struct stream *st)
{
	while (st->left.len > 0) {
		size_t w = give(c, st, st->left.data, st->left.len);
		if (w == 0)
			return false;
		vk_buf_consume(&st->left, w);
	}
	return true;
}

/* More is read from the child only when libssh has nothing left to send: what a slow client does not take
 * stays in the pipe, not in our memory. */
static bool may_write(const struct channel *c)
{
	return c->ssh != NULL && ssh_channel_window_size(c->ssh) > 0 &&
		(ssh_get_poll_flags(c->s->ssh) & SSH_WRITE_PENDING) == 0;
}

static void pump_stream(struct channel *c, struct stream *st)
{
	char chunk[READ_BYTES];
	while (st->fd >= 0 && flush_left(c, st) && may_write(c)) {
		uint32_t window = ssh_channel_window_size(c->ssh);
		ssize_t n = read(st->fd, chunk, window < sizeof(chunk) ? window : sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) { /* a terminal whose other side is closed gives EIO */
			vk_closep(&st->fd);
			st->fd = -1;
			return;
		}
		size_t w = give(c, st, chunk, (size_t)n);
		(void)vk_buf_add(&st->left, chunk + w, (size_t)n - w); /* was empty, a chunk fits */
	}
	if (st->fd < 0 && c->ssh != NULL)
		flush_left(c, st);
}

void channel_pump_out(struct channel *c)
{
	pump_stream(c, &c->out);
	pump_stream(c, &c->err);
}

static void send_exit(struct channel *c)
{
	if (c->signal[0] != '\0')
		ssh_channel_request_send_exit_signal(c->ssh, c->signal, 0, "", "");
	else
		ssh_channel_request_send_exit_status(c->ssh, (int)c->status);
	ssh_channel_send_eof(c->ssh);
}

void channel_settle(struct channel *c)
{
	bool drained =
		c->out.fd < 0 && c->err.fd < 0 && c->out.left.len == 0 && c->err.left.len == 0;
	if (c->state == CHANNEL_RUNNING && c->exited && drained && !c->client_closed) {
		send_exit(c);
		channel_release(c);
		return;
	}
	if (c->client_closed && c->state != CHANNEL_DRAINING) {
		bool theirs = c->state == CHANNEL_ASKED || c->state == CHANNEL_RUNNING;
		if (c->state == CHANNEL_RUNNING && !c->exited)
			send_close(c);
		release_ssh(c);
		close_fds(c);
		vk_buf_clear(&c->queue);
		if (theirs && !c->exited)
			c->state = CHANNEL_DRAINING;
		else
			channel_release(c);
	}
	if (c->state == CHANNEL_DRAINING && c->exited)
		channel_release(c);
}

bool channel_shut(const struct channel *c)
{
	return c->state == CHANNEL_RUNNING && c->ssh != NULL &&
		(c->out.fd >= 0 || c->err.fd >= 0) && ssh_channel_window_size(c->ssh) == 0;
}

bool channel_clogged(const struct channel *c)
{
	return c->queue.len > QUEUE_HIGH;
}

bool channel_starved(const struct channel *c)
{
	return c->state == CHANNEL_RUNNING && c->ssh != NULL &&
		(c->out.fd >= 0 || c->out.left.len > 0) && ssh_channel_window_size(c->ssh) == 0;
}

static bool far_away(const struct session *s)
{
	struct tcp_info info = {0};
	socklen_t n = sizeof(info);
	return getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
		info.tcpi_rtt > FAR_RTT_US;
}

/* libssh has no setter for its receive window, but a read asks the client for as much as its count says.
 * The read takes nothing (the callback has taken all), so the memory behind it is never used. */
void channel_widen(struct channel *c)
{
	if (c->window == 0 || c->state != CHANNEL_RUNNING || c->client_eof)
		return;
	if (c->window_at != 0 && c->received - c->window_at < c->window / 8)
		return;
	if (c->window_at == 0 && !far_away(c->s)) {
		c->window = 0;
		return;
	}
	struct session *s = c->s;
	if (s->scratch == NULL) {
		s->scratch = mmap(NULL, SCRATCH_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (s->scratch == MAP_FAILED)
			s->scratch = NULL;
	}
	if (s->scratch == NULL)
		return;
	c->window_at = c->received + 1;
	(void)ssh_channel_read_timeout(c->ssh, s->scratch, c->window, 0, 0);
}

void channel_report(struct channel *c, int64_t now)
{
	uint64_t mib = c->received >> 20;
	if (c->state == CHANNEL_RUNNING && c->resized) {
		struct message m = MESSAGE_INIT(MESSAGE_RESIZE, c->n);
		m.num[0] = c->columns;
		m.num[1] = c->rows;
		c->resized = false;
		session_tell(c->s, &m);
	}
	if (c->state != CHANNEL_RUNNING || c->received == c->reported ||
		now - c->reported_ms < REPORT_MS)
		return;
	struct message m = MESSAGE_INIT(MESSAGE_PROGRESS, c->n);
	m.num[0] = (uint32_t)mib;
	c->reported = c->received;
	c->reported_ms = now;
	session_tell(c->s, &m);
}
