/*
 * Old instances that finish their requests: rows /drain/S. They go when all routers have said that they have no connection left,
 * or when their time is over; then the agent stops them.
 */
#ifndef SCHEDULER_DRAIN_H
#define SCHEDULER_DRAIN_H

#include "instances.h"
#include "txn.h"

struct drains *drains_new(struct sched *s);
void drains_free(struct drains *d);
/* Adds to t the drain row of the stack with these instances and those that drain already. Only such as the router serves
 * drain; the others are stopped at once. */
void drain_put(
	struct sched *s, struct txn *t, const struct stack *sk, const struct inst_list *leaving);
void drains_look(struct sched *s); /* after changes: arms the timer for the next end */
/* The word of a host's router ("" = ours): no connection is left there. */
void drain_drained(struct sched *s, const char *host, const char *instance);

#endif
