/* Node of a document -> definition of its instances. */
#include "resolve.h"

#include <stdbool.h>
#include <string.h>
#include <viking/crypt.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "links.h"
#include "processes.h"

static bool is_website(const json_t *node)
{
	return strcmp(vk_json_str(node, "type", "app"), "website") == 0;
}

/* The first TCP port of an expose list, 0 = none. */
static int first_tcp(const json_t *expose)
{
	size_t i;
	json_t *port;
	json_array_foreach(expose, i, port) if (strcmp(vk_json_str(port, "proto", "tcp"), "tcp") ==
		0) return (int)vk_json_int(port, "port", 0);
	return 0;
}

const char *resolve_web_node(const json_t *doc)
{
	const json_t *nodes = json_object_get(doc, "nodes");
	if (json_object_get(nodes, "web") != NULL)
		return "web";
	const char *found = NULL, *name;
	json_t *node;
	json_object_foreach((json_t *)(uintptr_t)nodes, name, node)
	{
		if (!is_website(node) && first_tcp(json_object_get(node, "expose")) == 0)
			continue;
		if (found != NULL)
			return NULL;
		found = name;
	}
	return found;
}

char *resolve_volume_name(const char *stack, const char *node, const json_t *volume)
{
	const char *name = vk_json_str(volume, "name", ""), *path = vk_json_str(volume, "path", "");
	if (name[0] != '\0')
		return vk_asprintf("viking-%s-vol-%s", stack, name);
	char hex[65];
	vk_sha256_hex(path, strlen(path), hex);
	return vk_asprintf("viking-%s-%s-%.8s", stack, node, hex);
}

static const char *boat_ref(const struct resolve_in *in, const char *boat)
{
	return vk_json_str(json_object_get(in->boats, boat), "ref", NULL);
}

static int resolve_image(const struct resolve_in *in, const char *name, const json_t *node,
	const char **ret, struct vk_err *err)
{
	const char *boat = vk_json_str(node, "boat", ""), *from = vk_json_str(node, "from", "");
	const char *ref = vk_json_str(node, "image", "");
	if (boat[0] != '\0')
		ref = boat_ref(in, boat);
	else if (from[0] != '\0')
		ref = boat_ref(in, from);
	if (ref == NULL || ref[0] == '\0')
		return vk_err_set(err, VK_NOTFOUND, "node %s: there is no image of %s", name,
			boat[0] != '\0'           ? boat
				: from[0] != '\0' ? from
						  : "it");
	*ret = ref;
	return 0;
}

/* The image's only EXPOSE as a port, 0 = none or several. */
static int image_port(const struct resolve_in *in, const json_t *node)
{
	const json_t *list = json_object_get(
		json_object_get(in->boats, vk_json_str(node, "boat", "")), "expose");
	const char *text =
		json_array_size(list) == 1 ? json_string_value(json_array_get(list, 0)) : NULL;
	if (text == NULL)
		return 0;
	const char *slash = strchrnul(text, '/');
	uint64_t port;
	vk_autofree char *digits = vk_strndup(text, (size_t)(slash - text));
	if (vk_parse_u64(digits, 1, 65535, &port) != 0 ||
		(*slash != '\0' && strcmp(slash, "/tcp") != 0))
		return 0;
	return (int)port;
}

/* What is known of an image that packs built, NULL for others. */
static const json_t *launch_of(const struct resolve_in *in, const json_t *node)
{
	const char *boat = vk_json_str(node, "boat", "");
	if (boat[0] == '\0')
		boat = vk_json_str(node, "from", "");
	return json_object_get(json_object_get(in->boats, boat), "launch");
}

/* The node whose release task the Procfile's is: the one that has visitors, else the first of those made. */
static bool leads(const struct resolve_in *in, const char *name)
{
	const char *web = resolve_web_node(in->doc), *first;
	json_t *node;
	if (web != NULL)
		return strcmp(web, name) == 0;
	json_object_foreach(json_object_get(in->doc, "nodes"), first,
		node) if (json_object_get(node, "process") != NULL) return strcmp(first, name) == 0;
	return false;
}

static void env_merge(json_t *env, const json_t *more)
{
	if (more != NULL)
		json_object_update(env, (json_t *)(uintptr_t)more);
}

