/*
 * The instances a stack shall have now: those of the serving release, those an operation under way has started, those
 * that drain. Pure; a restart comes to the same list from the store, but for what only the overlay says.
 */
#ifndef SCHEDULER_INSTANCES_H
#define SCHEDULER_INSTANCES_H

#include <viking/mem.h>

#include "state.h"

#define INSTANCE_NAME_MAX 160

enum inst_route {
	ROUTE_NONE,
	ROUTE_READY,
	ROUTE_APART,
	ROUTE_DRAIN
}; /* apart: a canary's part of the requests */

struct inst {
	char name[INSTANCE_NAME_MAX];
	char node[64];
	char host[64]; /* "" = not placed yet */
	unsigned version, n;
	unsigned born; /* release that has its definition */
	uint64_t gen;
	bool task;       /* runs the release task once */
	unsigned canary; /* of the release on trial: its percentage of the requests; else 0 */
	bool stop;       /* known, but without a container */
	bool drain;      /* belongs to the past */
	bool told;       /* its becoming healthy was said to the person */
	enum inst_route route;
};

struct inst_list {
	struct inst *v;
	size_t n, cap;
};

/* What an operation adds to the stored state while it runs; owned by the operation, seen through stack->busy. */
struct overlay {
	struct release *release; /* the release being made (its entries), borrowed; NULL = none */
	json_t *claims; /* {"domains": [..], "publish": [..]} held from the first check on */
	struct inst_list
		planned; /* placed: where fresh ones will start, and the room they hold until then */
	struct inst_list fresh; /* started and not yet part of the stored state */
	struct vk_strv stop;    /* nodes whose old instances are stopped first */
	struct vk_strv
		ahead; /* instances restarted already: their gen is one further than stored */
	struct vk_strv drain; /* instances taken out of the routes */
	json_t *scale;        /* {"web": 2}: scales being changed to, or NULL */
	json_t *trial; /* row /canary/S of the release being made: it comes beside the serving one; NULL = in its place */
	bool abort;    /* the release on trial goes */
	bool switched; /* routes go to the new ones, the old drain */
	bool all_stop; /* the stack is leaving: nothing runs, nothing is routed */
};

/* Where an instance that runs is reached: by its own host at ip, by the others at `far`, with another port for each of its own. */
struct inst_addr {
	bool healthy;
	const char *ip;
	const char *host;    /* NULL: there is no cluster */
	const char *far;     /* NULL: the others do not reach it */
	const json_t *ports; /* of far: {"80": 20001} */
	bool away;           /* its host's agent is not connected at the moment */
};
/* False: it has no address. Texts live until the agents' next word. */
typedef bool inst_addr_fn(void *arg, const char *instance, struct inst_addr *ret);
/* Adds "addr", "port" and in a cluster "host" and "far": {"addr", "port"}. */
void inst_addr_put(const struct inst_addr *a, int port, json_t *server);

void overlay_release(struct overlay *o);
struct inst *inst_list_add(struct inst_list *l);
struct inst *inst_list_find(const struct inst_list *l, const char *name);
void inst_list_release(struct inst_list *l);
void inst_set(struct inst *i, const char *stack, const char *node, unsigned version, unsigned n,
	unsigned born);

void inst_set_host(struct inst *i, const char *host); /* NULL = "" */

/* o may be NULL. The list is in a stable order. */
void stack_instances(const struct stack *sk, const struct overlay *o, struct inst_list *ret);
/* The overlay of the operation that runs on the stack, or NULL (op.c). */
const struct overlay *stack_overlay(const struct stack *sk);
/* {"instances": [..]} of a drain row -> appended to l as draining, names already there left out. */
void drain_instances(const struct stack *sk, const json_t *drain, struct inst_list *l);
json_t *inst_json(const struct inst *i); /* for drain rows */

#endif
