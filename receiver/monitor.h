/*
 * The monitor of one connection: a process that reads no network byte. It asks the API about keys, holds
 * the right to be here, starts what the session asks for by a fixed argument vector, hands the session the
 * pipes, and ends the process groups when the client or the key goes.
 *
 *   session  --message.h-->  monitor  --HTTP-->  scheduler
 *                               |--starts-->  git receive-pack, git upload-pack, viking
 *                               |--notes-->   listener: logged in as KEY (may it?), pushed to STACK
 */
#ifndef RECEIVER_MONITOR_H
#define RECEIVER_MONITOR_H

#include <viking/config.h>
#include <viking/loop.h>

#include "command.h"
#include "keyhold.h"
#include "message.h"
#include "repo.h"

#define HANGUP_MS 400 /* from SIGHUP to SIGKILL */

/* To the listener, one datagram each: the letter, then text. */
#define NOTE_LOGIN  'L' /* fingerprint; answered by one byte, 'y' or 'n' */
#define NOTE_PUSHED 'P' /* stack */

struct monitor;

/* What runs for a channel. */
struct job {
	struct monitor *m;
	unsigned channel;
	bool used, ending;
	pid_t pid;
	struct vk_child *child;
	int terminal; /* master of the pty, -1 */
	int stage;    /* read end: pre-receive has begun; -1 */
	struct vk_io *stage_io;
	struct vk_timer *deadline; /* of receiving */
	struct vk_timer *kill;
	struct command command;
	char *host; /* another, that has the repository (far.h); NULL = this one */
	struct repo repo;
	char *copy_to; /* the host that keeps a copy of what is pushed here, or NULL */
	bool copying;  /* that is what runs now */
	int status;    /* of the push before it */
};

struct monitor {
	struct vk_loop *loop;
	struct vk_config *config;
	const char *config_file, *addr; /* "" = none; "1.2.3.4 5678", of far: the host's name */
	char *api;
	int session, listener;
	struct vk_io *session_io;
	struct vk_signal *term;
	struct keyhold *key;
	struct far *far; /* NULL: the session is a client's of this host */
	bool ending;
	struct job jobs[CHANNELS_MAX];
};

struct monitor_opts {
	struct vk_config *config;
	const char *config_file, *addr;
	int session, listener;
	int far; /* >= 0: another host's connection instead of a session */
};

/* Until the connection is over and all it started has ended. */
int monitor_run(const struct monitor_opts *o, struct vk_err *err);

/* monitor_key.c */
void monitor_on_query(struct monitor *m, const struct message *q);
void monitor_on_login(struct monitor *m, const struct message *q);

/* job.c */
void job_start(struct monitor *m, const struct message *q);
void job_end(struct job *j); /* hang up, then kill */
void job_resize(struct job *j, uint32_t columns, uint32_t rows);
void job_signal(struct job *j, const char *name);
void job_progress(struct job *j, uint32_t mib);
bool jobs_none(const struct monitor *m);

/* monitor.c */
void monitor_tell(struct monitor *m, const struct message *msg);
void monitor_end(struct monitor *m);    /* ends all jobs, then the loop */
void monitor_settle(struct monitor *m); /* stops the loop when it is ending and no job is left */
/* Greeting of a log-in without a command. Caller frees. */
char *monitor_greeting(const struct monitor *m);

#endif
