/*
 * One node of a push document -> its definition: everything an instance is made of but its name,
 * version, number and release. Pure: documents in, document out. Equal definitions mean "unchanged".
 *
 *	{"type": "app", "image", "cmd", "cwd", "env", "expose", "publish", "mounts", "aliases", "health", "memory",
 *	 "cpus_milli", "pids", "stop_ms", "restart", "restart_count", "privileged", "network_mode", "pid_mode",
 *	 "port": routed port or 0, "release": argv or null,
 *	 of images that packs built (processes.h): "entrypoint", "release_entrypoint", "enter": argv before a command of enter or run}
 *	{"type": "website", "commit", "document_root"}
 *
 * Environment, later wins: PORT (when we choose the port), manifest, node, config of the stack. A definition holds
 * secrets: it is never stored, logged or shown.
 */
#ifndef SCHEDULER_RESOLVE_H
#define SCHEDULER_RESOLVE_H

#include <jansson.h>
#include <stdint.h>
#include <viking/err.h>

#define PORT_DEFAULT 8080

struct resolve_in {
	const char *stack;
	const json_t *doc;
	const json_t
		*boats; /* {"src": {"ref", "expose": ["80/tcp"], "launch"}, "other/x": {"ref"}} */
	const json_t *config; /* {"K": "plain"} or NULL */
	const json_t *
		volumes; /* {"node:path": "volume name"}: names that differ from the rule; or NULL */
	const json_t *links; /* of this node, with ports (links.h); NULL = none */
	const char *gateway; /* of the stack's network */
	uint64_t default_memory, default_pids;
};

/* The node that gets the stack's default domain: `web`, else the only one that could; NULL if none. */
const char *resolve_web_node(const json_t *doc);
/* "viking-<stack>-<node>-<8 hex of path>", or with a name "viking-<stack>-vol-<name>". Caller frees. */
char *resolve_volume_name(const char *stack, const char *node, const json_t *volume);
/* The port that links to a node of this document mean: its first TCP port, 0 = none. */
int resolve_port(const struct resolve_in *in, const char *node);
int resolve_node(
	const struct resolve_in *in, const char *node, json_t **ret_def, struct vk_err *err);

#endif
