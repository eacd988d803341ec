/* The section build: boats, each an inline Dockerfile or a map: {dockerfile, context, args, target} or
 * {builder, context}. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/pack_name.h>
#include <viking/str.h>

#include "dockerfile.h"
#include "image_name.h"
#include "manifest_parse.h"

static json_t *boat_new(void)
{
	return json_pack("{s:n, s:n, s:s, s:{}, s:s, s:[], s:[]}", "inline", "dockerfile",
		"context", ".", "args", "target", "", "needs", "refs");
}

json_t *manifest_default_boat(void)
{
	json_t *boat = boat_new();
	json_set_str(boat, "dockerfile", "Dockerfile");
	return boat;
}

static int boat_inline(const struct mval *v, json_t *out, struct vk_err *err)
{
	if (v->y->type != VK_YAML_SCALAR || mval_is_null(v->y))
		return mval_error(v, err, "needs the text of a Dockerfile");
	if (strpbrk(v->y->text, " \n") == NULL) {
		mval_error(v, err, "\"%.60s\" is no Dockerfile", v->y->text);
		return vk_err_hint(err, "for a directory write {context: %.60s}", v->y->text);
	}
	json_object_set_new(out, "inline", vk_json_safe_string(v->y->text, v->y->len));
	return 0;
}

static int set_path(const struct mval *v, json_t *out, const char *key, struct vk_err *err)
{
	const char *text;
	vk_autofree char *path = NULL;
	int rc = mval_text(v, 1024, &text, err);
	if (rc != 0)
		return rc;
	if (manifest_path(text, &path, err) != 0)
		return mval_wrap(v, err);
	json_set_str(out, key, path);
	return 0;
}

static int boat_dockerfile(const struct mval *v, json_t *out, struct vk_err *err)
{
	int rc = set_path(v, out, "dockerfile", err);
	if (rc == 0 && strcmp(vk_json_str(out, "dockerfile", ""), ".") == 0)
		return mval_error(v, err, "needs the path of a file");
	return rc;
}

static int boat_context(const struct mval *v, json_t *out, struct vk_err *err)
{
	return set_path(v, out, "context", err);
}

static int boat_args(const struct mval *v, json_t *out, struct vk_err *err)
{
	json_t *args = NULL;
	int rc = mval_variables(v, &args, err);
	if (rc == 0)
		json_object_set_new(out, "args", args);
	return rc;
}

static int boat_target(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 128, &text, err);
	if (rc == 0)
		json_set_str(out, "target", text);
	return rc;
}

/* -- builder ---------------------------------------------------------------------------------- */

static int builder_pack(const struct mval *v, json_t *packs, struct vk_err *err)
{
	const char *text;
	vk_autofree char *name = NULL;
	enum vk_pack_kind kind;
	int rc = mval_text(v, VK_PACK_NAME_MAX, &text, err);
	if (rc != 0)
		return rc;
	if (vk_pack_name(text, &name, &kind, err) != 0)
		return mval_wrap(v, err);
	if (json_array_size(packs) == VK_PACKS_MAX)
		return mval_error(v, err, "has more than %d buildpacks", VK_PACKS_MAX);
	json_array_append_new(packs, json_string(name));
	return 0;
}

static int builder_packs(const struct mval *v, json_t *out, struct vk_err *err)
{
	vk_autojson *packs = json_array();
	int rc = mval_each(v, VK_PACKS_MAX, builder_pack, packs, err);
	if (rc == 0 && json_array_size(packs) == 0)
		rc = mval_error(v, err, "has no buildpack");
	if (rc == 0)
		json_object_set_new(
			out, "builder", json_pack("{s:s, s:O}", "type", "packs", "packs", packs));
	return rc;
}

static int builder_cnb(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *image;
	int rc = mval_text(v, 512, &image, err);
	if (rc != 0)
		return rc;
	if (image_name_check(image, v->m->opts->registry, err) != 0)
		return mval_wrap(v, err);
	json_object_set_new(out, "builder", json_pack("{s:s, s:s}", "type", "cnb", "image", image));
	return 0;
}

