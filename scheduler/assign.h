/*
 * The /assign rows: which instances were placed on which host, one key a host. A row may name instances that are no more
 * until the stack is written the next time; names are never used twice, so nothing comes of it.
 */
#ifndef SCHEDULER_ASSIGN_H
#define SCHEDULER_ASSIGN_H

#include "instances.h"
#include "txn.h"

/* Puts the rows that differ when what is placed of the stack is exactly l (NULL = nothing), each on its .host. */
void assign_put(struct txn *t, struct sched *s, const char *stack, const struct inst_list *l);
/* At the start: what was placed before there were rows is this host's, and so is all of a host that was renamed. In
 * memory at once, for the agent must not be told otherwise. */
void assign_recover(struct sched *s);
/* A key of a backup, which may be another machine's: false = it does not belong here. *value becomes a new reference. */
bool assign_import(const struct sched *s, const char *key, json_t **value);

#endif
