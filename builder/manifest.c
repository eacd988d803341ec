#include "manifest.h"

#include <stdlib.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "manifest_parse.h"

const char *const manifest_names[] = {
	"vikingfile", "vikingfile.yml", "viking.yml", "viking.yaml", NULL};

#define KNOWN_SHOWN 20 /* keys in the message about an unknown one */

static const struct mkey top_keys[];

/* -- tables of keys -------------------------------------------------------------------------- */

static bool is_alias(const char *aliases, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = aliases; p != NULL && *p != '\0';) {
		size_t len = strcspn(p, " ");
		if (len == n && memcmp(p, name, n) == 0)
			return true;
		p += len + (p[len] == ' ');
	}
	return false;
}

const struct mkey *mtable_find(const struct mkey *keys, const char *name)
{
	for (; keys->name != NULL; keys++)
		if (strcmp(keys->name, name) == 0 || is_alias(keys->aliases, name))
			return keys;
	return NULL;
}

static const char *suggest_key(const struct mkey *keys, const char *name)
{
	static const char *words[65];
	size_t n = 0;
	for (; keys->name != NULL && n < 64; keys++)
		words[n++] = keys->name;
	words[n] = NULL;
	return vk_suggest(name, words);
}

/* The first ones: a long table begins with what is used most. */
static char *known_keys(const struct mkey *keys)
{
	vk_autobuf b = VK_BUF_INIT(1024);
	for (size_t i = 0; keys[i].name != NULL; i++) {
		if (i == KNOWN_SHOWN) {
			vk_buf_adds(&b, " ... (docs/vikingfile.md)");
			break;
		}
		vk_buf_addf(&b, "%s%s", i > 0 ? ", " : "", keys[i].name);
	}
	return vk_buf_take(&b);
}

static int unknown_key(struct manifest *m, const struct mtable *t, const struct vk_yaml *at,
	const char *name, struct vk_err *err)
{
	for (size_t i = 0; t->later != NULL && t->later[i] != NULL; i++)
		if (strcmp(t->later[i], name) == 0)
			return vk_yaml_error(err, m->opts->file, at,
				"%s is not supported by this version "
				"of viking",
				name);
	for (const struct melse *e = t->elsewhere; e != NULL && e->name != NULL; e++)
		if (strcmp(e->name, name) == 0)
			return vk_yaml_error(err, m->opts->file, at, "%s is no key of %s: %s", name,
				t->where, e->where);
	const char *near = suggest_key(t->keys, name);
	if (near != NULL)
		return vk_yaml_error(err, m->opts->file, at,
			"unknown key \"%.60s\" in %s, did you mean "
			"\"%s\"?",
			name, t->where, near);
	if (t->keys == top_keys && manifest_is_node_key(name))
		return vk_yaml_error(err, m->opts->file, at,
			"%s is no key of %s: it stands in a node, deploy: {NAME: {%s: ...}}", name,
			t->where, name);
	vk_autofree char *known = known_keys(t->keys);
	return vk_yaml_error(err, m->opts->file, at, "unknown key \"%.60s\" in %s; known here: %s",
		name, t->where, known);
}

static int run_key(struct manifest *m, const struct vk_yaml *map, size_t i, const struct mtable *t,
	json_t *out, uint64_t *seen, struct vk_err *err)
{
	const char *name = map->keys[i].name;
	struct vk_yaml at = {.line = map->keys[i].line, .col = map->keys[i].col};
	if (t->extras && vk_starts(name, "x-") && strlen(name) <= 128) {
		manifest_store_extra(m, t->where, name, map->items[i]);
		return 0;
	}
	const struct mkey *key = mtable_find(t->keys, name);
	if (key == NULL)
		return unknown_key(m, t, &at, name, err);
	uint64_t bit = (uint64_t)1 << (key - t->keys);
	if (*seen & bit)
		return vk_yaml_error(err, m->opts->file, &at,
			"%s: \"%s\" and another word for \"%s\" at once", t->where, name,
			key->name);
	*seen |= bit;
	vk_autofree char *what = vk_starts(t->where, "the ") ? vk_strdup(name)
							     : vk_asprintf("%s.%s", t->where, name);
	struct mval v = {m, map->items[i], what};
	return key->fn(&v, out, err);
}

