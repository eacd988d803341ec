/* IPv4 subnets and the host's routing table (/proc/net/route). Pure but for routes_read. */
#ifndef AGENT_ROUTES_H
#define AGENT_ROUTES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cidr {
	uint32_t addr; /* host order, host bits zero */
	unsigned bits;
};
struct route {
	struct cidr net;
	char device[16];
};
int cidr_parse(const char *text, struct cidr *ret); /* "10.1.2.0/24"; VK_INVALID */
void cidr_print(const struct cidr *c, char out[static 20]);
bool cidr_overlap(const struct cidr *a, const struct cidr *b);
/* Text of /proc/net/route; the default route is left out. The caller frees *ret. */
void routes_parse(const char *text, struct route **ret, size_t *ret_n);
void routes_read(struct route **ret, size_t *ret_n); /* unreadable: none */
/* The first route that overlaps, or NULL. */
const struct route *routes_clash(const struct route *v, size_t n, const struct cidr *c);

#endif
