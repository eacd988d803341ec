/* The choice of a builder, one function a source, in their order. */
#include "packs.h"

#include <string.h>
#include <viking/json.h>
#include <viking/pack_name.h>
#include <viking/str.h>

#include "policy.h"

bool packs_implied(const json_t *doc)
{
	const char *file = vk_json_str(doc, "file", "vikingfile");
	return file[0] == '\0' || strcmp(file, "Dockerfile") == 0;
}

bool packs_foreign(const json_t *builder)
{
	const char *type = vk_json_str(builder, "type", "");
	return strcmp(type, "packs") == 0 || strcmp(type, "cnb") == 0;
}

void packs_choice_release(struct packs_choice *c)
{
	json_decref(c->builder);
	free(c->what);
	free(c->why);
	*c = (struct packs_choice){0};
}

/* ---- the parts a choice is made of ---- */

static void choose_own(struct packs_choice *ret, const char *pack)
{
	ret->builder = json_pack("{s:s,s:s}", "type", "own", "pack", pack);
	ret->what = vk_asprintf("with the %s pack", pack);
}

static int choose_list(
	const struct packs_in *in, const json_t *list, struct packs_choice *ret, struct vk_err *err)
{
	vk_autojson *packs = json_array();
	size_t i, n = json_array_size(list);
	json_t *item;
	if (n > VK_PACKS_MAX)
		return vk_err_set(err, VK_LIMIT, "at most %d buildpacks", VK_PACKS_MAX);
	json_array_foreach(list, i, item)
	{
		vk_autofree char *pack = NULL;
		if (!json_is_string(item) ||
			strlen(json_string_value(item)) != json_string_length(item))
			return vk_err_set(err, VK_INVALID, "buildpack %zu is no text", i + 1);
		int rc = policy_pack(in->cfg, json_string_value(item), &pack, err);
		if (rc != 0)
			return rc;
		json_array_append_new(packs, json_string(pack));
	}
	const char *first = json_string_value(json_array_get(packs, 0));
	ret->builder = json_pack("{s:s,s:O}", "type", "packs", "packs", packs);
	ret->what = n > 1                  ? vk_asprintf("with %zu packs", n)
		: vk_starts(first, "own:") ? vk_asprintf("with the %s pack", first + 4)
					   : vk_asprintf("with %s", first);
	return 0;
}

/* One pack of ours alone has the fast way, but for a list in the manifest: who writes [node] wants the config vars. */
static int choose_fast(
	const struct packs_in *in, const json_t *list, struct packs_choice *ret, struct vk_err *err)
{
	struct packs_choice c = {0};
	int rc = choose_list(in, list, &c, err);
	const json_t *packs = json_object_get(c.builder, "packs");
	const char *first = json_string_value(json_array_get(packs, 0));
	if (rc != 0 || json_array_size(packs) != 1 || !vk_starts(first, "own:")) {
		*ret = c;
		return rc;
	}
	choose_own(ret, first + 4);
	packs_choice_release(&c);
	return 0;
}

static int choose_one(
	const struct packs_in *in, const char *pack, struct packs_choice *ret, struct vk_err *err)
{
	vk_autojson *list = json_pack("[s]", pack);
	return list == NULL ? vk_err_set(err, VK_INVALID, "the buildpack's URL is no text")
			    : choose_fast(in, list, ret, err);
}

/* A trusted builder runs its packs beside the engine's socket: only what the host names. */
static bool cnb_trusted(const struct vk_config *cfg, const char *image)
{
	if (cfg->builder_cnb[0] != '\0' && strcmp(cfg->builder_cnb, image) == 0)
		return true;
	for (const char *p = cfg->policy_cnb_builders; *p != '\0';) {
		const char *end = strchrnul(p, ',');
		vk_autofree char *glob = vk_strndup(p, (size_t)(end - p));
		if (vk_glob(glob, image))
			return true;
		p = *end == ',' ? end + 1 : end;
	}
	return false;
}

static int choose_cnb(const struct packs_in *in, const char *boat, const char *image,
	struct packs_choice *ret, struct vk_err *err)
{
	if (image[0] == '\0' || image[0] == '-')
		return vk_err_set(err, VK_INVALID, "boat %s: its builder has no image", boat);
	if (!cnb_trusted(in->cfg, image)) {
		vk_err_set(err, VK_DENIED, "boat %s: builder %s is not trusted on this host", boat,
			image);
		vk_err_hint(err, "the host's administrator can set policy.cnb_builders");
		return VK_DENIED;
	}
	ret->builder = json_pack("{s:s,s:s}", "type", "cnb", "image", image);
	ret->what = vk_asprintf("with the builder %s", image);
	return 0;
}

/* ---- what the manifest says ---- */

static int choose_named(const struct packs_in *in, const char *boat, const json_t *builder,
	struct packs_choice *ret, struct vk_err *err)
{
	const char *type = vk_json_str(builder, "type", "");
	const json_t *list = json_object_get(builder, "packs");
	const char *pack = vk_json_str(builder, "pack", "");
	int rc;
	if (strcmp(type, "cnb") == 0)
		rc = choose_cnb(in, boat, vk_json_str(builder, "image", ""), ret, err);
	else if (strcmp(type, "packs") == 0 && json_array_size(list) > 0)
		rc = choose_list(in, list, ret, err);
	else if (strcmp(type, "own") == 0 && vk_pack_is_own(pack))
		rc = choose_one(in, pack, ret, err);
	else
		rc = vk_err_set(err, VK_INVALID, "boat %s: its builder is unknown", boat);
	if (rc == 0)
		ret->why =
			vk_asprintf("builder: of %s", vk_json_str(in->doc, "file", "vikingfile"));
	return rc;
}

