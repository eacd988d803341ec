/*
 * The network document -> one nftables table. Pure: only addresses and numbers that were parsed are printed, no text of anybody's.
 *
 * From a container of a stack: its own stack, the outside, port 53 and the links' ports of its own gateway address, what firewall.allow
 * names. Rejected: all else of this host, other stacks, link-local addresses (cloud metadata). Nothing is said of other packets: they
 * pass on to the tables of others, and what these refuse stays refused.
 */
#ifndef FIREWALL_RULES_H
#define FIREWALL_RULES_H

#include <jansson.h>
#include <viking/err.h>
#include <viking/mem.h>

#define RULES_MAX       (16u << 20)
#define RULES_TABLE_MAX 32

/* "viking_<16 hex of the state directory's hash>": each viking of a host has its own. */
void rules_table(const char *state_dir, char out[static RULES_TABLE_MAX]);
/* allow: ports and ranges with commas. The text replaces the table as a whole, in one transaction. */
int rules_render(const json_t *doc, const char *table, const char *allow, struct vk_buf *out,
	struct vk_err *err);

#endif
