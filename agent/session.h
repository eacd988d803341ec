/*
 * One interactive connection: frames of the client on one side, a hijacked engine stream on the other, with
 * bounded buffers and back-pressure both ways. exec (a process in a running container) and run (a container
 * of its own) differ only in the operations below.
 */
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include <viking/engine.h>
#include <viking/httpd.h>

#include "agent.h"
#include "frames.h"
#include "hijack.h"
#include "images.h"

struct session;
struct session_ops {
	void (*connected)(struct session *s); /* the client has its 101: attach and start */
	void (*resize)(struct session *s);    /* s->rows, s->cols */
	void (*signal)(struct session *s, const char *name);
	/* Output of the process; true: taken, not to be passed on. May be NULL. */
	bool (*output)(struct session *s, int stream, const void *p, size_t n);
	void (*ended)(struct session *s); /* the engine's side is at its end: fetch the status */
	void (*abandoned)(struct session *s); /* the client went: kill */
	void (*cleanup)(struct session *s);   /* last words before s is freed */
};

struct session {
	struct agent *a;
	struct session *next, **list;
	const struct session_ops *ops;
	struct vk_req *req;      /* until the answer */
	struct vk_engine_op *op; /* the one that the flow waits for */
	struct hijack *hijack;
	struct images_wait *pull;
	char container[65], exec[80];
	bool run, tty, live; /* live: the process has been started */
	unsigned rows, cols;
	int client, engine;
	struct vk_io *client_io, *engine_io;
	struct vk_buf to_client, to_engine;
	struct frames in;
	struct vk_frames out;
	bool input_ended, input_shut, engine_ended, closing;
	struct vk_timer *linger;
	struct desired_instance spec; /* run */
	bool has_spec, pulled;
	int status;            /* run: told once its container is removed, */
	struct vk_err failure; /* or this, if its code is not 0 */
	bool spoke;            /* exec: output has come */
	char refusal
		[1024]; /* exec: what may be the engine's word that it cannot start the command */
};

struct session *session_new(
	struct agent *a, struct session **list, const struct session_ops *ops, struct vk_req *r);
void session_free(struct session *s);
/* Answers the request with an error, or tells it in the last frame, then ends. */
void session_fail(struct session *s, const struct vk_err *err);
void session_upgrade(struct session *s); /* 101; then ops->connected */
void session_attach(struct session *s, int fd, const void *early, size_t n); /* the engine's side */
/* Into the client's stream. */
int session_put(struct session *s, int stream, const void *p, size_t n);
void session_status(struct session *s, int status); /* the last frame, then end */

/* The engine's text for a command it cannot start: the line for the user, and the status a shell would give. */
int exec_refusal(const char *text, char *line, size_t size);

/* The two kinds; each answers r. */
void session_exec(struct agent *a, struct session **list, struct vk_req *r, const json_t *body);
void session_run(struct agent *a, struct session **list, struct vk_req *r, const json_t *body);

#endif
