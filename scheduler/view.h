/*
 * The state as a flat key space for people and programs that expect the classic keys of a cluster of hosts:
 *
 *	/host/H                               facts of the host
 *	/proc/S/NODE/TAG                      what shall run (without values of variables)
 *	/run/S/NODE/TAG                       the host it is placed on
 *	/deploy/H/S/NODE/TAG                  its container, "" until it runs
 *	/fixed/S/NODE                         the host that holds the node's data
 *	/counter/H/S/NODE/TAG                 restarts since it was made
 *	/ports/S/NODE/PORT/PROTO/IP/HOSTPORT/INSTANCE   "ip:port", healthy instances only, as hosts reach it
 *	/failed/S/NODE/TAG                    reason and last lines of what gave up
 *
 * TAG is VERSION-N. A view: nothing of it is stored, but etcd may have a copy (classic.h). /images/S/BOAT/TAG and our own keys come from the store.
 */
#ifndef SCHEDULER_VIEW_H
#define SCHEDULER_VIEW_H

#include "hub.h"

/* Appends {"key", "value", "rev"} for each key of the view that begins with prefix. */
void view_add(struct sched *s, const char *prefix, json_t *keys);
/* The same as {key: text}, without stacks of more than stack_max instances and without the keys below /proc that are jobs of
 * others (jobs.h). New reference. */
json_t *view_mirror(struct sched *s, size_t stack_max);
/* A stored value without what is secret or tenants' text: sealed values, documents. New reference. */
json_t *view_public(const char *key, const json_t *value);

#endif
