#include "pack_result.h"

#include <stdio.h>
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "procfile.h"
#include "release_yaml.h"
#include "untar.h"

#define PACKS_SHOWN 32

static void one_line(const struct untar_file *f, char *out, size_t max)
{
	const char *nl = memchr(f->data, '\n', f->n);
	vk_str_printable(f->data, nl != NULL ? (size_t)(nl - f->data) : f->n, out, max);
}

static json_t *lines(const struct untar_file *f)
{
	json_t *a = json_array();
	for (size_t at = 0; at < f->n && json_array_size(a) < PACKS_SHOWN;) {
		const char *nl = memchr(f->data + at, '\n', f->n - at);
		size_t len = nl != NULL ? (size_t)(nl - f->data) - at : f->n - at;
		char text[201];
		vk_str_printable(f->data + at, len, text, sizeof(text));
		if (text[0] != '\0')
			json_array_append_new(a, vk_json_safe_string(text, strlen(text)));
		at += len + 1;
	}
	return a;
}

static int take_release(struct pack_result *r, const struct untar_file *f, struct vk_err *err)
{
	struct release_yaml y;
	int code = release_yaml_parse(f->data, f->n, &y, err);
	if (code != 0) {
		vk_err_wrap(err, "what bin/release of the last buildpack prints");
		vk_err_hint(err, "it has to be YAML like  default_process_types: {web: COMMAND}");
		return code;
	}
	r->config_vars = y.config_vars;
	if (r->processes == NULL)
		r->processes = y.processes;
	else
		json_decref(y.processes);
	return 0;
}

static int take_procfile(struct pack_result *r, const struct untar_file *f, struct vk_err *err)
{
	json_t *processes = NULL;
	int code = procfile_parse(f->data, f->n, &processes, err);
	if (code != 0)
		return code;
	json_decref(r->processes); /* of bin/release: the Procfile comes before it */
	r->processes = processes;
	r->from_procfile = true;
	return 0;
}

static int take(struct pack_result *r, const struct untar_file *f, struct vk_err *err)
{
	if (strcmp(f->name, "at") == 0)
		one_line(f, r->at, sizeof(r->at));
	else if (strcmp(f->name, "failed") == 0)
		one_line(f, r->failed, sizeof(r->failed));
	else if (strcmp(f->name, "packs") == 0 && r->packs == NULL)
		r->packs = lines(f);
	else if (strcmp(f->name, "release") == 0 && r->config_vars == NULL)
		return take_release(r, f, err);
	else if (strcmp(f->name, "Procfile") == 0 && !r->from_procfile)
		return take_procfile(r, f, err);
	return 0;
}

int pack_result_read(const char *tar, size_t n, struct pack_result *ret, struct vk_err *err)
{
	struct vk_err own = {0};
	struct pack_result r = {0};
	struct untar_file f;
	size_t at = 0;
	int code = 0;
	while (code == 0 && (code = untar_next(tar, n, &at, &f, &own)) == 0)
		code = take(&r, &f, &own);
	if (code != VK_NOTFOUND) {
		pack_result_release(&r);
		if (err != NULL)
			*err = own;
		return code;
	}
	if (r.processes == NULL)
		r.processes = json_object();
	if (r.packs == NULL)
		r.packs = json_array();
	if (r.config_vars == NULL)
		r.config_vars = json_object();
	*ret = r;
	return 0;
}

void pack_result_release(struct pack_result *r)
{
	json_decref(r->processes);
	json_decref(r->packs);
	json_decref(r->config_vars);
	*r = (struct pack_result){0};
}

/* "NAME PHASE STATUS": the three words, as far as they are there. */
static void split(const char *line, char name[static 120], char phase[static 20], long *status)
{
	const char *space = strchr(line, ' '),
		   *second = space != NULL ? strchr(space + 1, ' ') : NULL;
	uint64_t v = 0;
	size_t n = space != NULL ? (size_t)(space - line) : strlen(line);
	snprintf(name, 120, "%.*s", (int)(n < 119 ? n : 119), line);
	if (space != NULL)
		snprintf(phase, 20, "%.*s",
			(int)(second != NULL && second - space - 1 < 19 ? second - space - 1 : 19),
			space + 1);
	if (second != NULL && vk_parse_u64(second + 1, 0, 255, &v) == 0)
		*status = (long)v;
}

static void ended_by_us(const char *name, const char *phase, struct vk_err *err)
{
	if (*name == '\0')
		return;
	vk_err_wrap(err, "buildpack %s was at its %s", name, *phase != '\0' ? phase : "work");
}

int pack_result_explain(const struct pack_result *r, int status, const struct limits *l,
	const struct limit_signs *signs, struct vk_err *err)
{
	char name[120] = "", phase[20] = "";
	long script = -1;
	split(r->failed[0] != '\0' ? r->failed : r->at, name, phase, &script);
	if (status < 0) {
		ended_by_us(name, phase, err);
		if (err->code == VK_TIMEOUT) /* a fork bomb leaves no room to fail earlier */
			limits_explain(l, signs, err);
		return err->code;
	}
	if (status == PACK_EXIT_OPEN)
		return vk_err_set(err, VK_INTERNAL,
			"the build's network could not be closed to this host: see the line above");
	if (status == PACK_EXIT_NONE) {
		vk_err_set(err, VK_FAILED, "build failed: no buildpack takes this application");
		return vk_err_hint(
			err, "name one: builder: in the vikingfile, or viking buildpacks:add");
	}
	if (status == PACK_EXIT_FETCH) {
		vk_err_set(err, VK_FAILED,
			"build failed: buildpack %s could not be fetched, or is none", name);
		return vk_err_hint(
			err, "see the lines above; builds reach the internet, not this host");
	}
	if (status == PACK_EXIT_DETECT) {
		vk_err_set(err, VK_FAILED,
			"build failed: buildpack %s does not take this application: bin/detect "
			"ended "
			"with status %ld",
			name, script);
		return vk_err_hint(err,
			"choose another: builder: in the vikingfile, or viking buildpacks:set");
	}
	if (status == PACK_EXIT_COMPILE || status == PACK_EXIT_RELEASE)
		vk_err_set(err, VK_FAILED,
			"build failed: buildpack %s: bin/%s ended with status %ld", name, phase,
			script);
	else
		vk_err_set(err, VK_FAILED, "build failed%s%s%s%s: the build ended with status %d",
			*name != '\0' ? ": buildpack " : "", name, *phase != '\0' ? " at " : "",
			phase, status);
	vk_err_hint(err,
		"the lines above are the buildpack's own; with config:set "
		"BUILDPACK_XTRACE=1 many say more");
	limits_explain(l, signs, err);
	return VK_FAILED;
}

void pack_result_vars(const json_t *config_vars, struct vk_buf *out)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)config_vars, name, value)
	{
		vk_autofree char *quoted = vk_shell_quote(json_string_value(value));
		vk_buf_addf(
			out, "[ -n \"${%s-}\" ] || %s=%s\nexport %s\n", name, name, quoted, name);
	}
}
