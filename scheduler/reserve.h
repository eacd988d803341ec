/*
 * Room for a start on a full disk: STATE/sched/reserve holds RESERVE_BYTES that nobody uses. A scheduler that could not
 * start for want of space gives them back, so that the next start serves all reads, doctor and `viking gc` - by which
 * people find out and make room. It is made anew when there is plenty.
 */
#ifndef SCHEDULER_RESERVE_H
#define SCHEDULER_RESERVE_H

#include "hub.h"

#define RESERVE_BYTES ((size_t)2 << 20)

/* Makes it if it is missing and the disk has room for several of it. */
void reserve_keep(struct sched *s);
/* True if there was one to give back. */
bool reserve_give(const struct sched *s);

#endif
