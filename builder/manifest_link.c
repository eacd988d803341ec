/* What a node says of others: links, require, shared. Own nodes are looked up when all of them are known. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "manifest_parse.h"

#define LINKS_MAX  32
#define TARGET_MAX 200

/* ---- as they are written ---- */

static json_t *link_new(const char *stack, const char *node, const char *instance, const char *name,
	const struct vk_yaml *at)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:i,s:i}", "stack", stack, "node", node, "instance",
		instance, "name", name, "line", (int)at->line, "col", (int)at->col);
}

static int check_alias(const struct mval *v, const char *alias, struct vk_err *err)
{
	return vk_node_name(alias, NULL) == 0
		? 0
		: mval_error(v, err, "\"%.60s\" is no name for a link: a-z, 0-9, _ and -", alias);
}

/* NODE, STACK/NODE, NODE-N:NAME; '*' in NODE and N of this stack. */
static int link_text(const struct mval *v, const char *text, json_t *out, struct vk_err *err)
{
	vk_autofree char *copy = vk_strdup(text);
	char *colon = strrchr(copy, ':'), *name = NULL, *stack = NULL, *node = copy;
	if (colon != NULL) {
		*colon = '\0';
		name = colon + 1;
	}
	char *slash = strchr(copy, '/');
	if (slash != NULL) {
		*slash = '\0';
		stack = copy;
		node = slash + 1;
	}
	if (stack != NULL && (vk_stack_name(stack, NULL) != 0 || vk_node_name(node, NULL) != 0))
		return mval_error(v, err, "\"%.100s\" is not STACK/NODE[:NAME]", text);
	for (const char *p = node; *p != '\0' || p == node; p++)
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789_-*", *p) == NULL || *p == '\0')
			return mval_error(
				v, err, "\"%.100s\" is not NODE, STACK/NODE or NODE-N:NAME", text);
	if (name == NULL)
		name = stack != NULL ? node : NULL;
	int rc = name != NULL ? check_alias(v, name, err) : 0;
	if (rc == 0)
		json_array_append_new(json_object_get(out, "links"),
			link_new(stack != NULL ? stack : "", node, "", name != NULL ? name : "",
				v->y));
	return rc;
}

static int link_map(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *stack = "", *node = "", *instance = "", *name = "";
	const struct {
		const char *key;
		const char **to;
	} keys[] = {{"service", &node}, {"node", &node}, {"stack", &stack}, {"name", &name},
		{"instance", &instance}};
	for (size_t i = 0; i < v->y->n; i++) {
		struct mval item = {v->m, v->y->items[i], v->what};
		size_t k = 0;
		while (k < VK_COUNT(keys) && strcmp(keys[k].key, v->y->keys[i].name) != 0)
			k++;
		if (k == VK_COUNT(keys))
			return mval_error(&item, err,
				"unknown key \"%.60s\": a link has service, stack, instance, name",
				v->y->keys[i].name);
		int rc = mval_is_null(item.y) ? 0 : mval_text(&item, TARGET_MAX, keys[k].to, err);
		if (rc != 0)
			return rc;
	}
	if ((*stack != '\0' && vk_stack_name(stack, NULL) != 0) || vk_node_name(node, NULL) != 0)
		return mval_error(v, err, "has a link without a service");
	/* the older system writes MYAPP for what becomes MYAPP_SERVICE_IP */
	vk_autofree char *lower = vk_strdup(*name != '\0' ? name : node);
	for (char *p = lower; *p != '\0'; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
	int rc = check_alias(v, lower, err);
	if (rc == 0)
		json_array_append_new(json_object_get(out, "links"),
			link_new(stack, node, *instance != '\0' ? instance : "-", lower, v->y));
	return rc;
}

static int link_item(const struct mval *v, json_t *out, struct vk_err *err)
{
	if (v->y->type == VK_YAML_MAP)
		return link_map(v, out, err);
	const char *text;
	int rc = mval_text(v, TARGET_MAX, &text, err);
	return rc == 0 ? link_text(v, text, out, err) : rc;
}

int mnode_links(const struct mval *v, json_t *out, struct vk_err *err)
{
	return mval_each(v, LINKS_MAX, link_item, out, err);
}

static int require_item(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, TARGET_MAX, &text, err);
	if (rc != 0)
		return rc;
	vk_autofree char *copy = vk_strdup(text);
	char *slash = strchr(copy, '/');
	if (slash != NULL)
		*slash = '\0';
	if ((slash != NULL && vk_stack_name(copy, NULL) != 0) ||
		vk_node_name(slash != NULL ? slash + 1 : copy, NULL) != 0)
		return mval_error(v, err, "\"%.100s\" is not NODE or STACK/NODE", text);
	bool own = slash != NULL && manifest_is_own(v->m, copy);
	json_array_append_new(json_object_get(out, "require"), json_string(own ? slash + 1 : text));
	return 0;
}

int mnode_require(const struct mval *v, json_t *out, struct vk_err *err)
{
	return mval_each(v, LINKS_MAX, require_item, out, err);
}

