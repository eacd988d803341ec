/*
 * Follows one container's log on the engine into its stack's ring. Resumes after the last line the ring has
 * of this container, so neither a restart of the agent nor of the engine repeats or skips lines.
 */
#ifndef AGENT_LOGFOLLOW_H
#define AGENT_LOGFOLLOW_H

#include <stdbool.h>
#include <viking/engine.h>
#include <viking/loop.h>

#include "logring.h"

struct logfollow;
struct logfollow *logfollow_new(struct vk_loop *l, struct vk_engine *e, struct logset *set,
	const char *stack, const char *node, const char *instance, const char *container);
/* The container has ended and all it wrote is in the ring. */
bool logfollow_ended(const struct logfollow *f);
typedef void logfollow_fn(void *arg);
void logfollow_on_end(struct logfollow *f, logfollow_fn *fn, void *arg);
void logfollow_free(struct logfollow *f);

#endif
