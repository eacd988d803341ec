/*
 * From a store that is open to a scheduler that may write: first the lead (lead.h), as nothing changes behind a leader's
 * back, then every key into memory (or, when the store has no stack yet, a backup's keys into the store before), then what a
 * crash left behind.
 */
#ifndef SCHEDULER_LOAD_H
#define SCHEDULER_LOAD_H

#include "hub.h"

struct load;
/* Called once, from the loop; err NULL = s->st and s->lead_rev stand. waits: as in lead_start. */
typedef void load_fn(void *arg, const struct vk_err *err);
struct load *load_start(struct sched *s, load_fn *fn, load_fn *waits, void *arg);
void load_free(struct load *l); /* not before fn was called */
/* Rows that say a deploy or build is under way did not survive the restart. After load, before serving. */
void load_recover(struct sched *s);

#endif
