/* The host's policy against a document. */
#include "policy.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/pack_name.h>
#include <viking/str.h>

static int refuse(struct vk_err *err, const char *node, const char *what, const char *setting)
{
	vk_err_set(err, VK_DENIED, "node %s: %s is not allowed on this host", node, what);
	vk_err_hint(err, "the host's administrator can set %s", setting);
	return VK_DENIED;
}

static int check_privileged(
	const struct vk_config *cfg, const char *name, const json_t *node, struct vk_err *err)
{
	if (!vk_json_bool(node, "privileged", false) || cfg->policy_privileged)
		return 0;
	return refuse(err, name, "privileged", "policy.privileged");
}

static int check_network(
	const struct vk_config *cfg, const char *name, const json_t *node, struct vk_err *err)
{
	const char *mode = vk_json_str(node, "network_mode", "default");
	if (mode[0] == '\0' || strcmp(mode, "default") == 0 || strcmp(mode, "none") == 0)
		return 0;
	if (strcmp(mode, "host") == 0)
		return cfg->policy_host_network
			? 0
			: refuse(err, name, "the host's network", "policy.host_network");
	return vk_err_set(err, VK_INVALID, "node %s: network mode %s is unknown", name, mode);
}

static int check_pid(
	const struct vk_config *cfg, const char *name, const json_t *node, struct vk_err *err)
{
	const char *mode = vk_json_str(node, "pid_mode", "");
	if (mode[0] == '\0')
		return 0;
	if (strcmp(mode, "host") == 0)
		return cfg->policy_host_pid
			? 0
			: refuse(err, name, "the host's processes", "policy.host_pid");
	return vk_err_set(err, VK_INVALID, "node %s: pid mode %s is unknown", name, mode);
}

/* path is prefix or below it; no component may be "..". */
static bool path_below(const char *path, const char *prefix, size_t n)
{
	while (n > 1 && prefix[n - 1] == '/')
		n--;
	if (n == 0 || strncmp(path, prefix, n) != 0)
		return false;
	return path[n] == '\0' || path[n] == '/' || (n == 1 && prefix[0] == '/');
}

bool policy_path_allowed(const char *prefixes, const char *path)
{
	if (path[0] != '/' || strstr(path, "/../") != NULL || vk_ends(path, "/.."))
		return false;
	for (const char *p = prefixes; *p != '\0';) {
		const char *end = strchrnul(p, ',');
		while (*p == ' ')
			p++;
		if (path_below(path, p, (size_t)(end - p)))
			return true;
		p = *end == ',' ? end + 1 : end;
	}
	return false;
}

static int check_paths(
	const struct vk_config *cfg, const char *name, const json_t *node, struct vk_err *err)
{
	size_t i;
	json_t *volume;
	json_array_foreach(json_object_get(node, "volumes"), i, volume)
	{
		const char *host = vk_json_str(volume, "host", "");
		if (host[0] == '\0' || policy_path_allowed(cfg->policy_host_paths, host))
			continue;
		vk_autofree char *what = vk_asprintf("the host's path %s", host);
		return refuse(err, name, what, "policy.host_paths");
	}
	return 0;
}

static bool port_in(const char *ranges, uint64_t port)
{
	for (const char *p = ranges; *p != '\0';) {
		const char *end = strchrnul(p, ',');
		vk_autofree char *range = vk_strndup(p, (size_t)(end - p));
		char *dash = strchr(range, '-');
		uint64_t from, to;
		if (dash != NULL)
			*dash = '\0';
		if (vk_parse_u64(range, 0, 65535, &from) == 0 &&
			vk_parse_u64(dash != NULL ? dash + 1 : range, 0, 65535, &to) == 0 &&
			from <= port && port <= to)
			return true;
		p = *end == ',' ? end + 1 : end;
	}
	return false;
}

static int check_port(
	const struct vk_config *cfg, const char *name, int64_t port, struct vk_err *err)
{
	const char *own = vk_config_own_port(cfg, (uint64_t)port);
	if (own != NULL)
		return vk_err_set(err, VK_DENIED, "node %s: host port %lld is viking's own (%s)",
			name, (long long)port, own);
	if (port > 0 && port_in(cfg->policy_publish, (uint64_t)port))
		return 0;
	vk_autofree char *what = vk_asprintf("publishing host port %lld", (long long)port);
	return refuse(err, name, what, "policy.publish");
}

static int check_publish(
	const struct vk_config *cfg, const char *name, const json_t *node, struct vk_err *err)
{
	static const char *const keys[][2] = {{"publish", "host"}, {"tcp", "front"}};
	for (size_t k = 0; k < VK_COUNT(keys); k++) {
		size_t i;
		json_t *port;
		json_array_foreach(json_object_get(node, keys[k][0]), i, port)
		{
			int rc = check_port(cfg, name, vk_json_int(port, keys[k][1], 0), err);
			if (rc != 0)
				return rc;
		}
	}
	return 0;
}

static int (*const checks[])(
	const struct vk_config *, const char *, const json_t *, struct vk_err *) = {
	check_privileged,
	check_network,
	check_pid,
	check_paths,
	check_publish,
};

int policy_check(const struct vk_config *cfg, const json_t *doc, struct vk_err *err)
{
	const char *name;
	json_t *node;
	json_object_foreach(json_object_get(doc, "nodes"), name, node)
	{
		for (size_t i = 0; i < VK_COUNT(checks); i++) {
			int rc = checks[i](cfg, name, node, err);
			if (rc != 0)
				return rc;
		}
	}
	return 0;
}

/* ---- buildpacks ---- */

/* "https://github.com" must not allow https://github.com.example.org/. */
static bool url_begins(const char *url, const char *prefix, size_t n)
{
	if (strncmp(url, prefix, n) != 0)
		return false;
	const char *host = memmem(prefix, n, "://", 3);
	bool whole = host != NULL && host + 3 < prefix + n &&
		memchr(host + 3, '/', n - (size_t)(host + 3 - prefix)) == NULL;
	return !whole || url[n] == '/' || url[n] == ':';
}

static bool url_allowed(const char *prefixes, const char *url)
{
	for (const char *p = prefixes; *p != '\0';) {
		const char *end = strchrnul(p, ',');
		while (*p == ' ')
			p++;
		if (end > p && url_begins(url, p, (size_t)(end - p)))
			return true;
		p = *end == ',' ? end + 1 : end;
	}
	return false;
}

int policy_pack(const struct vk_config *cfg, const char *text, char **ret, struct vk_err *err)
{
	vk_autofree char *name = NULL;
	enum vk_pack_kind kind;
	int rc = vk_pack_name(text, &name, &kind, err);
	if (rc != 0)
		return rc;
	bool dir = kind == VK_PACK_DIR, url = kind == VK_PACK_GIT || kind == VK_PACK_TAR;
	if ((dir && !policy_path_allowed(cfg->policy_pack_paths, name)) ||
		(url && !url_allowed(cfg->policy_pack_urls, name))) {
		vk_pack_refuse(text, VK_DENIED, "this host does not allow it", err);
		return vk_err_hint(err, "the host's administrator can set %s",
			dir ? "policy.pack_paths" : "policy.pack_urls");
	}
	*ret = VK_TAKE(name);
	return 0;
}
