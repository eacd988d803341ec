/* Ports and variables of links. */
#include "links.h"

#include <ctype.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

static bool same(const json_t *a, const json_t *b, const char *key)
{
	return strcmp(vk_json_str(a, key, ""), vk_json_str(b, key, "")) == 0;
}

/* The link of any entry that has this target, or (target NULL) this port. */
static const json_t *find(const json_t *entries, const json_t *target, int64_t port)
{
	const char *name;
	json_t *entry, *link;
	json_object_foreach((json_t *)(uintptr_t)entries, name, entry)
	{
		size_t i;
		json_array_foreach(json_object_get(entry, "links"), i, link)
		{
			if (target == NULL ? vk_json_int(link, "port", 0) == port
					   : same(link, target, "stack") &&
						same(link, target, "node") &&
						same(link, target, "instance"))
				return link;
		}
	}
	return NULL;
}

static int64_t free_port(const json_t *old, const json_t *fresh, const json_t *placed)
{
	for (int64_t port = LINK_PORT_FIRST; port <= LINK_PORT_LAST; port++)
		if (find(old, NULL, port) == NULL && find(fresh, NULL, port) == NULL &&
			find(placed, NULL, port) == NULL)
			return port;
	return 0;
}

int links_place(const json_t *links, const json_t *old, const json_t *fresh, json_t **ret,
	struct vk_err *err)
{
	json_t *list = json_array();
	/* this node's own, in the form of entries */
	vk_autojson *placed = json_pack("{s:{s:o}}", "", "links", list);
	size_t i;
	json_t *link;
	json_array_foreach(links, i, link)
	{
		const json_t *had = find(old, link, 0);
		had = had != NULL ? had : find(fresh, link, 0);
		had = had != NULL ? had : find(placed, link, 0);
		int64_t port =
			had != NULL ? vk_json_int(had, "port", 0) : free_port(old, fresh, placed);
		if (port == 0)
			return vk_err_set(err, VK_LIMIT, "more than %d links in a stack",
				LINK_PORT_LAST - LINK_PORT_FIRST + 1);
		json_t *one = json_deep_copy(link);
		json_object_set_new(one, "port", json_integer(port));
		json_object_set_new(one, "native", json_integer(0));
		json_array_append_new(list, one);
	}
	*ret = json_incref(list);
	return 0;
}

/* "dockerops-dns" -> "DOCKEROPS_DNS" */
static char *upper(const char *name)
{
	char *s = vk_asprintf("%s%s", isdigit((unsigned char)name[0]) ? "_" : "", name);
	for (char *p = s; *p != '\0'; p++)
		*p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
	return s;
}

static void set(json_t *env, const char *key, const char *value)
{
	json_object_set_new(env, key, json_string(value));
}

/* The record that the older system's ambassador looked up for the port. */
static void backends_env(const json_t *link, const char *stack, const char *port, json_t *env)
{
	const char *other = vk_json_str(link, "stack", "");
	vk_autofree char *key = vk_asprintf("BACKENDS_%s", port);
	vk_autofree char *value = vk_asprintf("%s.%s.skydns.local", vk_json_str(link, "node", ""),
		other[0] != '\0' ? other : stack);
	set(env, key, value);
}

static void link_env(const json_t *link, const char *stack, const char *gateway, json_t *env)
{
	vk_autofree char *name = upper(vk_json_str(link, "name", ""));
	vk_autofree char *port = vk_asprintf("%d", (int)vk_json_int(link, "port", 0));
	vk_autofree char *url = vk_asprintf("tcp://%s:%s", gateway, port);
	int native = (int)vk_json_int(link, "native", 0);
	vk_autofree char *docker = vk_asprintf("%s_PORT_%d_TCP", name, native);
	const struct {
		const char *before, *name, *after, *value;
	} vars[] = {
		{"SERVICE_", name, "_ADDR", gateway},
		{"SERVICE_", name, "_PORT", port},
		{"", name, "_PORT", url},
		{"", name, "_SERVICE_IP", gateway},
		{"", docker, "", url},
		{"", docker, "_PROTO", "tcp"},
		{"", docker, "_ADDR", gateway},
		{"", docker, "_PORT", port},
	};
	for (size_t i = 0; i < VK_COUNT(vars) && (native > 0 || vars[i].name == name); i++) {
		vk_autofree char *key =
			vk_asprintf("%s%s%s", vars[i].before, vars[i].name, vars[i].after);
		set(env, key, vars[i].value);
	}
	backends_env(link, stack, port, env);
}

void links_env(const json_t *links, const char *stack, const char *gateway, json_t *env)
{
	size_t i;
	json_t *link;
	json_array_foreach(links, i, link) link_env(link, stack, gateway, env);
	if (json_array_size(links) > 0)
		set(env, "DOKKAA_APP_NAME", stack);
}

bool links_shared(const json_t *entry, const char *stack)
{
	size_t i;
	json_t *glob;
	json_array_foreach(json_object_get(entry, "shared"), i,
		glob) if (vk_glob(json_string_value(glob), stack)) return true;
	return false;
}
