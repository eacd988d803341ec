/*
 * What to do about a fresh listing of containers. Pure: instances and containers in, actions out. A
 * container counts only if its viking.root label is ours; everything else on the engine does not exist
 * here. Instances that changed after the listing was asked for (busy) are left for the next one.
 */
#ifndef AGENT_DIFF_H
#define AGENT_DIFF_H

#include <stdbool.h>
#include <stddef.h>

struct diff_have {                        /* one container of the listing */
	const char *id, *root, *instance; /* root, instance: labels, NULL if absent */
	bool running;
};
struct diff_know { /* one instance of the agent's table */
	const char *name;
	const char *id; /* the container it holds, NULL = none */
	bool running;   /* and believes to run */
	bool busy;
};
enum diff_what {
	DIFF_ADOPT, /* know (or none: make one that is not wanted) takes container have */
	DIFF_REAP,  /* have is a second container of an instance that holds another: remove it */
	DIFF_DEAD,  /* know's container stopped without our seeing it */
	DIFF_LOST,  /* know's container is gone */
};
struct diff_action {
	enum diff_what what;
	const struct diff_have *have; /* NULL for DIFF_LOST */
	const struct diff_know *know; /* NULL for DIFF_ADOPT of an unknown instance */
};

/* *ret: array of *ret_n actions in the order of the listing, then the lost ones; the caller frees. */
void diff_containers(const char *root, const struct diff_have *have, size_t n_have,
	const struct diff_know *know, size_t n_know, struct diff_action **ret, size_t *ret_n);

#endif
