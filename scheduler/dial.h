/*
 * One HTTP request over a unix socket, on the loop: how the scheduler asks the agent (docs/protocol.md 6). The
 * answer comes in pieces as it is read; the owner may pause reading while it cannot take more. Freed by its owner
 * only, also from inside a callback.
 */
#ifndef SCHEDULER_DIAL_H
#define SCHEDULER_DIAL_H

#include <jansson.h>
#include <stdbool.h>
#include <viking/err.h>
#include <viking/loop.h>
#include <viking/mem.h>

struct dial;
struct dial_events {
	/* NULL = not wanted; not called for 101 */
	void (*head)(void *arg, int status, const char *type);
	void (*body)(void *arg, const void *p, size_t n);
	/* The last call: err NULL = the answer is complete. */
	void (*end)(void *arg, const struct vk_err *err);
	/* 101: the last call; fd (non-blocking) is the callee's now. NULL = a 101 is an error. */
	void (*taken)(void *arg, int fd, const void *early, size_t n);
};

/* A whole request, copied; whom: in errors, "the agent of this host"; borrowed. */
struct dial *dial_raw(struct vk_loop *l, const char *socket, const char *whom,
	const struct vk_buf *request, int64_t silence_ms, const struct dial_events *ev, void *arg);
/* silence_ms: longest wait for the next byte while not paused. A failure to connect is told by end, from the
 * loop. body may be NULL; borrowed. */
struct dial *dial_new(struct vk_loop *l, const char *socket, const char *method, const char *path,
	const json_t *body, int64_t silence_ms, const struct dial_events *ev, void *arg);
void dial_pause(struct dial *d, bool pause);
void dial_free(struct dial *d);

/* The error of an answer that is not 2xx, from its body. Always non-zero. */
int dial_refusal(int status, const char *body, size_t n, struct vk_err *err);

#endif
