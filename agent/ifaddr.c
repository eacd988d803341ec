#include "ifaddr.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

#define PREFIX "from_"

/* The interface that the value names; NULL = it is a value like any other. */
static const char *interface_of(const char *value)
{
	size_t n = strlen(PREFIX);
	if (strncmp(value, PREFIX, n) != 0 || value[n] == '\0' || strlen(value + n) >= IFNAMSIZ)
		return NULL;
	return value + n;
}

static bool address_of(const char *name, char out[static INET_ADDRSTRLEN])
{
	struct ifaddrs *list = NULL;
	bool found = false;
	if (getifaddrs(&list) != 0)
		return false;
	for (const struct ifaddrs *i = list; i != NULL && !found; i = i->ifa_next) {
		struct sockaddr_in a;
		if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET ||
			strcmp(i->ifa_name, name) != 0)
			continue;
		memcpy(&a, i->ifa_addr, sizeof(a));
		found = inet_ntop(AF_INET, &a.sin_addr, out, INET_ADDRSTRLEN) != NULL;
	}
	freeifaddrs(list);
	return found;
}

int ifaddr_check(const json_t *env, struct vk_err *err)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)env, key, value)
	{
		char address[INET_ADDRSTRLEN];
		const char *name = interface_of(json_string_value(value));
		if (name != NULL && vk_ends(key, "_IP") && !address_of(name, address))
			return vk_err_set(err, VK_NOTFOUND,
				"env %s: this host has no interface %s with an IPv4 address", key,
				name);
	}
	return 0;
}

json_t *ifaddr_env(json_t *env)
{
	json_t *copy = NULL, *value;
	const char *key;
	json_object_foreach(env, key, value)
	{
		char address[INET_ADDRSTRLEN];
		const char *name = interface_of(json_string_value(value));
		if (name == NULL || !address_of(name, address))
			continue;
		copy = copy != NULL ? copy : json_copy(env);
		json_object_set_new(copy, key, json_string(address));
	}
	return copy != NULL ? copy : json_incref(env);
}