int mtable_run(struct manifest *m, const struct vk_yaml *map, const struct mtable *t, json_t *out,
	uint64_t *ret_seen, struct vk_err *err)
{
	uint64_t seen = 0;
	int rc = 0;
	for (size_t i = 0; i < map->n && rc == 0; i++)
		rc = run_key(m, map, i, t, out, &seen, err);
	if (ret_seen != NULL)
		*ret_seen = seen;
	return rc;
}

void manifest_store_extra(
	struct manifest *m, const char *where, const char *key, const struct vk_yaml *y)
{
	json_t *x = json_object_get(m->doc, "x");
	if (strchr(where, '.') != NULL) {
		if (json_object_get(x, where) == NULL)
			json_object_set_new(x, where, json_object());
		x = json_object_get(x, where);
	}
	json_object_set_new(x, key, mval_json(y));
}

/* -- the head -------------------------------------------------------------------------------- */

static int head_name(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *name;
	int rc = mval_text(v, 4096, &name, err);
	if (rc != 0)
		return rc;
	if (vk_stack_name(name, err) != 0)
		return mval_wrap(v, err);
	json_set_str(out, "name", name);
	return 0;
}

static int head_comment(const struct mval *v, json_t *out, struct vk_err *err)
{
	if (v->y->type != VK_YAML_SCALAR || v->y->len > 1024)
		return mval_error(v, err, "needs text of at most 1024 characters");
	json_object_set_new(out, "comment", vk_json_safe_string(v->y->text, v->y->len));
	return 0;
}

#define REQUIRE_MAX 32

static int head_require_item(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *name;
	int rc = mval_text(v, 4096, &name, err);
	if (rc != 0)
		return rc;
	if (vk_stack_name(name, err) != 0)
		return mval_wrap(v, err);
	json_array_append_new(out, json_string(name));
	return 0;
}

static int head_require(const struct mval *v, json_t *out, struct vk_err *err)
{
	json_t *list = json_array();
	json_object_set_new(out, "require", list);
	return mval_each(v, REQUIRE_MAX, head_require_item, list, err);
}

#define AT_THE_TOP "it stands at the top of the file, not below viking:"
static const struct melse head_elsewhere[] = {{"env", AT_THE_TOP}, {"build", AT_THE_TOP},
	{"deploy", AT_THE_TOP}, {"rollout", AT_THE_TOP}, {0}};

static int top_head(const struct mval *v, json_t *out, struct vk_err *err)
{
	static const struct mkey keys[] = {{"name", NULL, head_name, 0},
		{"comment", NULL, head_comment, 0}, {"require", NULL, head_require, 0}, {0}};
	int rc = mval_map(v, err);
	if (rc == 0)
		rc = mtable_run(v->m, v->y,
			&(struct mtable){keys, NULL, "viking", false, head_elsewhere}, out, NULL,
			err);
	if (rc == 0 && *vk_json_str(out, "name", "") == '\0')
		return mval_error(v, err, "has no name; add \"name: NAME\"");
	size_t i;
	json_t *item;
	json_array_foreach(rc == 0 ? json_object_get(out, "require") : NULL, i,
		item) if (manifest_is_own(v->m, json_string_value(item))) return mval_error(v, err,
		"the stack requires itself");
	return rc;
}

static int top_env(const struct mval *v, json_t *out, struct vk_err *err)
{
	json_t *env = NULL;
	int rc = mval_variables(v, &env, err);
	if (rc == 0)
		json_object_set_new(out, "env", env);
	return rc;
}

/* build and deploy need the head first, so they wait for manifest_parse */
static int top_section(const struct mval *v, json_t *out, struct vk_err *err)
{
	(void)out;
	return mval_map(v, err);
}

static const struct mkey top_keys[] = {
	{"viking", NULL, top_head, 0},
	{"env", "environment", top_env, 0},
	{"nodes", NULL, manifest_hosts, 0},
	{"roles", NULL, manifest_top_roles, 0},
	{"rollout", NULL, manifest_rollout, 0},
	{"build", NULL, top_section, 0},
	{"deploy", NULL, top_section, 0},
	{0},
};

static const char *const top_later[] = {"include", "resources", "domains", "services", "databases",
	"secrets", "networks", "volumes", "certs", "groups", "version", NULL};

