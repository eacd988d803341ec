/*
 * Readiness and health of one running container: attempts at 5, 10, 20, 50, 100 ms ... after the start
 * until the first success, then every interval; `retries` failures in a row after a success mean unhealthy.
 * The schedule and the judgement are pure.
 */
#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H

#include <viking/engine.h>
#include <viking/loop.h>

#include "desired.h"

enum health { HEALTH_UNKNOWN, HEALTH_OK, HEALTH_BAD };

/* The wait before attempt number n (from 0) of a container that is not (or no more) healthy. */
int64_t probe_gap_ms(unsigned n, int64_t interval_ms);
/* The wait of health "none" for a container of this age. */
int64_t probe_none_ms(int64_t age_ms);
/* The new state after an attempt; *fails is the count of failures in a row. */
enum health probe_judge(enum health old, bool ok, unsigned *fails, unsigned retries);

struct probe_target {
	struct vk_loop *loop;
	struct vk_engine *engine;
	const char *engine_socket, *container, *ip; /* copied */
	int64_t age_ms; /* for type none: how long the container has run; below 0: the clock was set back since */
};
struct probe;
/* Called after each attempt. p may be freed from inside. */
typedef void probe_fn(void *arg, enum health health, const char *text);
struct probe *probe_new(const struct probe_target *t, const struct desired_health *h,
	enum health start, probe_fn *fn, void *arg);
bool probe_same(const struct probe *p, const struct desired_health *h);
void probe_free(struct probe *p);

#endif
