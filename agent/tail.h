/*
 * The last lines of a container's log, read from the engine in one go: of a dead one for the report of its death, of
 * one that runs and does not become healthy for whoever gives up on it. Bounded in lines, bytes and time: what has
 * come when the time is over is the answer.
 */
#ifndef AGENT_TAIL_H
#define AGENT_TAIL_H

#include <jansson.h>
#include <viking/engine.h>
#include <viking/loop.h>

struct tail;
/* lines: array of strings, the callee's; empty when the engine gave none. Not called from tail_read. */
typedef void tail_fn(void *arg, json_t *lines);
struct tail *tail_read(
	struct vk_loop *l, struct vk_engine *e, const char *container, tail_fn *fn, void *arg);
void tail_cancel(struct tail *t); /* fn is not called any more; NULL is fine */

#endif
