/*
 * The host that holds the repositories and the registry of a cluster, and so builds: the one whose /host row says `registry`.
 * Only a transaction of the leader gives the role, from row to row at once; a push, and what a builder says, counts only when it
 * comes from the holder of that moment. So one that was cut off and comes back accepts nothing.
 */
#ifndef SCHEDULER_HOLDER_H
#define SCHEDULER_HOLDER_H

#include "hub.h"

/* NULL without a cluster; own: this host. */
const char *holder_of(const struct state *st, const char *own);
/* UNAVAILABLE, with its name, unless host ("" = this one) is it. */
int holder_check(const struct sched *s, const char *host, struct vk_err *err);
/* Who takes the role from it: the host that is in the cluster longest, of those that are not lost. NULL: nobody. */
const char *holder_next(const struct sched *s);
/* Into t: `to` is the holder, nobody else. What a push before it has yet to move is forgotten: the branch was the old one's. The
 * files of websites are asked for anew. */
void holder_give(struct sched *s, struct txn *t, const char *to);
/* After a change of the rows: vikingd is told whether the registry runs here (STATE/sched/registry-host). */
void holder_note(struct sched *s, const struct state *st);

#endif
