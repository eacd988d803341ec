#include "signals.h"

#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "buildpacks_file.h"
#include "procfile.h"

/* In the order in which our packs are tried: as elsewhere in the field, the language of the pages' assets
 * (package.json) before that of the server only if it stands in the root. */
static const struct own_signal {
	const char *pack;
	const char *files[8];
} own_signals[] = {
	{"node", {"package.json"}},
	{"python",
		{"requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "manage.py", "app.py",
			"main.py"}},
	{"php", {"composer.json", "index.php"}},
	{"go", {"go.mod"}},
	{"static", {"index.html", "public/index.html", "static.json", ".static"}},
	{"procfile", {"Procfile"}},
};

static char *in_dir(const char *dir, const char *name)
{
	return strcmp(dir, ".") == 0 ? vk_strdup(name) : vk_asprintf("%s/%s", dir, name);
}

/* Also true for what is no regular file: whoever reads it says what is wrong. */
static bool there(const struct manifest_files *files, const char *dir, const char *name)
{
	vk_autofree char *path = in_dir(dir, name);
	vk_autobuf some = VK_BUF_INIT(1);
	return files->read(files->arg, path, &some, NULL) != VK_NOTFOUND &&
		!files->is_dir(files->arg, path);
}

static const char *own_pack(const struct manifest_files *files, const char *dir)
{
	for (size_t i = 0; i < VK_COUNT(own_signals); i++)
		for (size_t j = 0; own_signals[i].files[j] != NULL; j++)
			if (there(files, dir, own_signals[i].files[j]))
				return own_signals[i].pack;
	return "";
}

static json_t *looked_for(void)
{
	json_t *list = json_pack("[s,s,s,s]", "Dockerfile", "project.toml", ".buildpacks",
		"bin/detect and bin/compile");
	for (size_t i = 0; i < VK_COUNT(own_signals); i++)
		for (size_t j = 0; own_signals[i].files[j] != NULL; j++)
			json_array_append_new(list, json_string(own_signals[i].files[j]));
	return list;
}

typedef int parse_fn(const char *text, size_t n, json_t **ret, struct vk_err *err);

/* Not there: *ret stays as it was. */
static int read_small(const struct manifest_files *files, const char *dir, const char *name,
	size_t max, parse_fn *parse, json_t **ret, struct vk_err *err)
{
	vk_autofree char *path = in_dir(dir, name);
	vk_autobuf text = VK_BUF_INIT(max + 1);
	int rc = files->read(files->arg, path, &text, err);
	if (rc == VK_NOTFOUND)
		return 0;
	return rc == 0 ? parse(vk_buf_str(&text), text.len, ret, err) : rc;
}

static int read_packs(
	const struct manifest_files *files, const char *dir, json_t **ret, struct vk_err *err)
{
	return read_small(files, dir, ".buildpacks", BUILDPACKS_BYTES, buildpacks_parse, ret, err);
}

static int read_processes(
	const struct manifest_files *files, const char *dir, json_t **ret, struct vk_err *err)
{
	return read_small(files, dir, "Procfile", PROCFILE_MAX, procfile_parse, ret, err);
}

static json_t *all(
	const struct manifest_files *files, const char *dir, json_t *packs, json_t *processes)
{
	json_t *s = json_pack("{s:b, s:b, s:b, s:s, s:o}", "dockerfile",
		there(files, dir, "Dockerfile"), "project_toml", there(files, dir, "project.toml"),
		"inline", there(files, dir, "bin/detect") && there(files, dir, "bin/compile"),
		"own", own_pack(files, dir), "looked_for", looked_for());
	json_object_set_new(s, "buildpacks", packs != NULL ? json_incref(packs) : json_array());
	json_object_set_new(
		s, "procfile", processes != NULL ? json_incref(processes) : json_null());
	return s;
}

int signals_read(
	const struct manifest_files *files, const char *dir, json_t **ret, struct vk_err *err)
{
	vk_autojson *packs = NULL, *processes = NULL;
	int rc = read_packs(files, dir, &packs, err);
	if (rc == 0)
		rc = read_processes(files, dir, &processes, err);
	if (rc == 0)
		*ret = all(files, dir, packs, processes);
	return rc;
}

json_t *signals_try(const struct manifest_files *files, const char *dir, json_t *notices)
{
	vk_autojson *packs = NULL, *processes = NULL;
	struct vk_err err = {0};
	if (read_packs(files, dir, &packs, &err) != 0)
		json_array_append_new(notices, vk_json_safe_string(err.msg, strlen(err.msg)));
	if (read_processes(files, dir, &processes, &err) != 0)
		json_array_append_new(notices, vk_json_safe_string(err.msg, strlen(err.msg)));
	return all(files, dir, packs, processes);
}

bool signals_any(const json_t *s)
{
	return vk_json_bool(s, "dockerfile", false) || vk_json_bool(s, "project_toml", false) ||
		vk_json_bool(s, "inline", false) || *vk_json_str(s, "own", "") != '\0' ||
		json_array_size(json_object_get(s, "buildpacks")) > 0;
}
