/*
 * Changes of a shared store that are not ours. Memory is the store as this scheduler wrote it; what somebody else puts below
 * the prefix (etcdctl, a leader that took over, a lease that ended) makes it untrue, so the process ends and reads anew. The
 * same when the watch itself was lost: the store checks it against the keys twice a minute.
 */
#ifndef SCHEDULER_FOLLOW_H
#define SCHEDULER_FOLLOW_H

#include "hub.h"

struct follow;
/* NULL for a store that is not shared. from: the first revision that memory does not have. */
struct follow *follow_new(struct sched *s, uint64_t from);
void follow_free(struct follow *f);
/* A transaction of ours was committed; s->commits counts those whose revision is not known yet. f may be NULL. */
void follow_own(struct follow *f, uint64_t rev);

#endif
