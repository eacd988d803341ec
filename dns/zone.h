/*
 * What viking's names mean: the scheduler's network document (docs/protocol.md 7) -> answers. Pure.
 *
 *	NODE.STACK.viking, N.NODE.STACK.viking, INSTANCE.NODE.STACK.viking   A, SRV
 *	_PORT._tcp.NODE.STACK.viking    PORT: its number or name             SRV
 *	LINK.STACK.viking               the link's proxy on this host        A, SRV
 *	NODE, LINK, backends            the same, short, for containers of the stack
 *
 * and, where the setting dns.zones has them, the zones of older systems: NODE.STACK.skydns.local; NODE.veo,
 * PORT.NODE.veo and _PORT._tcp.NODE.veo; NODE.local.zone and NODE-N.local.zone. Who asks sees its own stack and what that is linked
 * to; only the host itself sees all.
 */
#ifndef DNS_ZONE_H
#define DNS_ZONE_H

#include <jansson.h>
#include <viking/err.h>

#include "wire.h"

enum dns_policy { POLICY_APPEND, POLICY_REPLACE, POLICY_HIDE };

struct zone_instance {
	char *name;
	unsigned n;
	uint32_t addr;
};
struct zone_port {
	unsigned port;
	char *name; /* "" = none */
	bool udp;
};
struct zone_node {
	char *name, *alias; /* alias: '_' is '-' */
	enum dns_policy policy;
	struct zone_instance *inst; /* healthy ones, oldest first */
	size_t n_inst;
	struct zone_port *ports;
	size_t n_ports;
};
struct zone_link {
	char *alias, *stack, *node;
	unsigned port;
};
struct zone_net {
	char *stack;
	uint32_t gateway, base, mask; /* host order */
	struct zone_node *nodes;
	struct zone_link *links;
	size_t n_nodes, n_links;
};
struct zone {
	int64_t rev;
	struct zone_net *nets;
	size_t n_nets;
	bool skydns, veo, local; /* alias zones that are on */
	unsigned turn;           /* where the next answer begins */
};

struct zone_host {
	const char *name;    /* instances without a host are on this one */
	const char *aliases; /* words of dns.zones, with commas */
	bool translates;     /* the firewall is in force: what other hosts run has addresses here */
};
int zone_parse(
	const json_t *doc, const struct zone_host *host, struct zone **ret, struct vk_err *err);
void zone_free(struct zone *z);

enum zone_answer {
	ZONE_FOREIGN, /* none of ours: to be forwarded */
	ZONE_FOUND,   /* the name is there, with records of this type or without */
	ZONE_NONE
};
/* net NULL = the host itself asks. ret gets the records. */
enum zone_answer zone_find(struct zone *z, const struct zone_net *net, const struct dns_query *q,
	struct dns_records *ret);

#endif
