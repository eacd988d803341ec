/*
 * One health check: connects, asks or runs a command once, and says how it went. Asynchronous; ends by its
 * own deadline. done is called exactly once, from the loop, unless cancelled.
 */
#ifndef AGENT_ATTEMPT_H
#define AGENT_ATTEMPT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/engine.h>
#include <viking/loop.h>

struct attempt;
typedef void attempt_fn(void *arg, bool ok, const char *text); /* text: one line for a person */

/* path NULL = only connect (tcp), else an HTTP GET whose status must be 200 .. below-1. */
struct attempt *attempt_net(struct vk_loop *l, const char *ip, uint16_t port, const char *path,
	unsigned below, int64_t timeout_ms, attempt_fn *done, void *arg);
/* Runs cmd (array of strings) inside the container; status 0 is healthy. socket: the engine's. */
struct attempt *attempt_cmd(struct vk_loop *l, struct vk_engine *e, const char *socket,
	const char *container, const json_t *cmd, int64_t timeout_ms, attempt_fn *done, void *arg);
void attempt_cancel(struct attempt *a);

/* The status of an HTTP/1.x status line, 0 while it is incomplete, -1 if it is none. Pure. */
int attempt_http_status(const char *p, size_t n);

/* Between the two kinds. */
struct attempt {
	struct vk_loop *loop;
	struct vk_timer *deadline;
	attempt_fn *done;
	void *arg;
	void (*release)(struct attempt *a); /* frees all, the struct too */
};
void attempt_end(struct attempt *a, bool ok, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
