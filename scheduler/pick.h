/* Which node and which instance a request means that names neither, or only one of them. */
#ifndef SCHEDULER_PICK_H
#define SCHEDULER_PICK_H

#include "hub.h"
#include "instances.h"

/* The serving release; NULL: err, with what to type. */
struct release *pick_release(const struct stack *sk, struct vk_err *err);
/* node NULL or "" = the web node, else the only one with containers. Its entry in the serving release; the name
 * is borrowed from there. Websites are refused. */
int pick_node(const struct stack *sk, const char *node, const char **ret_node,
	const json_t **ret_entry, struct vk_err *err);
/* Has any release had this node? What it said is kept after it is gone. NOTFOUND names the nodes. */
int pick_known(const struct stack *sk, const char *node, struct vk_err *err);
/* n 0 = the first healthy one, else the first that runs at all. CONFLICT when none does. */
int pick_instance(struct sched *s, const struct stack *sk, const char *node, uint64_t n,
	struct inst *ret, struct vk_err *err);

#endif
