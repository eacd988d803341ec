/*
 * Which host an instance goes to: what runs and what operations are about to start, told to dowding (dowding.h). A
 * model is made for each question, so nothing of it can be out of date. What a node asks for is in its release entry:
 *
 *	"place": {"cpus": milli-cores, "memory", "disk": bytes, "roles", "hosts": [...], "group", "spread": "hard"|"none",
 *	          "max_per_host", "volume": bool, "never": it is not restarted}, each only when it is set
 *
 * Instances of what a release is being replaced by hold their room beside the new ones; those of nodes in `without` do
 * not: they are stopped first.
 */
#ifndef SCHEDULER_DISPATCH_H
#define SCHEDULER_DISPATCH_H

#include "dowding.h"
#include "hub.h"
#include "instances.h"

struct dispatch {
	struct sched *s;
	struct dowding *d;
	json_t *services; /* {"stack/node": {"n": replicas, "place", "group"}} */
	json_t *placed;   /* [[service, n, host]] */
	uint64_t instances;
};

struct dispatch_ask {
	struct stack *sk;
	const json_t *nodes;           /* entries of the release that l belongs to */
	struct inst_list *l;           /* to be placed anew, whatever .host says */
	const struct vk_strv *without; /* nodes whose other instances do not count; NULL = none */
};

/* FAILED: "no host for web.2: memory on 3 hosts short by at least 512M"; the first of l without a host is the one. */
int dispatch_place(struct sched *s, const struct dispatch_ask *ask, struct vk_err *err);

bool dispatch_knows_host(const struct sched *s, const char *host);
bool dispatch_knows_role(const struct sched *s, const char *role); /* has any host it, up or not? */
bool dispatch_has_role(const struct sched *s, const char *host, const char *role);

/* The cluster as it stands, for questions; ask may be NULL. */
void dispatch_open(struct dispatch *p, struct sched *s, const struct dispatch_ask *ask);
void dispatch_close(struct dispatch *p);
/* dow_plan, counted in the figures. */
void dispatch_plan(struct dispatch *p, struct dow_plan *ret);
/* After it: the host of an instance that the state has; NULL = none takes it. */
const char *dispatch_where(struct dispatch *p, const struct stack *sk, const struct inst *i);
/* One line for each host: "uno: could take one: ..." */
void dispatch_why(struct dispatch *p, const char *stack, const char *node, struct vk_strv *ret);

#endif
