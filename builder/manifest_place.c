/* Where a node may run and what happens to its neighbours: place, group, on_unhealthy. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "manifest_parse.h"

#define PLACE_LIST_MAX 64
#define HOSTS_MAX      1024 /* of nodes: */
#define DISK_MAX       (UINT64_C(1) << 50)

static json_t *place_of(json_t *node)
{
	json_t *place = json_object_get(node, "place");
	if (place == NULL)
		json_object_set_new(node, "place", place = json_object());
	return place;
}

static int one_of(const struct mval *v, const char *const *words, const char *say, const char **ret,
	struct vk_err *err)
{
	int rc = mval_text(v, 64, ret, err);
	for (size_t i = 0; rc == 0 && words[i] != NULL; i++)
		if (strcmp(words[i], *ret) == 0)
			return 0;
	if (rc != 0)
		return rc;
	const char *near = vk_suggest(*ret, words);
	if (near != NULL)
		return mval_error(
			v, err, "is %s, not \"%.60s\": did you mean \"%s\"?", say, *ret, near);
	return mval_error(v, err, "is %s, not \"%.60s\"", say, *ret);
}

static int word_add(const struct mval *v, json_t *list, const char *what, struct vk_err *err)
{
	const char *text;
	size_t i;
	json_t *had;
	int rc = mval_text(v, 128, &text, err);
	if (rc != 0)
		return rc;
	const char *at = strchr(text, '@'); /* node@host of older files: the host counts */
	if (at != NULL && strcmp(what, "hosts") == 0)
		text = at + 1;
	if (*text == '\0' || strlen(text) > VK_NAME_MAX ||
		text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.-")] != '\0')
		return mval_error(v, err, "\"%.60s\" is no name: a-z, 0-9, _, . and -", text);
	json_array_foreach(list, i, had) if (strcmp(json_string_value(had), text) == 0) return 0;
	json_array_append_new(list, json_string(text));
	return 0;
}

static int role_item(const struct mval *v, json_t *list, struct vk_err *err)
{
	return word_add(v, list, "roles", err);
}

static int host_item(const struct mval *v, json_t *list, struct vk_err *err)
{
	return word_add(v, list, "hosts", err);
}

static int words(
	const struct mval *v, json_t *node, const char *key, mkey_fn *item, struct vk_err *err)
{
	json_t *list = json_array();
	int rc = mval_each(v, PLACE_LIST_MAX, item, list, err);
	if (rc == 0 && json_array_size(list) > 0)
		json_object_set(place_of(node), key, list);
	json_decref(list);
	return rc;
}

int mnode_roles(const struct mval *v, json_t *node, struct vk_err *err)
{
	return words(v, node, "roles", role_item, err);
}

int mnode_hosts(const struct mval *v, json_t *node, struct vk_err *err)
{
	return words(v, node, "hosts", host_item, err);
}

int mnode_disk(const struct mval *v, json_t *node, struct vk_err *err)
{
	const char *text;
	uint64_t bytes;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	if (vk_parse_size(text, &bytes) != 0 || bytes > DISK_MAX)
		return mval_error(v, err, "needs a size like 512M or 20G, not \"%.60s\"", text);
	if (bytes > 0)
		json_object_set_new(place_of(node), "disk", json_integer((json_int_t)bytes));
	return 0;
}

int mnode_group(const struct mval *v, json_t *node, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 64, &text, err);
	if (rc == 0 && vk_node_name(text, err) != 0)
		return mval_wrap(v, err);
	if (rc == 0)
		json_set_str(place_of(node), "group", text);
	return rc;
}

int mnode_spread(const struct mval *v, json_t *node, struct vk_err *err)
{
	static const char *const kinds[] = {"soft", "hard", "none", NULL};
	const char *text;
	int rc = one_of(v, kinds, "soft, hard or none", &text, err);
	if (rc == 0 && strcmp(text, "soft") != 0)
		json_set_str(place_of(node), "spread", text);
	return rc;
}

int mnode_max_per_host(const struct mval *v, json_t *node, struct vk_err *err)
{
	uint64_t n;
	int rc = mval_u64(v, 1, 1000, &n, err);
	if (rc == 0)
		json_object_set_new(place_of(node), "max_per_host", json_integer((json_int_t)n));
	return rc;
}

int mnode_group_role(const struct mval *v, json_t *node, struct vk_err *err)
{
	static const char *const kinds[] = {"master", "slave", NULL};
	const char *text;
	int rc = one_of(v, kinds, "master or slave", &text, err);
	if (rc == 0)
		json_set_str(node, "group_role", text);
	return rc;
}

int mnode_group_policy(const struct mval *v, json_t *node, struct vk_err *err)
{
	static const char *const kinds[] = {
		"one_for_one", "one_kills_all", "master_kills_all", NULL};
	const char *text;
	int rc = one_of(v, kinds, "one_for_one, one_kills_all or master_kills_all", &text, err);
	if (rc == 0)
		json_set_str(node, "group_policy", text);
	return rc;
}

