/* The main loop of a session: descriptors, timers, messages. */
#include "session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <viking/str.h>

#include "nursery.h"

#define BURST       16   /* dopolls before the channels get their turn */
#define GRACE_EXTRA 5000 /* the listener ends us first; this is for when it is gone */

void session_tell(struct session *s, const struct message *m)
{
	if (!s->ended && message_send(s->monitor, m, NULL) != 0)
		s->ended = true;
}

static ssh_channel on_open(ssh_session ssh, void *arg)
{
	(void)ssh;
	struct session *s = arg;
	return s->logged_in && !s->ended ? channel_open(s) : NULL;
}

/* ---- messages of the monitor ---- */

static void on_revoked(struct session *s, const char *why)
{
	(void)ssh_session_set_disconnect_message(s->ssh, why);
	s->ended = true;
}

static void on_message(struct session *s, struct message *m)
{
	struct channel *c = &s->channels[m->channel];
	switch (m->kind) {
	case MESSAGE_STARTED:
		channel_started(c, m);
		break;
	case MESSAGE_SAY:
		channel_say(c, m);
		break;
	case MESSAGE_EXITED:
		channel_exited(c, m);
		break;
	case MESSAGE_REVOKED:
		on_revoked(s, m->str[0]);
		break;
	default:
		s->ended = true;
	}
}

static void read_monitor(struct session *s)
{
	struct message m;
	if (message_recv(s->monitor, FROM_MONITOR, &m, NULL) != 0) {
		s->ended = true;
		return;
	}
	on_message(s, &m);
	message_release(&m);
}

/* ---- the SSH side ---- */

/* Re-armed after each read until the first channel: the client's small packets of the key exchange
 * otherwise wait 40 ms for our delayed ACK. */
