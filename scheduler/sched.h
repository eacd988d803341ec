/*
 * The scheduler as a program: opens what is its own, loads the store, becomes the leader, serves, ends in order.
 * Until the load is complete nobody sees half a state: nothing listens, or, while a shared store is waited for, every answer
 * is the reason.
 */
#ifndef SCHEDULER_SCHED_H
#define SCHEDULER_SCHED_H

#include <viking/config.h>
#include <viking/err.h>

struct sched;
/* Opens a shared store as the configuration says, into s->store. */
typedef int sched_open_fn(struct sched *s, struct vk_err *err);
int sched_open_etcd(struct sched *s, struct vk_err *err);

/* Blocks until SIGTERM or SIGINT (0) or a failure (a negative code). */
int sched_serve(const struct vk_config *cfg, sched_open_fn *shared, struct vk_err *err);

#endif
