/*
 * When a name ends: stacks:destroy and stacks:rename as operations. Both first stop all instances and close the routes, then
 * write one transaction: all rows of the stack go, or move to the new name. Before it nothing is lost: a failure
 * starts everything again.
 */
#ifndef SCHEDULER_LEAVE_H
#define SCHEDULER_LEAVE_H

#include "op.h"

struct op *leave_destroy(struct sched *s, const char *stack, const char *who);
int leave_rename_check(
	const struct sched *s, const char *stack, const char *name, struct vk_err *err);
struct op *leave_rename(struct sched *s, const char *stack, const char *name, const char *who);

#endif
