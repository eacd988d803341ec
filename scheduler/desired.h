/* State -> the documents of the agents (docs/protocol.md 6), without "rev". Pure but for the definitions asked of the caller. */
#ifndef SCHEDULER_DESIRED_H
#define SCHEDULER_DESIRED_H

#include "instances.h"
#include "subnet.h"

/* Definition of a node as release `born` of the stack defines it; borrowed, NULL when it cannot be had. */
typedef const json_t *desired_def_fn(
	void *arg, const struct stack *sk, unsigned born, const char *node);

struct desired_in {
	const struct state *st;
	const char *own; /* the host of this scheduler: what is not placed yet is its */
	struct subnet_range range;
	int64_t health_timeout_ms;
	bool dns; /* containers ask viking-dns */
	desired_def_fn *def;
	void *arg;
};

/* The document of a host that is to run nothing. New reference. */
json_t *desired_none(uint64_t epoch);
/* {host: document} for this host and every one that has a row. */
json_t *desired_build(const struct desired_in *in);
/* One instance object; def as resolve.h makes it. release = the number its label carries. */
json_t *desired_instance(
	const struct stack *sk, const struct inst *i, const json_t *def, int64_t health_timeout_ms);

#endif
