/*
 * State + what the agents report -> the network document (docs/protocol.md 7), without "rev": each stack's subnet, its healthy
 * instances and its links. viking-dns answers names from it, the router's link proxy and the firewall open ways from it.
 * Pure but for the definitions asked of the caller.
 */
#ifndef SCHEDULER_NET_H
#define SCHEDULER_NET_H

#include "desired.h"
#include "instances.h"
#include "subnet.h"

struct net_in {
	const struct state *st;
	struct subnet_range range;
	desired_def_fn *def;
	inst_addr_fn *address;
	void *arg;
};

/* For place.h: arg = struct state. */
int net_foreign_port(void *arg, const char *stack, const char *node);
/* Is an instance of the node healthy and in service? in->def is not used. */
bool net_serves(const struct net_in *in, const char *stack, const char *node);
json_t *net_build(const struct net_in *in);
/* "10.210.3.1": the host's address in the stack's network. */
void net_gateway(const struct subnet_range *range, const struct stack *sk, char out[static 32]);

#endif