#define IN_HEAD "it stands below viking:"
static const struct melse top_elsewhere[] = {{"name", IN_HEAD}, {"comment", IN_HEAD},
	{"require", IN_HEAD}, {"boats", "boats are listed under build:"},
	{"boat", "boats are listed under build:"},
	{"hosts", "hosts that are expected stand under nodes:, those a node may be on in the node"},
	{"labels",
		"hosts get theirs by `viking hosts:label HOST LABEL`; roles: chooses hosts by "
		"them"},
	{0}};

static json_t *new_doc(const struct manifest_opts *opts)
{
	json_t *doc = json_pack("{s:i, s:s, s:s, s:s, s:{}, s:{}, s:{}, s:{}, s:[]}", "v", 1,
		"file", opts->file, "name", "", "comment", "", "env", "boats", "nodes", "x",
		"notices");
	if (doc == NULL) /* only a file name that is no UTF-8 */
		doc = json_pack("{s:i, s:s, s:s, s:s, s:{}, s:{}, s:{}, s:{}, s:[]}", "v", 1,
			"file", "vikingfile", "name", "", "comment", "", "env", "boats", "nodes",
			"x", "notices");
	return doc;
}

static struct manifest *new_manifest(const struct manifest_opts *opts)
{
	struct manifest *m = vk_alloc(sizeof(*m));
	m->opts = opts;
	m->doc = new_doc(opts);
	m->notices = json_object_get(m->doc, "notices");
	return m;
}

struct manifest *manifest_default(const struct manifest_opts *opts)
{
	struct manifest *m = new_manifest(opts);
	m->implied = true;
	json_object_set_new(json_object_get(m->doc, "boats"), "web", manifest_default_boat());
	json_t *node = manifest_node_new();
	json_set_str(node, "boat", "web");
	json_object_set_new(json_object_get(m->doc, "nodes"), "web", node);
	return m;
}

static int parse_top(struct manifest *m, struct vk_err *err)
{
	if (m->yaml->type != VK_YAML_MAP)
		return vk_yaml_error(err, m->opts->file, m->yaml,
			"a manifest is a map with the keys viking, "
			"build, deploy, env");
	struct mtable t = {top_keys, top_later, "the manifest", true, top_elsewhere};
	int rc = mtable_run(m, m->yaml, &t, m->doc, NULL, err);
	if (rc == 0)
		rc = manifest_boats(m, vk_yaml_get(m->yaml, "build"), err);
	if (rc == 0)
		rc = manifest_nodes(m, vk_yaml_get(m->yaml, "deploy"), err);
	if (rc == 0)
		manifest_default_roles(m->doc);
	if (rc == 0 && json_object_size(json_object_get(m->doc, "boats")) == 0 &&
		json_object_size(json_object_get(m->doc, "nodes")) == 0)
		return vk_yaml_error(err, m->opts->file, m->yaml,
			"nothing to build or deploy: add build: or "
			"deploy:");
	return rc;
}

int manifest_parse(const char *text, size_t n, const struct manifest_opts *opts,
	struct manifest **ret, struct vk_err *err)
{
	if (n > MANIFEST_MAX)
		return vk_err_set(
			err, VK_LIMIT, "%s is larger than %d KiB", opts->file, MANIFEST_MAX / 1024);
	struct vk_err local = {0};
	if (err == NULL) /* codes travel in it */
		err = &local;
	struct manifest *m = new_manifest(opts);
	int rc = vk_yaml_parse(text, n, opts->file, &m->yaml, err);
	if (rc == 0)
		rc = parse_top(m, err);
	if (rc != 0) {
		manifest_free(m);
		return rc;
	}
	*ret = m;
	return 0;
}

json_t *manifest_doc(const struct manifest *m)
{
	return m->doc;
}

void manifest_free(struct manifest *m)
{
	if (m == NULL)
		return;
	vk_yaml_free(m->yaml);
	json_decref(m->doc);
	free(m);
}

bool manifest_is_own(const struct manifest *m, const char *stack)
{
	return strcmp(stack, m->opts->stack) == 0 ||
		strcmp(stack, vk_json_str(m->doc, "name", "")) == 0;
}
