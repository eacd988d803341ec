/* What lists and infos show of a stack and its instances. Reads only. */
#ifndef SCHEDULER_SUMMARY_H
#define SCHEDULER_SUMMARY_H

#include "hub.h"
#include "instances.h"

/* {"name", "state", "release", "domains", "instances", "healthy", "locked", "updated_ms"}. State: "empty" (no release yet),
 * "deploying" and other work by its kind, "stopped", "degraded" (something wanted is not healthy), "running". */
json_t *summary_stack(struct sched *s, const struct stack *sk);
/* {"name", "node", "n", "version", "release", "host", "state", "health", "started_ms", "restarts", "ip", "reason"} */
json_t *summary_instance(struct sched *s, const struct stack *sk, const struct inst *i);
/* Every instance that is wanted; with draining also those that finish their requests. */
json_t *summary_instances(struct sched *s, const struct stack *sk, bool draining);

#endif
