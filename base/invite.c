#include <viking/invite.h>

#include <arpa/inet.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

#define PARTS 4

static int bad(struct vk_err *err, const char *what)
{
	vk_err_set(err, VK_INVALID, "this is no invitation: %s", what);
	return vk_err_hint(err, "the line that `viking hosts:invite` printed, whole");
}

static bool is_hex(const char *s, size_t n)
{
	return strlen(s) == n && s[strspn(s, "0123456789abcdef")] == '\0';
}

static bool is_address(const char *s)
{
	struct in6_addr a;
	return strlen(s) < INET6_ADDRSTRLEN &&
		(inet_pton(AF_INET, s, &a) == 1 || inet_pton(AF_INET6, s, &a) == 1);
}

int vk_invite_parse(const char *text, struct vk_invite *ret, struct vk_err *err)
{
	vk_autofree char *copy = vk_strdup(text);
	const char *part[PARTS];
	size_t n = 0;
	uint64_t port;
	for (char *at = copy, *p; (p = strsep(&at, "/")) != NULL; n++) {
		if (n == PARTS)
			return bad(err, "it has too many parts");
		part[n] = p;
	}
	if (n != PARTS)
		return bad(err, "it is cut short");
	if (!is_address(part[0]) || vk_parse_u64(part[1], 1, 65535, &port) != 0)
		return bad(err, "it does not begin with an address and a port");
	if (!is_hex(part[2], 64))
		return bad(err, "its third part is not 64 hex digits");
	if (!is_hex(part[3], VK_INVITE_SECRET))
		return bad(err, "its last part is not 32 hex digits");
	*ret = (struct vk_invite){.port = (uint16_t)port};
	memcpy(ret->addr, part[0], strlen(part[0]));
	memcpy(ret->pin, part[2], 64);
	memcpy(ret->secret, part[3], VK_INVITE_SECRET);
	explicit_bzero(copy, strlen(text));
	return 0;
}

char *vk_invite_format(const struct vk_invite *i)
{
	return vk_asprintf("%s/%u/%s/%s", i->addr, (unsigned)i->port, i->pin, i->secret);
}
