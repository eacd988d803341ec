/*
 * Links of nodes: a port of the stack's gateway for each target, and the environment that tells of it. Pure. In an entry (place.h):
 *
 *	"links": [{"name", "stack": "" = this one, "node", "instance": "" = any, "port", "native": the target's own port or 0}]
 *
 * A target keeps its port as long as a release that serves has it; the router's link proxy listens there.
 */
#ifndef SCHEDULER_LINKS_H
#define SCHEDULER_LINKS_H

#include <jansson.h>
#include <stdbool.h>
#include <viking/err.h>

#define LINK_PORT_FIRST 10000
#define LINK_PORT_LAST  14095

/* links: of the document. old and fresh: entries whose ports are taken; a target that has one keeps it. native 0 is filled in by the
 * caller. New reference. */
int links_place(const json_t *links, const json_t *old, const json_t *fresh, json_t **ret,
	struct vk_err *err);
/* Variables for each link of a node of stack, in the three ways of older systems: SERVICE_X_ADDR and _PORT with BACKENDS_<port>;
 * X_PORT, X_PORT_N_TCP and its _PROTO, _ADDR, _PORT; X_SERVICE_IP. */
void links_env(const json_t *links, const char *stack, const char *gateway, json_t *env);
/* May the stack link to this node's entry? */
bool links_shared(const json_t *entry, const char *stack);

#endif
