/*
 * Ports of cluster.ports, for containers that other hosts reach. One after the other through the whole range, also over restarts and
 * power cuts: a host that was cut off and still has an old table finds nobody at a port, never another application. How far it went is
 * in STATE/agent/ports, written ahead of use for BLOCK ports at a time.
 */
#ifndef AGENT_PORTS_H
#define AGENT_PORTS_H

#include <viking/config.h>

struct ports;
struct ports *ports_new(const struct vk_config *c);
void ports_free(struct ports *p);

struct ports_at {
	struct ports *ports;
	const char *address; /* of this host */
};
/* arg = struct ports_at. A port that nobody has there; 0 when this host has not the address, or no port is free. */
unsigned ports_next(void *arg);

#endif
