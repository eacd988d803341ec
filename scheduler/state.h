/*
 * Everything the store holds, as structs in memory. There is one way in: state_apply() of one key, at
 * loading and after each commit, so that memory is always what a restart would read. Nothing else
 * changes stored fields; busy and waiting operations of a stack (op.h) are not stored.
 */
#ifndef SCHEDULER_STATE_H
#define SCHEDULER_STATE_H

#include "model.h"
#include "owned.h"

struct op;

struct stack {
	char *name;
	bool exists; /* its /stack row is there */
	struct stack_row row;
	struct lock_row *lock;    /* NULL when unlocked */
	struct table nodes;       /* struct node_row, also for nodes no command spoke of */
	struct table config;      /* struct config_row */
	struct release **release; /* by number, ascending */
	size_t n_releases, cap_releases;
	unsigned current;                 /* number of the serving release, 0 = none */
	unsigned next;                    /* number of the next release */
	json_t *pending, *drain, *intent; /* NULL when absent */
	json_t *hosts;                    /* {instance: host}, from the /assign rows; or NULL */
	json_t *canary;                   /* row of a release on trial, or NULL */
	json_t *packs;                    /* row of buildpacks:set, or NULL */
	struct op *busy;                  /* runs now */
	struct op *waiting;               /* list, first comes next */
	bool drain_ending;                /* the end of the drain row is being written */
	int64_t updated_ms;
};

struct gone_row {
	char *name; /* "volume/NAME", "network/NAME", "logs/STACK", "repo/ID" */
	char *to;   /* logs of a renamed stack: whose they are now; else NULL */
};

struct state {
	struct table stacks, keys, domains, builds, images, volumes, certs, acme, accounts, traffic,
		gone, hosts, invites, assigns;
	struct table owned; /* owned.h */
	uint64_t epoch;
	uint64_t build_top; /* highest build number seen */
	uint64_t
		names; /* rises with every change of a stack's own, a domain's, certificate's or traffic row */
};

void state_init(struct state *st);
void state_release(struct state *st);
/* value NULL = the key is deleted. An unknown kind of key is VK_INVALID, a value that does not fit too. */
int state_apply(struct state *st, const char *key, const json_t *value, struct vk_err *err);

struct stack *state_stack(const struct state *st, const char *name); /* NULL unless it exists */
/* Takes r over. A release that is there already is replaced, but for its document, which never changes. */
void stack_put_release(struct stack *sk, struct release *r);
void stack_drop_release(struct stack *sk, unsigned n);
struct release *stack_release(const struct stack *sk, unsigned n); /* NULL if absent */
struct release *stack_current(const struct stack *sk);             /* NULL if none */
struct release *stack_canary(const struct stack *sk); /* the one on trial, NULL if none */
struct node_row *stack_node(struct stack *sk, const char *node); /* made when new */
/* Instances a node shall have: the command's word, else the manifest's. */
unsigned stack_scale(const struct stack *sk, const char *node, const json_t *entry);
/* Where an instance was placed; NULL = nothing is recorded. */
const char *stack_host(const struct stack *sk, const char *instance);
/* The build document of a release as JSON (new reference), or NULL when it was let go. */
json_t *release_doc(const struct release *r);
/* "current", "superseded", "canary", "aborted", "failed", "cancelled", "deploying" */
const char *release_outcome(const struct stack *sk, const struct release *r);

#endif
