/*
 * Placement of one stack: which version of each node a new release runs. Pure. A node keeps its version while its
 * definition (resolve.h) keeps its hash; `service: true` nodes keep theirs over any push and change
 * only when told to. The result is stored in the release as {"node": entry}:
 *
 *	{"version", "hash", "born": release whose document defines this version, "type", "service", "scale", "port",
 *	 "exclusive": stop the old before starting the new (volume or host port), "domains": [...], "publish": [ports],
 *	 "traffic", "domain_options", "tcp", "drain_ms": as in the document, or absent, "h2": [ports],
 *	 "pages": {"503": id},
 *	 "links": with their ports (links.h), "require", "shared": [globs of stacks], "dns": policy of its name,
 *	 "task": has a release task, "place": what of a host it needs (dispatch.h), or absent, "files": stack whose name a website's files lie under, if not this one's}
 */
#ifndef SCHEDULER_PLACE_H
#define SCHEDULER_PLACE_H

#include <viking/mem.h>

#include "resolve.h"
#include "table.h"

#define PAGE_ID_SIZE 25 /* hex digits of a hash, and NUL */

struct place_in {
	struct resolve_in resolve;
	const json_t *old;         /* entries of the serving release, or NULL */
	const struct table *nodes; /* struct node_row: versions used so far, scales by command */
	unsigned release;          /* number of the new release */
	bool services;             /* changed service nodes are applied too */
	bool force; /* a new version even for an equal definition (services: only if changed) */
	/* The port of another stack's node, 0 = not known. */
	int (*foreign_port)(void *arg, const char *stack, const char *node);
	void *arg;
	const struct vk_strv *only; /* only these nodes may change, NULL = all */
};

struct place_out {
	json_t *nodes; /* entries */
	json_t *defs;  /* definitions of the entries born in this release */
	struct vk_strv added, changed, unchanged, removed;
	struct vk_strv held; /* services whose changed definition waits for `redeploy` */
};

int place_stack(const struct place_in *in, struct place_out *ret, struct vk_err *err);
void place_out_release(struct place_out *out);
bool place_has(
	const struct place_out *out, const char *node); /* added or changed by this release */

#endif