static int builder_map(const struct mval *v, json_t *out, struct vk_err *err)
{
	static const struct mkey keys[] = {
		{"packs", NULL, builder_packs, 0}, {"cnb", NULL, builder_cnb, 0}, {0}};
	uint64_t seen = 0;
	int rc = mtable_run(
		v->m, v->y, &(struct mtable){keys, NULL, v->what, false, NULL}, out, &seen, err);
	if (rc == 0 && seen != 1 && seen != 2)
		return mval_error(v, err, "needs packs: or cnb:, one of them");
	return rc;
}

static int boat_builder(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *word;
	if (v->y->type == VK_YAML_MAP)
		return builder_map(v, out, err);
	if (v->y->type == VK_YAML_LIST)
		return builder_packs(v, out, err);
	int rc = mval_text(v, VK_PACK_NAME_MAX, &word, err);
	if (rc != 0 || strcmp(word, "dockerfile") == 0)
		return rc;
	if (strcmp(word, "auto") == 0)
		json_object_set_new(out, "builder", json_pack("{s:s}", "type", "auto"));
	else if (vk_pack_is_own(word))
		json_object_set_new(
			out, "builder", json_pack("{s:s, s:s}", "type", "own", "pack", word));
	else
		return builder_packs(v, out, err);
	return 0;
}

static const struct mkey boat_keys[] = {
	{"inline", NULL, boat_inline, 0},
	{"dockerfile", NULL, boat_dockerfile, 0},
	{"context", NULL, boat_context, 0},
	{"builder", "buildpack buildpacks", boat_builder, 0},
	{"args", NULL, boat_args, 0},
	{"target", NULL, boat_target, 0},
	{0},
};

static const char *const boat_later[] = {"secrets", "ssh", "cache_from", "platforms", "labels",
	"network", "extra_hosts", "stack", NULL};

/* A Dockerfile is looked for in its context, as every such tool does. */
static void default_dockerfile(json_t *boat)
{
	const char *context = vk_json_str(boat, "context", ".");
	vk_autofree char *path = strcmp(context, ".") == 0 ? vk_strdup("Dockerfile")
							   : vk_asprintf("%s/Dockerfile", context);
	json_set_str(boat, "dockerfile", path);
}

static int parse_boat(const struct mval *v, json_t *boat, struct vk_err *err)
{
	if (v->y->type == VK_YAML_SCALAR)
		return boat_inline(v, boat, err);
	int rc = mval_map(v, err);
	if (rc == 0)
		rc = mtable_run(v->m, v->y,
			&(struct mtable){boat_keys, boat_later, v->what, true, NULL}, boat, NULL,
			err);
	if (rc != 0)
		return rc;
	bool is_inline = json_is_string(json_object_get(boat, "inline"));
	if (json_is_object(json_object_get(boat, "builder"))) {
		if (is_inline || json_is_string(json_object_get(boat, "dockerfile")) ||
			json_object_size(json_object_get(boat, "args")) > 0 ||
			*vk_json_str(boat, "target", "") != '\0')
			return mval_error(v, err,
				"has builder and keys of a Dockerfile (inline, dockerfile, args, "
				"target) at once");
		return 0;
	}
	if (is_inline && json_is_string(json_object_get(boat, "dockerfile")))
		return mval_error(v, err, "has inline and dockerfile at once");
	if (!is_inline && !json_is_string(json_object_get(boat, "dockerfile")))
		default_dockerfile(boat);
	return 0;
}

int manifest_boats(struct manifest *m, const struct vk_yaml *build, struct vk_err *err)
{
	json_t *boats = json_object_get(m->doc, "boats");
	if (build != NULL && build->n > MANIFEST_BOATS)
		return vk_yaml_error(
			err, m->opts->file, build, "more than %d boats", MANIFEST_BOATS);
	for (size_t i = 0; build != NULL && i < build->n; i++) {
		const char *name = build->keys[i].name;
		struct vk_yaml at = {.line = build->keys[i].line, .col = build->keys[i].col};
		if (vk_starts(name, "x-")) {
			manifest_store_extra(m, "build.", name, build->items[i]);
			continue;
		}
		if (vk_node_name(name, err) != 0)
			return mval_wrap(&(struct mval){m, &at, "build"}, err);
		vk_autofree char *what = vk_asprintf("build.%s", name);
		vk_autojson *boat = boat_new();
		int rc = parse_boat(&(struct mval){m, build->items[i], what}, boat, err);
		if (rc != 0)
			return rc;
		json_object_set(boats, name, boat);
	}
	return 0;
}
