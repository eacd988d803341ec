/* How a box of packs begins: our own lines, as root, before anything of a pack runs. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <string.h>
#include <sys/socket.h>
#include <viking/str.h>

#include "box.h"

static void add_address(json_t *cmd, const struct sockaddr *a)
{
	char text[INET6_ADDRSTRLEN];
	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)a;
		if (inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text)) != NULL &&
			!vk_starts(text, "127."))
			json_array_append_new(cmd, json_string(text));
	} else if (a->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)a;
		if (!IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) &&
			!IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) &&
			inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text)) != NULL)
			json_array_append_new(cmd, json_string(text));
	}
}

/* Every address of this host, and the link-local ones (clouds serve credentials there), lead nowhere; the default
 * route was resolved before, so that its gateway being one of them does not matter. The output's pipes become the
 * user's, who may open them by name (/dev/stderr), and then every right is given up for good. */
static const char script[] =
	"for a do case $a in *:*) ip -6 route add blackhole \"$a\" 2>/dev/null || :;; "
	"*) ip route add blackhole \"$a\" || exit 19;; esac; done; "
	"chown 1000:1000 /proc/self/fd/1 /proc/self/fd/2; "
	"exec setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all --ambient-caps=-all "
	"--bounding-set=-all --no-new-privs -- /opt/viking/bin/run-packs </dev/null";

json_t *box_entry(void)
{
	json_t *cmd = json_pack("[s,s,s,s,s]", "/bin/bash", "-c", script, "box", "169.254.0.0/16");
	vk_autojson *all = json_array(), *seen = json_object();
	struct ifaddrs *list = NULL;
	if (getifaddrs(&list) != 0)
		list = NULL;
	for (struct ifaddrs *i = list; i != NULL; i = i->ifa_next)
		if (i->ifa_addr != NULL)
			add_address(all, i->ifa_addr);
	freeifaddrs(list);
	for (size_t i = 0; i < json_array_size(all); i++) {
		json_t *a = json_array_get(all, i);
		if (json_object_get(seen, json_string_value(a)) == NULL)
			json_array_append(cmd, a);
		json_object_set_new(seen, json_string_value(a), json_true());
	}
	return cmd;
}