/*
 * Which ports the node has: its own list; a routed node without one takes the image's, else PORT=8080. What packs built
 * listens where PORT says.
 */
static json_t *resolve_expose(
	const struct resolve_in *in, const json_t *node, bool routed, json_t *env)
{
	json_t *own = json_object_get(node, "expose");
	bool packs = launch_of(in, node) != NULL;
	if (json_array_size(own) > 0 || !routed) {
		if (packs && first_tcp(own) > 0)
			json_object_set_new(env, "PORT", json_sprintf("%d", first_tcp(own)));
		return own != NULL ? json_deep_copy(own) : json_array();
	}
	int port = image_port(in, node);
	if (port == 0 || packs) {
		port = port > 0 ? port : PORT_DEFAULT;
		json_object_set_new(env, "PORT", json_sprintf("%d", port));
	}
	return json_pack("[{s:i,s:s,s:s}]", "port", port, "proto", "tcp", "name", "");
}

static json_t *resolve_mounts(const struct resolve_in *in, const char *name, const json_t *node)
{
	json_t *mounts = json_array();
	size_t i;
	json_t *volume;
	json_array_foreach(json_object_get(node, "volumes"), i, volume)
	{
		const char *host = vk_json_str(volume, "host", ""),
			   *path = vk_json_str(volume, "path", "");
		if (host[0] != '\0') {
			json_array_append_new(
				mounts, json_pack("{s:s,s:s}", "host", host, "path", path));
			continue;
		}
		vk_autofree char *key = vk_asprintf("%s:%s", name, path);
		vk_autofree char *rule = resolve_volume_name(in->stack, name, volume);
		const char *volume_name = vk_json_str(in->volumes, key, rule);
		json_array_append_new(
			mounts, json_pack("{s:s,s:s}", "volume", volume_name, "path", path));
	}
	return mounts;
}

/* auto -> http for routed nodes, tcp where a port is exposed, else none (runs for a second). */
static json_t *resolve_health(const json_t *node, bool routed, int port)
{
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(node, "expose"), i,
		p) if (vk_json_bool(p, "h2", false) && vk_json_int(p, "port", 0) == port) routed =
		false; /* it would not understand a GET */

	json_t *given = json_object_get(node, "health");
	json_t *health = given != NULL ? json_deep_copy(given) : json_object();
	const char *type = vk_json_str(health, "type", "auto");
	if (strcmp(type, "auto") == 0) {
		type = port == 0 ? "none" : routed ? "http" : "tcp";
		if (routed &&
			port != 0) /* nobody promised that "/" is there: any answer but a 5xx will do */
			json_object_set_new(health, "below", json_integer(500));
	}
	json_object_set_new(health, "type", json_string(type));
	if (vk_json_int(health, "port", 0) == 0)
		json_object_set_new(health, "port", json_integer(port));
	return health;
}

static json_t *resolve_website(const struct resolve_in *in, const json_t *node)
{
	return json_pack("{s:s,s:s,s:s}", "type", "website", "commit",
		vk_json_str(in->doc, "commit", ""), "document_root",
		vk_json_str(node, "document_root", "."));
}

static json_t *copy_or_null(const json_t *node, const char *key)
{
	json_t *value = json_object_get(node, key);
	return value != NULL ? json_deep_copy(value) : json_null();
}

static void resolve_limits(const struct resolve_in *in, const json_t *node, json_t *def)
{
	int64_t memory = vk_json_int(node, "memory", 0);
	json_object_set_new(
		def, "memory", json_integer(memory > 0 ? memory : (int64_t)in->default_memory));
	json_object_set_new(def, "pids", json_integer((int64_t)in->default_pids));
	json_object_set_new(def, "cpus_milli", json_integer(vk_json_int(node, "cpus_milli", 0)));
	json_object_set_new(def, "stop_ms", json_integer(vk_json_int(node, "stop_ms", 10000)));
	json_object_set_new(def, "restart", json_string(vk_json_str(node, "restart", "always")));
	json_object_set_new(
		def, "restart_count", json_integer(vk_json_int(node, "restart_count", -1)));
	json_object_set_new(
		def, "privileged", json_boolean(vk_json_bool(node, "privileged", false)));
	json_object_set_new(
		def, "network_mode", json_string(vk_json_str(node, "network_mode", "default")));
	json_object_set_new(def, "pid_mode", json_string(vk_json_str(node, "pid_mode", "")));
	json_t *place = json_object_get(node, "place"); /* another demand is placed anew */
	static const char *const group[] = {"group_role", "group_policy"};
	if (place != NULL)
		json_object_set_new(def, "place", json_deep_copy(place));
	if (vk_json_str(place, "group", NULL) != NULL)
		json_object_set(def, "group", json_object_get(place, "group"));
	for (size_t i = 0; i < VK_COUNT(group); i++)
		if (json_object_get(node, group[i]) != NULL)
			json_object_set(def, group[i], json_object_get(node, group[i]));
}

