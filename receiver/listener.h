/*
 * The SSH front door's parent: accepts, decides who may start (sources.h), gives each connection a session
 * (through the nursery) and a monitor, ends those that do not log in within the grace time, and learns from
 * exit statuses what became of them. It never reads a byte a stranger sent.
 */
#ifndef RECEIVER_LISTENER_H
#define RECEIVER_LISTENER_H

#include <sys/socket.h>
#include <viking/config.h>
#include <viking/loop.h>

#include "housekeeping.h"
#include "nursery.h"
#include "sources.h"

#define BACKLOG            4096
#define SESSIONS_PER_KEY   16
#define WAITING_MAX        256 /* accepted, not started: their source has all its places in use */
#define WAITING_PER_SOURCE 64

struct listener;

/* One running nursery. Retired ones live on until their last session has ended. */
struct brood {
	struct listener *l;
	pid_t pid;
	int sock;
	struct vk_io *io;
	struct vk_child *child;
	unsigned sessions;
	bool retired, ready;
	struct brood *next;
};

struct connection {
	struct listener *l;
	uint32_t id;
	struct source_id source;
	char addr[64];        /* "1.2.3.4 5678" */
	char fingerprint[80]; /* "" until its key is known */
	pid_t monitor;
	struct vk_child *child;
	int notes;
	struct vk_io *notes_io;
	struct vk_timer *grace, *room;
	struct brood *brood;
	bool logged_in, graced, session_over, monitor_over;
	int session_status; /* wait status; 0 when unknown */
	struct connection *next;
};

struct waiting {
	int fd;
	struct source_id source;
	int64_t until;
	char addr[64];
};

struct listener {
	struct vk_loop *loop;
	const struct vk_config *config;
	const char *config_file; /* "" = none */
	int fd;
	struct vk_io *io;
	struct vk_timer *pause, *queue_timer, *brood_timer, *stop_timer;
	struct sources *sources;
	struct brood *brood, *old_broods;
	struct connection *connections;
	struct waiting waiting[WAITING_MAX];
	size_t waiting_n;
	uint32_t next_id;
	struct housekeeping *house;
	void (*ready)(void *arg); /* first nursery has its keys; called once */
	void *ready_arg;
	bool stopping;
};

/* fd: the listening socket, taken over. */
int listener_new(struct vk_loop *l, const struct vk_config *c, const char *config_file, int fd,
	void (*ready)(void *arg), void *arg, struct listener **ret, struct vk_err *err);
/* Takes no more connections, ends all in order, then stops the loop. */
void listener_stop(struct listener *l);
void listener_free(struct listener *l);

/* connection.c */
void connection_start(struct listener *l, int fd, const struct source_id *source, const char *addr);
void connection_session_over(struct connection *c, int status);
void connections_end_all(struct listener *l, int signo);
struct connection *connection_find(struct listener *l, uint32_t id);

/* brood.c */
int brood_start(struct listener *l, struct vk_err *err);
void brood_retire(struct listener *l);
void brood_left(struct brood *b); /* one of its sessions has ended */
void broods_free(struct listener *l);

/* listener.c */
void listener_place_free(struct listener *l); /* someone who waits may start */
void listener_settle(struct listener *l);
/* "--config FILE --root DIR" for a child, as configured; at most 4 words, NULL-terminated by the caller. */
size_t listener_config_words(const struct listener *l, const char **words);
/* Starts one of our programs, argv[0], with these descriptors kept (ends with -1), no input and no output. */
int listener_spawn(const struct listener *l, const char *const *argv, const int *keep, pid_t *ret,
	struct vk_err *err);

#endif
