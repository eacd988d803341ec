/*
 * One SSH connection, in its own confined process: decodes what a stranger sends, asks the monitor, and
 * carries bytes between channels and the descriptors the monitor hands over. It opens nothing itself.
 *
 * libssh's rules here (each learnt from a failure): callbacks only record and queue; every write, close
 * and free happens in the main loop; the session is alone in its ssh_event; the data callback takes all it
 * is given, and when too much is queued the socket is left out of the poll set so that TCP does the
 * back-pressure (libssh's own window does not count what it has buffered).
 */
#ifndef RECEIVER_SESSION_H
#define RECEIVER_SESSION_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/config.h>
#include <viking/mem.h>

#include "message.h"

#define QUEUE_HIGH     (256u << 10) /* bytes for a child's stdin before the socket rests */
#define QUEUE_MAX      (16u << 20)  /* then the channel is ended */
#define FAILED_MAX     6            /* refused signatures */
#define PROBES_MAX     20           /* refused queries without signature */
#define KEEPALIVES_MAX 3

struct session;

enum channel_state {
	CHANNEL_FREE,
	CHANNEL_OPEN,  /* waits for its one request */
	CHANNEL_WANTS, /* request recorded, not yet passed on */
	CHANNEL_ASKED, /* the monitor has it */
	CHANNEL_RUNNING,
	CHANNEL_DRAINING, /* client gone, the monitor's answer or EXITED is still to come */
};

struct stream {
	int fd; /* -1 = at its end */
	bool is_stderr;
	struct vk_buf left; /* read, not yet taken by libssh */
};

struct channel {
	struct session *s;
	unsigned n;
	enum channel_state state;
	ssh_channel ssh;
	struct ssh_channel_callbacks_struct callbacks;
	char *command, *term, *lang, *git_protocol;
	bool pty, resized, client_eof, client_closed, exited;
	uint32_t columns, rows;
	int in;
	struct vk_buf queue; /* for in */
	struct stream out, err;
	uint32_t status;
	char signal[32];
	uint64_t received, window_at, reported;
	int64_t reported_ms;
	uint32_t window; /* receive window wanted, 0 = libssh's */
};

struct session {
	const struct vk_config *config;
	ssh_session ssh;
	ssh_event event;
	int fd, monitor;
	bool exchanged, in_event, logged_in, tried, ended;
	unsigned failed, probes, keepalives;
	int64_t heard_ms, busy_ms, grace_ms;
	bool opened;   /* a channel was opened: no more need for quick ACKs */
	void *scratch; /* address space for the window trick, never touched */
	struct ssh_server_callbacks_struct callbacks;
	struct channel channels[CHANNELS_MAX];
};

/* From accept to the end; the exit status of the process. */
int session_run(ssh_session ssh, int monitor, const struct vk_config *config);

/* session_auth.c */
int session_on_key(
	ssh_session ssh, const char *user, struct ssh_key_struct *key, char state, void *arg);

/* channel.c */
ssh_channel channel_open(struct session *s); /* NULL: not now */
void channel_send_run(struct channel *c);    /* WANTS -> ASKED */
void channel_started(struct channel *c, struct message *m);
void channel_say(struct channel *c, const struct message *m);
void channel_exited(struct channel *c, const struct message *m);
void channel_pump_in(struct channel *c);
void channel_pump_out(struct channel *c);
/* Ends what is to be ended: sends the exit status and closes, or frees after the client has gone. */
void channel_settle(struct channel *c);
void channel_widen(struct channel *c);
void channel_report(struct channel *c, int64_t now);
/* The client takes no output: its window has been filled. */
bool channel_shut(const struct channel *c);
bool channel_clogged(const struct channel *c);
bool channel_starved(const struct channel *c);
void channel_release(struct channel *c);
void session_tell(struct session *s, const struct message *m);

#endif
