/*
 * The scheduler as a program: opens what is its own, loads the store, becomes the leader, serves, ends in order.
 * Until the load is complete nothing listens, so nobody ever sees half a state.
 */
#ifndef SCHEDULER_SCHED_H
#define SCHEDULER_SCHED_H

#include <viking/config.h>
#include <viking/err.h>

/* Blocks until SIGTERM or SIGINT (0) or a failure (a negative code). */
int sched_serve(const struct vk_config *cfg, struct vk_err *err);

#endif
