/*
 * The network document -> one nftables table. Pure: only addresses and numbers that were parsed are printed, no text of anybody's.
 *
 * From a container of a stack: its own stack, the outside, port 53 and the links' ports of its own gateway address, what firewall.allow
 * names. Rejected: all else of this host, other stacks, link-local addresses (cloud metadata), containers' ports on other hosts. Nothing is said of other packets: they
 * pass on to the tables of others, and what these refuse stays refused.
 *
 * In a cluster: at the ports of cluster.ports only its hosts reach this host's containers; and an instance on another host has an
 * address (198.18.0.0/15) for the containers of its stack, which is translated to its host's address and port.
 */
#ifndef FIREWALL_RULES_H
#define FIREWALL_RULES_H

#include <jansson.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

#define RULES_MAX       (16u << 20)
#define RULES_TABLE_MAX 32

/* "viking_<16 hex of the state directory's hash>": each viking of a host has its own. */
void rules_table(const char *state_dir, char out[static RULES_TABLE_MAX]);
struct rules_host {
	const char *name; /* among "hosts" of the document */
	const char *table;
	const char *allow;    /* ports and ranges with commas */
	uint16_t first, last; /* cluster.ports */
};
/* The text replaces the table as a whole, in one transaction. */
int rules_render(
	const json_t *doc, const struct rules_host *host, struct vk_buf *out, struct vk_err *err);

#endif
