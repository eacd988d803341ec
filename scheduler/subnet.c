/* IPv4 arithmetic over /24s. */
#include "subnet.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

static bool cidr_parse(const char *text, uint32_t *ret_base, unsigned *ret_len)
{
	const char *slash = strchr(text, '/');
	uint64_t len = 32;
	char address[INET_ADDRSTRLEN];
	size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
	if (n >= sizeof(address) || (slash != NULL && vk_parse_u64(slash + 1, 0, 32, &len) != 0))
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	struct in_addr in;
	if (inet_pton(AF_INET, address, &in) != 1)
		return false;
	uint32_t mask = len == 0 ? 0 : UINT32_MAX << (32 - len);
	*ret_base = ntohl(in.s_addr) & mask;
	*ret_len = (unsigned)len;
	return true;
}

bool subnet_overlap(const char *a, const char *b)
{
	uint32_t base_a, base_b;
	unsigned len_a, len_b;
	if (!cidr_parse(a, &base_a, &len_a) || !cidr_parse(b, &base_b, &len_b))
		return false;
	unsigned len = len_a < len_b ? len_a : len_b;
	uint32_t mask = len == 0 ? 0 : UINT32_MAX << (32 - len);
	return (base_a & mask) == (base_b & mask);
}

int subnet_range_parse(const char *text, struct subnet_range *ret, struct vk_err *err)
{
	uint32_t base;
	unsigned len;
	if (!cidr_parse(text, &base, &len) || len < 8 || len > 24)
		return vk_err_set(
			err, VK_INVALID, "networks.range %s is no IPv4 range of /8 to /24", text);
	*ret = (struct subnet_range){.base = base, .count = UINT64_C(1) << (24 - len)};
	return 0;
}

void subnet_text(const struct subnet_range *r, uint64_t index, char out[static 32])
{
	uint32_t a = r->base + (uint32_t)(index << 8);
	snprintf(out, 32, "%u.%u.%u.0/24", a >> 24, (a >> 16) & 255, (a >> 8) & 255);
}

/* A default route ("0.0.0.0/0") covers everything and means nothing here. */
static bool routed_elsewhere(const char *subnet, const json_t *routes)
{
	size_t i;
	json_t *route;
	json_array_foreach(routes, i, route)
	{
		const char *text = json_string_value(route);
		if (text != NULL && !vk_ends(text, "/0") && subnet_overlap(subnet, text))
			return true;
	}
	return false;
}

int subnet_pick(const struct subnet_range *r, bool (*used)(void *arg, uint64_t index), void *arg,
	const json_t *routes, uint64_t *ret, struct vk_err *err)
{
	for (uint64_t i = 0; i < r->count; i++) {
		char text[32];
		subnet_text(r, i, text);
		if (used(arg, i) || routed_elsewhere(text, routes))
			continue;
		*ret = i;
		return 0;
	}
	vk_err_set(err, VK_LIMIT, "no subnet is free in networks.range (%llu in all)",
		(unsigned long long)r->count);
	vk_err_hint(err, "set a larger networks.range, or destroy a stack");
	return VK_LIMIT;
}