static void set_or_skip(json_t *def, const char *key, const json_t *value)
{
	if (value != NULL)
		json_object_set(def, key, (json_t *)(uintptr_t)value);
}

/* Commands by process type, where the image has such. */
static int resolve_process(const struct resolve_in *in, const char *name, const json_t *node,
	json_t *def, struct vk_err *err)
{
	struct process p;
	int rc = process_of(launch_of(in, node), name, node, leads(in, name), &p, err);
	if (rc != 0)
		return rc;
	set_or_skip(def, "cmd", p.cmd);
	set_or_skip(def, "entrypoint", p.entrypoint);
	set_or_skip(def, "enter", p.enter);
	set_or_skip(def, "release", p.release);
	set_or_skip(def, "release_entrypoint", p.release_entrypoint);
	process_release(&p);
	return 0;
}

static bool is_routed(const struct resolve_in *in, const char *name, const json_t *node)
{
	const char *web = resolve_web_node(in->doc);
	return json_array_size(json_object_get(node, "domains")) > 0 ||
		(web != NULL && strcmp(web, name) == 0);
}

int resolve_port(const struct resolve_in *in, const char *name)
{
	const json_t *node = json_object_get(json_object_get(in->doc, "nodes"), name);
	vk_autojson *env = json_object();
	vk_autojson *expose =
		node != NULL ? resolve_expose(in, node, is_routed(in, name, node), env) : NULL;
	return first_tcp(expose);
}

static json_t *resolve_app(
	const struct resolve_in *in, const char *name, const json_t *node, const char *image)
{
	bool routed = is_routed(in, name, node);
	json_t *env = json_object();
	json_t *expose = resolve_expose(in, node, routed, env);
	int port = first_tcp(expose);
	if (in->links != NULL)
		links_env(in->links, in->stack, in->gateway, env);
	env_merge(env, json_object_get(in->doc, "env"));
	env_merge(env, json_object_get(node, "env"));
	env_merge(env, in->config);
	char alias[VK_NAME_MAX + 1];
	vk_dns_alias(name, alias);
	json_t *def = json_pack("{s:s,s:s,s:o,s:s,s:o,s:o,s:o,s:o,s:[s],s:o,s:i,s:o}", "type",
		"app", "image", image, "cmd", copy_or_null(node, "run"), "cwd",
		vk_json_str(node, "cwd", ""), "env", env, "expose", expose, "publish",
		copy_or_null(node, "publish"), "mounts", resolve_mounts(in, name, node), "aliases",
		alias, "health", resolve_health(node, routed, port), "port", port, "release",
		copy_or_null(node, "release"));
	if (json_is_null(json_object_get(def, "publish")))
		json_object_set_new(def, "publish", json_array());
	resolve_limits(in, node, def);
	return def;
}

int resolve_node(
	const struct resolve_in *in, const char *name, json_t **ret_def, struct vk_err *err)
{
	const json_t *node = json_object_get(json_object_get(in->doc, "nodes"), name);
	if (node == NULL)
		return vk_err_set(err, VK_NOTFOUND, "there is no node %s", name);
	if (is_website(node)) {
		*ret_def = resolve_website(in, node);
		return 0;
	}
	const char *image;
	int rc = resolve_image(in, name, node, &image, err);
	if (rc != 0)
		return rc;
	vk_autojson *def = resolve_app(in, name, node, image);
	rc = resolve_process(in, name, node, def, err);
	if (rc == 0)
		*ret_def = VK_TAKE(def);
	return rc;
}
