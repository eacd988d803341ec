/*
 * Tells when a server that drains has no connection left. Asked every 250 ms while something
 * drains, and not at all else. Old workers of earlier reloads count too: they may hold connections
 * for long.
 */
#ifndef ROUTER_DRAIN_H
#define ROUTER_DRAIN_H

#include <viking/loop.h>

#include "table.h"

struct drain;
typedef void drain_fn(void *arg, const char *id); /* once for each server while it drains */

struct drain *drain_new(
	struct vk_loop *l, const char *admin, const char *master, drain_fn *fn, void *arg);
void drain_free(struct drain *d);
/* The servers that drain now (of a table that is in force); what was reported stays reported. */
void drain_set(struct drain *d, const struct table *t);

#endif