static void quick_ack(const struct session *s)
{
	const int on = 1;
	if (!s->opened)
		setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static void exchange_keys(struct session *s)
{
	int rc = ssh_handle_key_exchange(s->ssh);
	if (rc == SSH_OK)
		s->exchanged = true;
	else if (rc != SSH_AGAIN)
		s->ended = true;
	if (!s->in_event && !s->ended) { /* only now has libssh a poll handle */
		s->in_event = true;
		if (ssh_event_add_session(s->event, s->ssh) != SSH_OK)
			s->ended = true;
	}
}

static bool any(const struct session *s, bool (*is)(const struct channel *c))
{
	for (unsigned i = 0; i < CHANNELS_MAX; i++)
		if (is(&s->channels[i]))
			return true;
	return false;
}

/* Not listening to the client, whose input nobody takes. */
static bool resting(const struct session *s)
{
	return any(s, channel_clogged) && !any(s, channel_starved);
}

static void pump_ssh(struct session *s)
{
	for (int i = 0; i < BURST && !s->ended; i++) {
		if (resting(s))
			return;
		int rc = ssh_event_dopoll(s->event, 0);
		quick_ack(s);
		if (!s->exchanged && rc != SSH_ERROR)
			exchange_keys(s);
		if (rc == SSH_ERROR || !ssh_is_connected(s->ssh) ||
			(ssh_get_status(s->ssh) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0)
			s->ended = true;
		struct pollfd p = {.fd = s->fd, .events = POLLIN};
		if (s->ended || poll(&p, 1, 0) != 1)
			return;
	}
}

/* ---- waiting ---- */

struct waits {
	struct pollfd fds[2 + 3 * CHANNELS_MAX];
	nfds_t n;
};

static void wait_for(struct waits *w, int fd, short events)
{
	if (fd >= 0)
		w->fds[w->n++] = (struct pollfd){.fd = fd, .events = events};
}

static void gather(struct session *s, struct waits *w)
{
	bool writing = (ssh_get_poll_flags(s->ssh) & SSH_WRITE_PENDING) != 0;
	bool rests = resting(s);
	*w = (struct waits){0};
	wait_for(w, s->monitor, POLLIN);
	/* resting: only the client's going is of interest */
	wait_for(w, s->fd, (short)(rests ? POLLRDHUP : POLLIN | (writing ? POLLOUT : 0)));
	for (unsigned i = 0; i < CHANNELS_MAX; i++) {
		const struct channel *c = &s->channels[i];
		if (c->state != CHANNEL_RUNNING || c->ssh == NULL)
			continue;
		if (c->queue.len > 0)
			wait_for(w, c->in, POLLOUT);
		if (!writing && ssh_channel_window_size(c->ssh) > 0) {
			wait_for(w, c->out.fd, POLLIN);
			wait_for(w, c->err.fd, POLLIN);
		}
	}
}

static bool busy(const struct channel *c)
{
	return c->state >= CHANNEL_WANTS && !channel_shut(c);
}

/* Ends or nudges what has been silent too long; says how long the loop may sleep. */
static int64_t timers(struct session *s, int64_t now)
{
	if (!s->logged_in) {
		if (now >= s->grace_ms)
			s->ended = true;
		return s->grace_ms - now;
	}
	int64_t keepalive = (int64_t)s->config->ssh_keepalive_ms;
	int64_t idle = (int64_t)s->config->ssh_idle_ms;
	if (any(s, busy))
		s->busy_ms = now;
	if (now - s->busy_ms >= idle) {
		on_revoked(s,
			any(s, channel_shut) ? "nobody reads the output (ssh.idle)"
					     : "idle for too long (ssh.idle)");
		return 0;
	}
	if (resting(s)) /* the silence is ours */
		s->heard_ms = now;
	int64_t silent = now - s->heard_ms, next = keepalive * (int64_t)(s->keepalives + 1);
	if (silent >= next) {
		if (s->keepalives++ >= KEEPALIVES_MAX)
			s->ended = true;
		else
			(void)ssh_send_keepalive(s->ssh);
		next += keepalive;
	}
	int64_t idle_left = s->busy_ms + idle - now;
	return next - silent < idle_left ? next - silent : idle_left;
}

static void serve_channels(struct session *s, int64_t now)
{
	for (unsigned i = 0; i < CHANNELS_MAX; i++) {
		struct channel *c = &s->channels[i];
		if (c->state == CHANNEL_FREE)
			continue;
		if (c->state == CHANNEL_WANTS)
			channel_send_run(c);
		if (c->state == CHANNEL_RUNNING && c->ssh != NULL) {
			channel_pump_in(c);
			channel_pump_out(c);
			channel_widen(c);
			channel_report(c, now);
		}
		channel_settle(c);
	}
}

static void on_client(struct session *s, const struct pollfd *p, int64_t now)
{
	if ((p->events & POLLRDHUP) != 0) {
		s->ended = true;
		return;
	}
	s->heard_ms = now;
	s->keepalives = 0;
	pump_ssh(s);
}

static void turn(struct session *s)
{
	struct waits w;
	gather(s, &w);
	int64_t sleep_ms = timers(s, vk_mono_ms());
	if (s->ended)
		return;
	int ready = poll(w.fds, w.n, sleep_ms < 0 ? 0 : (int)sleep_ms);
	if (ready < 0 && errno != EINTR)
		s->ended = true;
	int64_t now = vk_mono_ms();
	if (ready > 0 && w.fds[0].revents != 0)
		read_monitor(s);
	if (ready > 0 && !s->ended && w.fds[1].revents != 0)
		on_client(s, &w.fds[1], now);
	if (!s->ended)
		serve_channels(s, now);
}

static void start(struct session *s)
{
	s->callbacks = (struct ssh_server_callbacks_struct){.userdata = s,
		.auth_pubkey_function = session_on_key,
		.channel_open_request_session_function = on_open};
	ssh_callbacks_init(&s->callbacks);
	s->event = ssh_event_new();
	if (s->event == NULL || ssh_set_server_callbacks(s->ssh, &s->callbacks) != SSH_OK) {
		s->ended = true;
		return;
	}
	exchange_keys(s);
	quick_ack(s);
}

static int exit_status(const struct session *s)
{
	if (s->busy_ms != 0)
		return SESSION_LOGGED_IN;
	if (!s->exchanged)
		return SESSION_GARBAGE;
	return s->tried ? SESSION_DENIED : SESSION_NO_KEY;
}

int session_run(ssh_session ssh, int monitor, const struct vk_config *config)
{
	int64_t now = vk_mono_ms();
	struct session s = {.config = config,
		.ssh = ssh,
		.fd = ssh_get_fd(ssh),
		.monitor = monitor,
		.heard_ms = now,
		.grace_ms = now + (int64_t)config->ssh_grace_ms + GRACE_EXTRA};
	for (unsigned i = 0; i < CHANNELS_MAX; i++)
		s.channels[i] = (struct channel){
			.s = &s, .n = i, .in = -1, .out = {.fd = -1}, .err = {.fd = -1}};
	start(&s);
	while (!s.ended)
		turn(&s);
	int status = exit_status(&s);
	for (unsigned i = 0; i < CHANNELS_MAX; i++)
		channel_release(&s.channels[i]);
	ssh_disconnect(ssh);
	return status; /* the process ends here, and everything of libssh with it */
}