static int shared_item(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	if (*text == '\0' || text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-*")] != '\0')
		return mval_error(v, err, "\"%.60s\" is no stack (or pattern with *)", text);
	json_array_append_new(json_object_get(out, "shared"), json_string(text));
	return 0;
}

/* true = with every stack, or a list of stacks */
int mnode_shared(const struct mval *v, json_t *out, struct vk_err *err)
{
	bool on;
	if (v->y->type != VK_YAML_SCALAR)
		return mval_each(v, LINKS_MAX, shared_item, out, err);
	int rc = mval_bool(v, &on, err);
	if (rc == 0 && on)
		json_array_append_new(json_object_get(out, "shared"), json_string("*"));
	return rc;
}

/* ---- among the nodes of this stack ---- */

static int link_error(const struct manifest *m, const char *node, const json_t *link,
	struct vk_err *err, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static int link_error(const struct manifest *m, const char *node, const json_t *link,
	struct vk_err *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	struct vk_yaml at = {.line = (unsigned)vk_json_int(link, "line", 1),
		.col = (unsigned)vk_json_int(link, "col", 1)};
	return vk_yaml_error(err, m->opts->file, &at, "deploy.%s: %s", node, text);
}

static bool named(const char *node, const char *pattern)
{
	char alias[VK_NAME_MAX + 1];
	vk_dns_alias(node, alias);
	return vk_glob(pattern, node) || vk_glob(pattern, alias);
}

/* The first node that the pattern names; *ret_n how many it names. */
static const char *find_named(
	const json_t *nodes, const char *pattern, const char *but, size_t *ret_n)
{
	const char *found = NULL, *name;
	json_t *node;
	*ret_n = 0;
	json_object_foreach((json_t *)(uintptr_t)nodes, name, node)
	{
		if (!named(name, pattern) ||
			(strchr(pattern, '*') != NULL && strcmp(name, but) == 0))
			continue;
		found = found != NULL ? found : name;
		++*ret_n;
	}
	return found;
}

static int no_such_node(const struct manifest *m, const char *node, const json_t *at,
	const char *target, struct vk_err *err)
{
	const char *names[MANIFEST_NODES + 1] = {0}, *name;
	size_t n = 0;
	json_t *value;
	json_object_foreach(json_object_get(m->doc, "nodes"), name, value) if (n < MANIFEST_NODES)
		names[n++] = name;
	const char *near = vk_suggest(target, names);
	return link_error(m, node, at, err, "there is no node \"%.60s\" in this stack%s%s%s",
		target, near != NULL ? ", did you mean \"" : "; another stack's is STACK/NODE",
		near != NULL ? near : "", near != NULL ? "\"?" : "");
}

/* Is the address that the link would give set by hand (MYAPP_SERVICE_IP)? Then the target may be outside of viking. */
static bool set_by_hand(const json_t *node, const json_t *link)
{
	const char *name = vk_json_str(link, "name", ""), *key;
	vk_autofree char *want =
		vk_asprintf("%s_SERVICE_IP", *name != '\0' ? name : vk_json_str(link, "node", ""));
	json_t *value;
	for (char *p = want; *p != '\0'; p++)
		*p = *p == '-' ? '_' : *p;
	json_object_foreach(json_object_get(node, "env"), key,
		value) if (strcasecmp(key, want) == 0) return true;
	return false;
}

/* What NODE-N or a pattern means here; *link without a node: nothing, and its variable is set by hand. */
static int settle_own(struct manifest *m, const char *node, json_t *link, struct vk_err *err)
{
	const json_t *nodes = json_object_get(m->doc, "nodes");
	const char *text = vk_json_str(link, "node", ""),
		   *instance = vk_json_str(link, "instance", "");
	bool whole = *instance != '\0'; /* given apart */
	size_t n;
	const char *found = find_named(nodes, text, node, &n), *dash = strrchr(text, '-');
	instance = strcmp(instance, "-") == 0 ? "" : instance;
	if (found == NULL && !whole && dash != NULL) {
		vk_autofree char *left = vk_strndup(text, (size_t)(dash - text));
		found = find_named(nodes, left, node, &n);
		instance = strchr(dash, '*') != NULL ? "" : dash + 1;
	}
	uint64_t number;
	if (found == NULL && set_by_hand(json_object_get(nodes, node), link))
		return json_object_set_new(link, "node", json_string(""));
	if (found == NULL)
		return no_such_node(m, node, link, text, err);
	if (*instance != '\0' && vk_parse_u64(instance, 1, 100, &number) != 0)
		return link_error(m, node, link, err,
			"%s has no instance \"%.60s\": they are numbered from 1", found, instance);
	if (strcmp(found, node) == 0)
		return link_error(m, node, link, err, "a link to itself");
	if (n > 1)
		manifest_notice(m,
			&(struct vk_yaml){.line = (unsigned)vk_json_int(link, "line", 1)},
			"deploy.%s: the link \"%s\" means %zu nodes; %s is taken", node, text, n,
			found);
	const json_t *target = json_object_get(nodes, found);
	if (strcmp(vk_json_str(target, "type", "app"), "app") != 0)
		return link_error(m, node, link, err,
			"%s is a website: it has a domain, and no port to link to", found);
	vk_autofree char *inst = vk_strdup(instance);
	if (vk_json_str(link, "name", "")[0] == '\0')
		json_set_str(link, "name", found);
	json_set_str(link, "node", found);
	json_set_str(link, "instance", inst);
	return 0;
}

static int settle_link(
	struct manifest *m, const char *node, json_t *link, json_t *names, struct vk_err *err)
{
	int rc = 0;
	if (manifest_is_own(m, vk_json_str(link, "stack", "")))
		json_set_str(link, "stack", "");
	if (vk_json_str(link, "stack", "")[0] == '\0')
		rc = settle_own(m, node, link, err);
	else if (strcmp(vk_json_str(link, "instance", ""), "-") == 0)
		json_set_str(link, "instance", "");
	const char *name = vk_json_str(link, "name", "");
	if (rc == 0 && json_object_get(names, name) != NULL)
		rc = link_error(m, node, link, err,
			"two links are called %s; give one another name: TARGET:NAME", name);
	json_object_set_new(names, name, json_true());
	json_object_del(link, "line");
	json_object_del(link, "col");
	return rc;
}

static int settle_node(struct manifest *m, const char *name, json_t *node, struct vk_err *err)
{
	vk_autojson *names = json_object();
	size_t i;
	json_t *item;
	int rc = 0;
	json_t *links = json_object_get(node, "links");
	for (i = 0; rc == 0 && (item = json_array_get(links, i)) != NULL;) {
		rc = settle_link(m, name, item, names, err);
		if (vk_json_str(item, "node", "")[0] != '\0')
			i++;
		else
			json_array_remove(links, i);
	}
	json_array_foreach(json_object_get(node, "require"), i, item)
	{
		const char *text = json_string_value(item);
		if (rc != 0 || strchr(text, '/') != NULL)
			continue;
		if (strcmp(text, name) == 0)
			rc = link_error(m, name, NULL, err, "it requires itself");
		else if (json_object_get(json_object_get(m->doc, "nodes"), text) == NULL)
			rc = no_such_node(m, name, NULL, text, err);
	}
	return rc;
}

/* ---- circles ---- */

/* The next node of this stack that `node` points to and that is not done; NULL if none. */
static const char *points_to(const json_t *node, const json_t *done)
{
	size_t i;
	json_t *item;
	json_array_foreach(json_object_get(node, "links"), i, item)
	{
		const char *to = vk_json_str(item, "node", "");
		if (vk_json_str(item, "stack", "")[0] == '\0' && json_object_get(done, to) == NULL)
			return to;
	}
	json_array_foreach(json_object_get(node, "require"), i, item)
	{
		const char *to = json_string_value(item);
		if (strchr(to, '/') == NULL && json_object_get(done, to) == NULL)
			return to;
	}
	return NULL;
}

static int name_circle(
	const struct manifest *m, const json_t *done, const char *at, struct vk_err *err)
{
	const json_t *nodes = json_object_get(m->doc, "nodes");
	vk_autostrv path = {0};
	while (!vk_strv_has(&path, at)) { /* all left point to one that is left */
		vk_strv_add(&path, at);
		at = points_to(json_object_get(nodes, at), done);
	}
	vk_autobuf text = VK_BUF_INIT(20000);
	bool in = false;
	for (size_t i = 0; i < path.n; i++) {
		in = in || strcmp(path.v[i], at) == 0;
		if (in)
			(void)vk_buf_addf(&text, "%s -> ", path.v[i]);
	}
	vk_err_set(err, VK_INVALID, "%s: deploy.%s: links in a circle: %s%s", m->opts->file, at,
		vk_buf_str(&text), at);
	return vk_err_hint(err, "leave one out: nodes of one stack reach one another by name");
}

static int check_circles(const struct manifest *m, struct vk_err *err)
{
	vk_autojson *done = json_object();
	const char *name, *left = NULL;
	json_t *node;
	for (bool moved = true; moved;) {
		moved = false;
		left = NULL;
		json_object_foreach(json_object_get(m->doc, "nodes"), name, node)
		{
			if (json_object_get(done, name) != NULL)
				continue;
			if (points_to(node, done) != NULL) {
				left = left != NULL ? left : name;
				continue;
			}
			json_object_set_new(done, name, json_true());
			moved = true;
		}
	}
	return left != NULL ? name_circle(m, done, left, err) : 0;
}

int manifest_links(struct manifest *m, struct vk_err *err)
{
	const char *name;
	json_t *node;
	int rc = 0;
	json_object_foreach(json_object_get(m->doc, "nodes"), name, node) if (rc == 0) rc =
		settle_node(m, name, node, err);
	return rc == 0 ? check_circles(m, err) : rc;
}
