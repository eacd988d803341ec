/* What needs the files beside the manifest: Dockerfiles, their boats, order, directories. */
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "dockerfile.h"
#include "manifest_parse.h"
#include "signals.h"

struct resolve {
	struct manifest *m;
	const struct manifest_files *files;
	json_t *boats;
};

/* The place of SECTION.NAME in the file; errors of a default manifest stand alone. */
static int fail_at(
	const struct manifest *m, const char *section, const char *name, struct vk_err *err)
{
	const struct vk_yaml *map = m->yaml != NULL ? vk_yaml_get(m->yaml, section) : NULL;
	for (size_t i = 0; map != NULL && map->type == VK_YAML_MAP && i < map->n; i++) {
		if (strcmp(map->keys[i].name, name) != 0)
			continue;
		return vk_err_wrap(err, "%s:%u:%u: %s.%s", m->opts->file, map->keys[i].line,
			map->keys[i].col, section, name);
	}
	return err->code;
}

static int missing_file(
	const struct resolve *r, const char *name, const char *path, struct vk_err *err)
{
	vk_err_set(err, VK_INVALID, "there is no file \"%s\" in the repository", path);
	const char *base = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
	if (strcmp(base, "Dockerfile") == 0)
		vk_err_hint(err, "git add %s; or build without one: builder: auto", path);
	else
		vk_err_hint(err, "paths of dockerfile: begin at the root of the repository");
	return fail_at(r->m, "build", name, err);
}

/* Its Dockerfile; *ret_have false when it cannot be had because there are no files. */
static int read_recipe(const struct resolve *r, const char *name, const json_t *boat,
	struct vk_buf *out, bool *ret_have, struct vk_err *err)
{
	const json_t *text = json_object_get(boat, "inline");
	*ret_have = true;
	if (json_is_string(text)) {
		vk_buf_add(out, json_string_value(text), json_string_length(text));
		return 0;
	}
	const char *path = vk_json_str(boat, "dockerfile", "");
	*ret_have = r->files != NULL;
	if (r->files == NULL)
		return 0;
	int rc = r->files->read(r->files->arg, path, out, err);
	if (rc == VK_NOTFOUND)
		return missing_file(r, name, path, err);
	return rc != 0 ? fail_at(r->m, "build", name, err) : 0;
}

static int own_ref(const struct resolve *r, const char *name, json_t *boat,
	const struct dockerfile_use *u, const char *file, struct vk_err *err)
{
	if (strcmp(u->boat.boat, name) == 0)
		return vk_err_set(err, VK_INVALID, "%s:%u: the boat %s cannot be built from itself",
			file, u->line, name);
	if (json_object_get(r->boats, u->boat.boat) == NULL)
		return vk_err_set(err, VK_INVALID, "%s:%u: there is no boat \"%s\" in build:", file,
			u->line, u->boat.boat);
	json_t *needs = json_object_get(boat, "needs"), *item;
	size_t i;
	json_array_foreach(
		needs, i, item) if (strcmp(json_string_value(item), u->boat.boat) == 0) return 0;
	json_array_append_new(needs, json_string(u->boat.boat));
	return 0;
}

static int scan_recipe(const struct resolve *r, const char *name, json_t *boat, const char *file,
	const struct vk_buf *text, struct vk_err *err)
{
	struct dockerfile_opts o = {
		.file = file,
		.args = json_object_get(boat, "args"),
		.target = vk_json_str(boat, "target", ""),
		.registry = r->m->opts->registry,
	};
	struct dockerfile *d = NULL;
	int rc = dockerfile_scan(vk_buf_str(text), text->len, &o, &d, err);
	for (size_t i = 0; rc == 0 && i < d->n; i++)
		if (d->uses[i].is_boat && manifest_is_own(r->m, d->uses[i].boat.stack))
			rc = own_ref(r, name, boat, &d->uses[i], file, err);
	if (rc == 0)
		json_object_set_new(boat, "refs", dockerfile_boats(d));
	dockerfile_free(d);
	return rc;
}

static int check_context(
	const struct resolve *r, const char *name, const json_t *boat, struct vk_err *err)
{
	const char *context = vk_json_str(boat, "context", ".");
	if (r->files == NULL || strcmp(context, ".") == 0 ||
		r->files->is_dir(r->files->arg, context))
		return 0;
	vk_err_set(err, VK_INVALID, "there is no directory \"%s\" in the repository (context)",
		context);
	return fail_at(r->m, "build", name, err);
}

/* Who builds without a Dockerfile looks into a directory of its own. */
static int resolve_builder(
	const struct resolve *r, const char *name, json_t *boat, struct vk_err *err)
{
	const char *context = vk_json_str(boat, "context", ".");
	json_t *signals = NULL;
	if (r->files == NULL || strcmp(context, ".") == 0)
		return 0;
	if (signals_read(r->files, context, &signals, err) != 0)
		return fail_at(r->m, "build", name, err);
	json_object_set_new(boat, "signals", signals);
	return 0;
}

/* No line of the manifest speaks of it: without a Dockerfile the repository's files decide. */
static bool becomes_auto(const struct resolve *r, const json_t *boat)
{
	vk_autobuf some = VK_BUF_INIT(1);
	return r->m->implied && r->files != NULL &&
		json_is_string(json_object_get(boat, "dockerfile")) &&
		r->files->read(r->files->arg, "Dockerfile", &some, NULL) == VK_NOTFOUND;
}

