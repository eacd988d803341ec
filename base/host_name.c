#include <viking/host_name.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

/* All the ways inet_aton(3) reads an IPv4 address: 127.1, 0x7f000001, 017700000001 ... */
static bool host_v4(const char *host, uint32_t *ret)
{
	struct in_addr a;
	if (*host == '\0' || host[strspn(host, "0123456789abcdefABCDEFxX.")] != '\0' ||
		inet_aton(host, &a) == 0)
		return false;
	*ret = ntohl(a.s_addr);
	return true;
}

static bool v4_in(uint32_t ip, uint32_t net, unsigned bits)
{
	return (ip ^ net) >> (32 - bits) == 0;
}

static bool v4_is_private(uint32_t ip)
{
	return v4_in(ip, 0x0a000000, 8) || v4_in(ip, 0xac100000, 12) || v4_in(ip, 0xc0a80000, 16) ||
		v4_in(ip, 0xa9fe0000, 16) || v4_in(ip, 0x64400000, 10) || v4_in(ip, 0xe0000000, 3);
}

static bool v4_is_loopback(uint32_t ip)
{
	return v4_in(ip, 0x7f000000, 8) || v4_in(ip, 0, 8);
}

/* An IPv6 address, with the IPv4 address inside mapped, NAT64 and 6to4 forms. */
static bool host_v6(const char *host, struct in6_addr *ret, bool *has_v4, uint32_t *v4)
{
	char text[INET6_ADDRSTRLEN];
	size_t n = strcspn(host, "%");
	if (n >= sizeof(text))
		return false;
	memcpy(text, host, n);
	text[n] = '\0';
	if (inet_pton(AF_INET6, text, ret) != 1)
		return false;
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, compat[12] = {0};
	static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
	const uint8_t *b = ret->s6_addr;
	size_t at = b[0] == 0x20 && b[1] == 0x02 ? 2 : 12;
	*has_v4 = at == 2 || memcmp(b, mapped, 12) == 0 || memcmp(b, compat, 12) == 0 ||
		memcmp(b, nat64, 12) == 0;
	*v4 = (uint32_t)b[at] << 24 | (uint32_t)b[at + 1] << 16 | (uint32_t)b[at + 2] << 8 |
		b[at + 3];
	return true;
}

/* Lower case without a closing dot; false when it does not fit. */
static bool normal_host(const char *host, char out[static 256])
{
	size_t n = strlen(host);
	if (n > 0 && host[n - 1] == '.')
		n--;
	if (n > 255)
		return false;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)host[i]);
	out[n] = '\0';
	return true;
}

bool vk_host_is_loopback(const char *host)
{
	char h[256];
	uint32_t v4;
	struct in6_addr v6;
	bool has_v4;
	if (!normal_host(host, h))
		return true; /* no real name is this long: better refused */
	if (host_v4(h, &v4))
		return v4_is_loopback(v4);
	if (host_v6(h, &v6, &has_v4, &v4)) /* :: and ::1 are among the compat forms */
		return has_v4 && v4_is_loopback(v4);
	return strcmp(h, "localhost") == 0 || vk_ends(h, ".localhost") ||
		vk_ends(h, ".localdomain") || vk_starts(h, "localhost.") ||
		strcmp(h, "ip6-localhost") == 0 || strcmp(h, "ip6-loopback") == 0;
}

bool vk_host_is_private(const char *host)
{
	static const char *const suffixes[] = {
		".local", ".internal", ".lan", ".home.arpa", ".intranet"};
	char h[256];
	uint32_t v4;
	struct in6_addr v6;
	bool has_v4;
	if (vk_host_is_loopback(host))
		return true;
	normal_host(host, h);
	if (host_v4(h, &v4))
		return v4_is_private(v4);
	if (host_v6(h, &v6, &has_v4, &v4))
		return (has_v4 && v4_is_private(v4)) || (v6.s6_addr[0] & 0xfe) == 0xfc ||
			v6.s6_addr[0] >= 0xfe;
	for (size_t i = 0; i < VK_COUNT(suffixes); i++)
		if (vk_ends(h, suffixes[i]))
			return true;
	return strchr(h, '.') == NULL; /* a name of the local network */
}

bool vk_host_is_link_local(const char *host)
{
	char h[256];
	uint32_t v4;
	struct in6_addr v6;
	bool has_v4;
	if (!normal_host(host, h))
		return true;
	if (host_v4(h, &v4))
		return v4_in(v4, 0xa9fe0000, 16);
	return host_v6(h, &v6, &has_v4, &v4) &&
		((has_v4 && v4_in(v4, 0xa9fe0000, 16)) ||
			(v6.s6_addr[0] == 0xfe && (v6.s6_addr[1] & 0xc0) == 0x80));
}

char *vk_https_url(const char *address, uint64_t port)
{
	return vk_asprintf(strchr(address, ':') != NULL ? "https://[%s]:%llu" : "https://%s:%llu",
		address, (unsigned long long)port);
}
