/* State + what the agents report -> the router's and web's tables (docs/protocol.md 7), without "rev". Pure. */
#ifndef SCHEDULER_ROUTES_H
#define SCHEDULER_ROUTES_H

#include "domains.h"
#include "instances.h"

struct routes_in {
	const struct state *st;
	const char *base_domain;
	const char *files; /* the host that has the files of websites; NULL: this one is alone */
	inst_addr_fn *address;
	void *arg;
	json_t **
		memo; /* what one pass found of domains and certificates, for the next; NULL = nothing is kept */
};

/* Entries of the release that is routed to now: the one being switched to, else the serving one. NULL = none. */
const json_t *routes_entries(const struct stack *sk);
json_t *routes_build(const struct routes_in *in); /* {"stacks": {...}, "files": HOST} */
json_t *sites_build(const struct routes_in *in);  /* {"sites": {...}} */

#endif
