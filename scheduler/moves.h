/*
 * Instances that must leave their host. Of a lost host (hosts.h) everything that can run elsewhere is placed anew, at
 * once: only the /assign rows change, and a host that returns stops what is no longer its own before any of it is
 * routed. What has its data there, or is never restarted, waits: "delayed: pinned to X". A host that drains gives its
 * instances away by a release of their nodes: new ones start elsewhere, are healthy and routed before the old stop.
 */
#ifndef SCHEDULER_MOVES_H
#define SCHEDULER_MOVES_H

#include "hub.h"
#include "instances.h"

#define MOVES_MAX 8 /* releases that one rebalance begins */

struct moves *moves_new(struct sched *s);
void moves_free(struct moves *m);
void moves_look(struct sched *s); /* after every change; does nothing while all is in order */
/* What was tried in vain may be tried again: a host was let in or out. */
void moves_again(struct sched *s);
/* Nodes that would be spread better if they were placed anew: [{"stack", "node", "from": [hosts], "to": [hosts]}], at most
 * MOVES_MAX of them, one of a stack; without dry they are, each by a release of its own. Nodes with data stay. */
json_t *moves_rebalance(struct sched *s, bool dry, const char *who);
/* Why an instance does not run although it is wanted: its host is lost, and it cannot go. NULL = that is not so. */
char *moves_delayed(struct sched *s, const struct stack *sk, const struct inst *i);

#endif