static int resolve_boat(const struct resolve *r, const char *name, json_t *boat, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(DOCKERFILE_MAX + 1);
	bool have = false, is_inline = json_is_string(json_object_get(boat, "inline"));
	json_array_clear(json_object_get(boat, "needs"));
	int rc = check_context(r, name, boat, err);
	if (rc == 0 && becomes_auto(r, boat)) {
		json_object_set_new(boat, "dockerfile", json_null());
		json_object_set_new(boat, "builder", json_pack("{s:s}", "type", "auto"));
	}
	if (rc == 0 && json_is_object(json_object_get(boat, "builder")))
		return resolve_builder(r, name, boat, err);
	if (rc == 0)
		rc = read_recipe(r, name, boat, &text, &have, err);
	if (rc != 0 || !have)
		return rc;
	rc = scan_recipe(r, name, boat,
		is_inline ? "Dockerfile" : vk_json_str(boat, "dockerfile", ""), &text, err);
	return rc != 0 && is_inline ? fail_at(r->m, "build", name, err) : rc;
}

/* -- order ----------------------------------------------------------------------------------- */

static bool needs_all_in(const json_t *boat, const json_t *done)
{
	size_t i;
	json_t *need;
	json_array_foreach(json_object_get(boat, "needs"), i,
		need) if (json_object_get(done, json_string_value(need)) == NULL) return false;
	return true;
}

/* Every boat left over needs another one left over: following these ends in the cycle. */
static int name_cycle(
	const struct resolve *r, const json_t *done, const char *start, struct vk_err *err)
{
	const char *path[MANIFEST_BOATS + 1];
	size_t n = 0, from = 0;
	bool closed = false;
	for (const char *at = start; !closed && n < MANIFEST_BOATS;) {
		path[n++] = at;
		size_t i;
		json_t *need;
		json_array_foreach(json_object_get(json_object_get(r->boats, at), "needs"), i,
			need) if (json_object_get(done, json_string_value(need)) == NULL) at =
			json_string_value(need);
		for (from = 0; from < n && strcmp(path[from], at) != 0;)
			from++;
		closed = from < n;
	}
	vk_autobuf text = VK_BUF_INIT(8192);
	for (size_t i = from; i < n; i++)
		vk_buf_addf(&text, "%s -> ", path[i]);
	vk_err_set(err, VK_INVALID, "boats need one another in a circle: %s%s", vk_buf_str(&text),
		from < n ? path[from] : start);
	return fail_at(r->m, "build", from < n ? path[from] : start, err);
}

static int check_order(const struct resolve *r, struct vk_err *err)
{
	vk_autojson *done = json_object();
	bool moved = true;
	const char *name, *left = NULL;
	json_t *boat;
	while (moved) {
		moved = false;
		left = NULL;
		json_object_foreach(r->boats, name, boat)
		{
			if (json_object_get(done, name) != NULL)
				continue;
			if (needs_all_in(boat, done)) {
				json_object_set_new(done, name, json_true());
				moved = true;
			} else if (left == NULL) {
				left = name;
			}
		}
	}
	return left != NULL ? name_cycle(r, done, left, err) : 0;
}

static int check_roots(const struct resolve *r, struct vk_err *err)
{
	const char *name;
	json_t *node;
	json_object_foreach(json_object_get(r->m->doc, "nodes"), name, node)
	{
		const char *root = vk_json_str(node, "document_root", "");
		if (r->files == NULL || *root == '\0' || strcmp(root, ".") == 0 ||
			r->files->is_dir(r->files->arg, root))
			continue;
		vk_err_set(err, VK_INVALID,
			"there is no directory \"%s\" in the repository (document_root)", root);
		return fail_at(r->m, "deploy", name, err);
	}
	return 0;
}

static int read_pages(const struct resolve *r, struct vk_err *err)
{
	const char *name, *status;
	json_t *node, *page;
	json_object_foreach(json_object_get(r->m->doc, "nodes"), name, node)
	{
		json_object_foreach(
			json_object_get(node, "error_pages"), status, page) if (r->files != NULL &&
			manifest_page_read(r->files, page, err) != 0) return fail_at(r->m, "deploy",
			name, err);
	}
	return 0;
}

static int read_signals(const struct resolve *r, struct vk_err *err)
{
	const char *name;
	json_t *boat, *signals = NULL;
	bool used = false;
	if (r->files == NULL)
		return 0;
	json_object_foreach(r->boats, name, boat) used |=
		json_is_object(json_object_get(boat, "builder")) &&
		strcmp(vk_json_str(boat, "context", "."), ".") == 0;
	int rc = used ? signals_read(r->files, ".", &signals, err) : 0;
	if (rc == 0 && !used)
		signals = signals_try(r->files, ".", r->m->notices);
	if (rc == 0)
		json_object_set_new(r->m->doc, "signals", signals);
	return rc;
}

int manifest_resolve(struct manifest *m, const struct manifest_files *files, struct vk_err *err)
{
	struct vk_err local = {0};
	if (err == NULL) /* codes travel in it */
		err = &local;
	struct resolve r = {m, files, json_object_get(m->doc, "boats")};
	const char *name;
	json_t *boat;
	json_object_foreach(r.boats, name, boat)
	{
		int rc = resolve_boat(&r, name, boat, err);
		if (rc != 0)
			return rc;
	}
	int rc = check_order(&r, err);
	if (rc == 0)
		rc = read_signals(&r, err);
	if (rc == 0)
		rc = read_pages(&r, err);
	return rc == 0 ? check_roots(&r, err) : rc;
}