/* ---- what the stack says ---- */

static int choose_setting(
	const struct packs_in *in, bool *ret_said, struct packs_choice *ret, struct vk_err *err)
{
	bool url = in->url != NULL && in->url[0] != '\0';
	*ret_said = url || json_array_size(in->list) > 0;
	if (!*ret_said)
		return 0;
	int rc = url ? choose_one(in, in->url, ret, err) : choose_fast(in, in->list, ret, err);
	if (rc != 0 && url)
		vk_err_wrap(err, "config BUILDPACK_URL");
	if (rc == 0)
		ret->why = url
			? vk_asprintf("config BUILDPACK_URL; otherwise: viking config:unset "
				      "%s BUILDPACK_URL",
				  in->stack)
			: vk_asprintf("buildpacks:set; otherwise: viking buildpacks:clear %s",
				  in->stack);
	return rc;
}

/* ---- what the commit has ---- */

struct files {
	const json_t *signals;
	bool dockerfile, project, inline_pack;
	const json_t *list;
	const char *own;
};

static struct files files_of(const json_t *doc, const json_t *recipe)
{
	const json_t *s = json_object_get(recipe, "signals");
	if (s == NULL)
		s = json_object_get(doc, "signals");
	return (struct files){
		.signals = s,
		.dockerfile = vk_json_bool(s, "dockerfile", false),
		.project = vk_json_bool(s, "project_toml", false),
		.inline_pack = vk_json_bool(s, "inline", false),
		.list = json_object_get(s, "buildpacks"),
		.own = vk_json_str(s, "own", ""),
	};
}

static int nothing_found(
	const struct files *f, const char *boat, const char *stack, struct vk_err *err)
{
	vk_autobuf b = VK_BUF_INIT(700);
	size_t i;
	json_t *name;
	json_array_foreach(
		json_object_get(f->signals, "looked_for"), i, name) if (json_is_string(name))(void)
		vk_buf_addf(&b, "%s%s", i > 0 ? ", " : "", json_string_value(name));
	vk_err_set(err, VK_INVALID, "%s: nothing says how to build it; looked for %s", boat,
		b.len > 0 ? vk_buf_str(&b) : "a Dockerfile, .buildpacks, package.json and others");
	vk_err_hint(err,
		"add a Procfile (web: COMMAND) beside your code, or a Dockerfile, or: viking "
		"buildpacks:set %s URL",
		stack);
	return VK_INVALID;
}

static int choose_files(const struct packs_in *in, const char *boat, const struct files *f,
	struct packs_choice *ret, struct vk_err *err)
{
	const char *why;
	int rc = 0;
	if (f->project && in->cfg->builder_cnb[0] != '\0') {
		why = "project.toml";
		rc = choose_cnb(in, boat, in->cfg->builder_cnb, ret, err);
	} else if (json_array_size(f->list) > 0) {
		why = ".buildpacks";
		rc = choose_fast(in, f->list, ret, err);
	} else if (f->inline_pack) {
		why = "bin/detect and bin/compile";
		rc = choose_one(in, "inline", ret, err);
		free(ret->what);
		ret->what = vk_strdup("with its own scripts");
	} else if (vk_pack_is_own(f->own)) {
		why = "its files";
		choose_own(ret, f->own);
	} else {
		return nothing_found(f, boat, in->stack, err);
	}
	if (rc != 0) {
		vk_err_wrap(err, "%s", why);
		return rc;
	}
	ret->why = vk_asprintf("%s; other: viking buildpacks:set %s URL, builder: in a vikingfile, "
			       "or a Dockerfile",
		why, in->stack);
	return 0;
}

static int choose_dockerfile(const struct packs_in *in, const json_t *recipe, const struct files *f,
	struct packs_choice *ret)
{
	bool inlined = json_is_string(json_object_get(recipe, "inline"));
	bool more = f->project || f->inline_pack || json_array_size(f->list) > 0 ||
		(f->own[0] != '\0' && strcmp(f->own, "static") != 0);
	ret->what = vk_asprintf("from %s",
		inlined ? vk_json_str(in->doc, "file", "vikingfile")
			: vk_json_str(recipe, "dockerfile", "Dockerfile"));
	if (packs_implied(in->doc) && more)
		ret->why = vk_asprintf(
			"its Dockerfile comes first; other: viking buildpacks:set %s %s", in->stack,
			f->own[0] != '\0' ? f->own : "URL");
	return 0;
}

int packs_choose(
	const struct packs_in *in, const char *boat, struct packs_choice *ret, struct vk_err *err)
{
	const json_t *recipe = json_object_get(json_object_get(in->doc, "boats"), boat);
	const json_t *builder = json_object_get(recipe, "builder");
	const char *type = vk_json_str(builder, "type", "");
	struct packs_choice c = {0};
	struct files f = files_of(in->doc, recipe);
	bool open = packs_implied(in->doc) || strcmp(type, "auto") == 0, said = false;
	int rc = open ? choose_setting(in, &said, &c, err) : 0;
	if (rc == 0 && !said) {
		if (json_is_object(builder) && strcmp(type, "auto") != 0)
			rc = choose_named(in, boat, builder, &c, err);
		else if (!json_is_object(builder) || f.dockerfile)
			rc = choose_dockerfile(in, recipe, &f, &c);
		else
			rc = choose_files(in, boat, &f, &c, err);
	}
	if (rc != 0) {
		packs_choice_release(&c);
		return rc;
	}
	*ret = c;
	return 0;
}
