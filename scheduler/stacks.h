/* Making stacks. */
#ifndef SCHEDULER_STACKS_H
#define SCHEDULER_STACKS_H

#include "txn.h"

/* Checks the name, picks a subnet and adds the rows to t. */
int stacks_create(
	struct sched *s, struct txn *t, const char *name, const char *who, struct vk_err *err);

/* Is one of that name being written right now? */
bool stacks_coming(const struct sched *s, const char *name);

/* A subnet of networks.range that no stack has and no route of the host covers. */
int stacks_subnet(struct sched *s, uint64_t *ret, struct vk_err *err);

#endif
