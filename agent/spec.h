/*
 * The engine's create request of an instance. Pure: one instance in, JSON out; golden-tested. Every
 * container gets --init, no-new-privileges, fewer capabilities, pids, memory and cpu limits, bounded
 * engine logs, restart policy "no" (supervise.c is the only one that restarts) and the viking.* labels.
 */
#ifndef AGENT_SPEC_H
#define AGENT_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <viking/config.h>

#include "desired.h"

struct spec_run { /* a container of its own for `viking run` */
	bool tty;
	unsigned rows, cols;
};
/* root: value of the viking.root label; env: in->env as this host resolves it; run NULL = a supervised instance. New reference. */
json_t *spec_create(const struct vk_config *c, const char *root, const struct desired_instance *in,
	const json_t *env, const struct spec_run *run);
/* {name: value} as the engine wants it, ["NAME=value", ...]. New reference. */
json_t *spec_env(const json_t *env);
/* Does a container that was made with these addresses (or NULL) ask the resolver that the instance is to ask? It keeps them. */
bool spec_same_resolver(const json_t *addresses, const struct desired_instance *in);
/* viking.root: 16 hex digits of the SHA-256 of the state directory; containers of other roots on
 * the same engine are foreign. */
void spec_root(const struct vk_config *c, char out[static 17]);

/* Adds to what spec_create made a port of the host for each TCP port of the instance, at the address others reach it (reach);
 * next gives a port that is free, 0 = none. */
void spec_reach(
	json_t *create, const struct desired_instance *in, unsigned (*next)(void *arg), void *arg);
/* {"addr", "ports": {"80": 20001}} of an inspected container, as spec_reach bound it; of one in the host's network each port is its
 * own. New reference, NULL without any. */
json_t *spec_reached(const json_t *ports, const struct desired_instance *in);

#endif
