/*
 * From a store that is open to a scheduler that may write: every key into memory (or, when the store has no stack yet, first
 * a backup's keys into the store), then the leader key with the next epoch, then what a crash left behind.
 */
#ifndef SCHEDULER_LOAD_H
#define SCHEDULER_LOAD_H

#include "hub.h"

struct load;
/* Called once, from the loop; err NULL = s->st, s->leader_rev and the epoch stand. */
typedef void load_fn(void *arg, const struct vk_err *err);
struct load *load_start(struct sched *s, load_fn *fn, void *arg);
void load_free(struct load *l); /* not before fn was called */
/* Rows that say a deploy or build is under way did not survive the restart. After load, before serving. */
void load_recover(struct sched *s);

#endif