/* Kept with the check: it is part of what a probe leads to. */
int mhealth_on_unhealthy(const struct mval *v, json_t *health, struct vk_err *err)
{
	static const char *const kinds[] = {"leave", "restart", "kill", NULL};
	const char *text;
	int rc = one_of(v, kinds, "leave, restart or kill", &text, err);
	if (rc == 0 && strcmp(text, "leave") != 0)
		json_set_str(health, "on_unhealthy", text);
	return rc;
}

int mnode_on_unhealthy(const struct mval *v, json_t *node, struct vk_err *err)
{
	return mhealth_on_unhealthy(v, json_object_get(node, "health"), err);
}

/* ---- the top's nodes: and roles: ---- */

static int expected_name(const struct mval *v, json_t *out, struct vk_err *err)
{
	vk_autojson *list = json_array();
	int rc = host_item(v, list, err);
	if (rc == 0)
		json_object_set(out, "node", json_array_get(list, 0));
	return rc;
}

static int expected_roles(const struct mval *v, json_t *out, struct vk_err *err)
{
	json_t *list = json_array();
	json_object_set_new(out, "roles", list);
	return mval_each(v, PLACE_LIST_MAX, role_item, list, err);
}

static int expected_item(const struct mval *v, json_t *hosts, struct vk_err *err)
{
	static const struct mkey keys[] = {{"node", "host name", expected_name, 0},
		{"roles", "role labels", expected_roles, 0}, {0}};
	vk_autojson *host = json_object();
	int rc = v->y->type == VK_YAML_MAP
		? mtable_run(v->m, v->y, &(struct mtable){keys, NULL, v->what, false, NULL}, host,
			  NULL, err)
		: expected_name(v, host, err);
	if (rc == 0 && json_object_get(host, "node") == NULL)
		return mval_error(v, err, "has an entry without node: NAME");
	if (rc == 0)
		json_array_append(hosts, host);
	return rc;
}

int manifest_hosts(const struct mval *v, json_t *doc, struct vk_err *err)
{
	json_t *hosts = json_array();
	json_object_set_new(doc, "hosts", hosts);
	if (v->y->type == VK_YAML_MAP)
		return mval_error(v, err,
			"is a list of hosts that are expected, [{node: NAME, role: ROLE}]; what "
			"runs stands under deploy:");
	return mval_each(v, HOSTS_MAX, expected_item, hosts, err);
}

int manifest_top_roles(const struct mval *v, json_t *doc, struct vk_err *err)
{
	return expected_roles(v, doc, err);
}

void manifest_default_roles(json_t *doc)
{
	vk_autojson *roles = json_incref(json_object_get(doc, "roles"));
	const char *name;
	json_t *node;
	json_object_del(doc, "roles"); /* of the nodes from here on */
	json_object_foreach(json_object_get(doc, "nodes"), name, node)
	{
		if (json_array_size(roles) == 0 ||
			strcmp(vk_json_str(node, "type", "app"), "app") != 0)
			continue;
		if (json_object_get(json_object_get(node, "place"), "roles") == NULL)
			json_object_set(place_of(node), "roles", roles);
	}
}

/* ---- groups as a whole ---- */

static const char *group_of(const json_t *node)
{
	return vk_json_str(json_object_get(node, "place"), "group", NULL);
}

static bool has_master(const json_t *nodes, const char *group)
{
	const char *name;
	json_t *node;
	json_object_foreach((json_t *)(uintptr_t)nodes, name, node) if (group_of(node) != NULL &&
		strcmp(group_of(node), group) == 0 &&
		strcmp(vk_json_str(node, "group_role", ""), "master") == 0) return true;
	return false;
}

int mnode_check_group(const struct mval *v, const json_t *node, struct vk_err *err)
{
	const char *policy = vk_json_str(node, "group_policy", NULL);
	const char *role = vk_json_str(node, "group_role", NULL);
	if (group_of(node) == NULL && (policy != NULL || role != NULL))
		return mval_error(v, err, "has group_%s and is in no group; add \"group: NAME\"",
			policy != NULL ? "policy" : "role");
	if (role != NULL && strcmp(role, "master") == 0 && policy == NULL)
		manifest_notice(
			v->m, v->y, "%s: group_role without group_policy changes nothing", v->what);
	return 0;
}

/* A group dies with its master only if it has one. */
int manifest_groups(struct manifest *m, struct vk_err *err)
{
	const json_t *nodes = json_object_get(m->doc, "nodes");
	const struct vk_yaml *deploy = vk_yaml_get(m->yaml, "deploy");
	for (size_t i = 0; deploy != NULL && deploy->type == VK_YAML_MAP && i < deploy->n; i++) {
		const json_t *node = json_object_get(nodes, deploy->keys[i].name);
		const char *policy = vk_json_str(node, "group_policy", "");
		vk_autofree char *what = vk_asprintf("deploy.%s", deploy->keys[i].name);
		struct mval v = {m, deploy->items[i], what};
		if (strcmp(policy, "master_kills_all") == 0 && !has_master(nodes, group_of(node)))
			return mval_error(&v, err,
				"group %s has no master; give one of its nodes \"group_role: "
				"master\"",
				group_of(node));
	}
	return 0;
}
