#include "routes.h"

#include <arpa/inet.h>
#include <viking/err.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

static uint32_t mask_of(unsigned bits)
{
	return bits == 0 ? 0 : UINT32_MAX << (32 - bits);
}

int cidr_parse(const char *text, struct cidr *ret)
{
	char host[16] = "";
	struct in_addr in;
	uint64_t bits;
	const char *slash = text != NULL ? strchr(text, '/') : NULL;
	if (slash == NULL || (size_t)(slash - text) >= sizeof(host))
		return VK_INVALID;
	memcpy(host, text, (size_t)(slash - text));
	if (inet_pton(AF_INET, host, &in) != 1 || vk_parse_u64(slash + 1, 1, 32, &bits) < 0)
		return VK_INVALID;
	ret->bits = (unsigned)bits;
	ret->addr = ntohl(in.s_addr) & mask_of(ret->bits);
	return 0;
}

void cidr_print(const struct cidr *c, char out[static 20])
{
	snprintf(out, 20, "%u.%u.%u.%u/%u", c->addr >> 24, (c->addr >> 16) & 255,
		(c->addr >> 8) & 255, c->addr & 255, c->bits);
}

bool cidr_overlap(const struct cidr *a, const struct cidr *b)
{
	uint32_t mask = mask_of(a->bits < b->bits ? a->bits : b->bits);
	return (a->addr & mask) == (b->addr & mask);
}

static int hex32(const char *s, uint32_t *ret)
{
	uint32_t v = 0;
	for (int i = 0; i < 8; i++) {
		const char *digits = "0123456789ABCDEF", *at = s[i] ? strchr(digits, s[i]) : NULL;
		if (at == NULL)
			return VK_INVALID;
		v = v << 4 | (uint32_t)(at - digits);
	}
	*ret = s[8] == '\0' ? ntohl(v) : 0; /* the kernel prints network order as a number */
	return s[8] == '\0' ? 0 : VK_INVALID;
}

/* Iface Destination Gateway Flags RefCnt Use Metric Mask ... */
static int parse_line(char *line, struct route *ret)
{
	char *field[8], *save = NULL;
	size_t n = 0;
	uint32_t dest, mask;
	for (char *f = strtok_r(line, "\t ", &save); f != NULL && n < 8;
		f = strtok_r(NULL, "\t ", &save))
		field[n++] = f;
	if (n < 8 || hex32(field[1], &dest) < 0 || hex32(field[7], &mask) < 0 || mask == 0)
		return VK_INVALID;
	snprintf(ret->device, sizeof(ret->device), "%s", field[0]);
	ret->net.addr = dest & mask;
	ret->net.bits = (unsigned)__builtin_popcount(mask);
	return 0;
}

void routes_parse(const char *text, struct route **ret, size_t *ret_n)
{
	vk_autofree char *copy = vk_strdup(text);
	char *save = NULL;
	struct route r, *v = NULL;
	size_t n = 0;
	for (char *line = strtok_r(copy, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save)) {
		if (parse_line(line, &r) < 0)
			continue;
		v = vk_reallocarray(v, n + 1, sizeof(*v));
		v[n++] = r;
	}
	*ret = v;
	*ret_n = n;
}

void routes_read(struct route **ret, size_t *ret_n)
{
	vk_autobuf b = VK_BUF_INIT(4u << 20);
	if (vk_fs_read("/proc/net/route", &b, NULL) < 0)
		vk_buf_clear(&b);
	routes_parse(vk_buf_str(&b), ret, ret_n);
}

const struct route *routes_clash(const struct route *v, size_t n, const struct cidr *c)
{
	for (size_t i = 0; i < n; i++)
		if (cidr_overlap(&v[i].net, c))
			return &v[i];
	return NULL;
}
