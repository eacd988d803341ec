/*
 * Seed 000's keys in etcd, beside viking's own: the tables of view.h (/proc /run /deploy /fixed /counter /ports /failed /host)
 * as keys below etcd.classic, to be read with `etcdctl get --prefix /ports/`; and /proc as a way in: what another puts
 * there is a job (jobs.h), what nobody can run is moved to /failed.
 *
 * The mirror lags and nothing waits for it: at most one pass each half second, in transactions of BATCH keys, only those that
 * changed; stacks of more than CLASSIC_STACK_MAX instances are left out. Each transaction compares /leader. All keys hang on
 * a lease of this leader and are gone a minute after it unless the next one writes them anew: nothing that may be
 * another's is ever deleted. The keys lie outside of etcd.prefix, so follow.h does not see them.
 */
#ifndef SCHEDULER_CLASSIC_H
#define SCHEDULER_CLASSIC_H

#include "hub.h"

#define CLASSIC_STACK_MAX 100

struct classic;
/* NULL when s->classic_store is, and then the others do nothing. */
struct classic *classic_new(struct sched *s);
void classic_touch(struct classic *c); /* the state may have changed */
void classic_close(struct sched *s);   /* with its store */
/* Do classic keys below root ("/" = none) lie outside of viking's own below prefix? */
bool classic_apart(const char *root, const char *prefix);

#endif
