/* `file` and `dockerfile`: the same parsers for a person at a work tree. */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/str.h>

#include "dockerfile.h"
#include "export.h"
#include "signals.h"

static const struct export_limits limits = {.deadline_s = 10, .cpu_s = 12, .memory = 1ull << 30};

/* PATH may be a directory: then what a push of it would find. */
static int choose_file(const char *path, char **ret_dir, char **ret_name, struct vk_err *err)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return vk_err_set(err, VK_NOTFOUND, "there is no file %s", path);
	if (!S_ISDIR(st.st_mode)) {
		vk_autofree char *a = vk_strdup(path), *b = vk_strdup(path);
		*ret_dir = vk_strdup(dirname(a));
		*ret_name = vk_strdup(basename(b));
		return 0;
	}
	for (size_t i = 0; manifest_names[i] != NULL; i++) {
		vk_autofree char *full = vk_asprintf("%s/%s", path, manifest_names[i]);
		if (!vk_fs_exists(full))
			continue;
		*ret_dir = vk_strdup(path);
		*ret_name = vk_strdup(manifest_names[i]);
		return 0;
	}
	vk_autofree char *full = vk_asprintf("%s/Dockerfile", path);
	*ret_dir = vk_strdup(path);
	*ret_name = vk_strdup(vk_fs_exists(full) ? "Dockerfile" : "");
	return 0;
}

static int load(const struct manifest_files *files, const struct manifest_opts *o,
	struct manifest **ret, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(MANIFEST_MAX + 1);
	if (*o->file == '\0' || strcmp(o->file, "Dockerfile") == 0) {
		*ret = manifest_default(o);
		return 0;
	}
	int rc = files->read(files->arg, o->file, &text, err);
	return rc == 0 ? manifest_parse(vk_buf_str(&text), text.len, o, ret, err) : rc;
}

/* -- the explanation ------------------------------------------------------------------------- */

static void say_list(const json_t *list, const char *before)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item)
		printf("%s%s", i == 0 ? before : " ", json_string_value(item));
}

/* What the files here speak for; the host's settings of the stack come before them. */
static void say_auto(const json_t *s)
{
	const json_t *packs = json_object_get(s, "buildpacks");
	if (vk_json_bool(s, "dockerfile", false))
		printf("Dockerfile");
	else if (json_array_size(packs) > 0)
		printf("%zu buildpacks of .buildpacks", json_array_size(packs));
	else if (vk_json_bool(s, "inline", false))
		printf("the application's own bin/compile");
	else
		printf("buildpack %s", vk_json_str(s, "own", ""));
	if (vk_json_bool(s, "project_toml", false))
		printf(" (project.toml, if the host has a builder for it)");
}

static void say_recipe(const json_t *doc, const json_t *boat)
{
	const json_t *builder = json_object_get(boat, "builder"),
		     *own = json_object_get(boat, "signals");
	const char *type = vk_json_str(builder, "type", ""),
		   *file = vk_json_str(boat, "dockerfile", "inline Dockerfile");
	if (strcmp(type, "auto") == 0)
		say_auto(own != NULL ? own : json_object_get(doc, "signals"));
	else if (strcmp(type, "packs") == 0)
		say_list(json_object_get(builder, "packs"), "buildpacks ");
	else if (*type != '\0')
		printf("builder %s",
			vk_json_str(builder, "pack", vk_json_str(builder, "image", "")));
	else
		printf("%s", file);
}

static void say_boat(const json_t *doc, const char *name, const json_t *boat)
{
	printf("       %-12s ", name);
	say_recipe(doc, boat);
	printf(", context %s", vk_json_str(boat, "context", "."));
	say_list(json_object_get(boat, "refs"), ", uses ");
	printf("\n");
}

static void say_ports(const json_t *node)
{
	size_t i;
	json_t *port;
	json_array_foreach(json_object_get(node, "expose"), i, port)
		printf("%s%d%s", i == 0 ? ", port " : " ", (int)vk_json_int(port, "port", 0),
			strcmp(vk_json_str(port, "proto", ""), "udp") == 0 ? "/udp" : "");
	json_array_foreach(json_object_get(node, "volumes"), i, port)
		printf("%s%s", i == 0 ? ", volume " : " ", vk_json_str(port, "path", ""));
}

static void say_node(const char *name, const json_t *node)
{
	const char *boat = vk_json_str(node, "boat", ""), *image = vk_json_str(node, "image", "");
	printf("       %-12s ", name);
	if (strcmp(vk_json_str(node, "type", ""), "website") == 0)
		printf("website from %s", vk_json_str(node, "document_root", ""));
	else if (*boat != '\0')
		printf("boat %s, scale %d", boat, (int)vk_json_int(node, "scale", 1));
	else
		printf("image %s%s, scale %d", *image != '\0' ? "" : "viking:",
			*image != '\0' ? image : vk_json_str(node, "from", ""),
			(int)vk_json_int(node, "scale", 1));
	if (vk_json_bool(node, "service", false))
		printf(", service (a push leaves it alone)");
	say_ports(node);
	say_list(json_object_get(node, "domains"), ", domains ");
	printf("\n");
}

static void explain(const json_t *doc)
{
	const char *name = vk_json_str(doc, "name", "");
	json_t *item;
	size_t i;
	const char *file = vk_json_str(doc, "file", "");
	printf("-----> %s is valid%s%s\n", *file != '\0' ? file : "The repository",
		*name != '\0' ? ": stack " : "", name);
	if (json_object_size(json_object_get(doc, "boats")) > 0)
		printf("-----> Boats (images that are built)\n");
	json_object_foreach(json_object_get(doc, "boats"), name, item) say_boat(doc, name, item);
	if (json_object_size(json_object_get(doc, "nodes")) > 0)
		printf("-----> Nodes (what runs)\n");
	json_object_foreach(json_object_get(doc, "nodes"), name, item) say_node(name, item);
	json_array_foreach(json_object_get(doc, "notices"), i, item)
		printf(" !     %s\n", json_string_value(item));
}

/* Every boat that is built from what is there needs something to be there. */
static int check_auto(const json_t *doc, struct vk_err *err)
{
	const char *name;
	json_t *boat;
	json_object_foreach(json_object_get(doc, "boats"), name, boat)
	{
		const json_t *own = json_object_get(boat, "signals");
		const json_t *s = own != NULL ? own : json_object_get(doc, "signals");
		if (strcmp(vk_json_str(json_object_get(boat, "builder"), "type", ""), "auto") !=
				0 ||
			signals_any(s))
			continue;
		vk_autobuf list = VK_BUF_INIT(1024);
		size_t i;
		json_t *item;
		json_array_foreach(json_object_get(s, "looked_for"), i, item)
			vk_buf_addf(&list, "%s%s", i == 0 ? "" : ", ", json_string_value(item));
		vk_err_set(err, VK_INVALID,
			"nothing here says how to build %s: looked for a vikingfile, %s", name,
			vk_buf_str(&list));
		return vk_err_hint(err, "add a Dockerfile, or a Procfile with a line web: COMMAND");
	}
	return 0;
}

static int show(const struct export *x, const json_t *doc, struct vk_err *err)
{
	if (x->json && !x->print)
		return export_print_json(doc, err);
	if (!x->print) {
		int rc = check_auto(doc, err);
		if (rc != 0)
			return rc;
		explain(doc);
		return fflush(stdout) == 0
			? 0
			: vk_err_set(err, VK_INTERNAL, "standard output cannot be written");
	}
	if (x->json)
		return export_print_json(doc, err);
	vk_autobuf out = VK_BUF_INIT(4 << 20);
	int rc = manifest_print(doc, &out, err);
	return rc == 0 ? vk_write_all(STDOUT_FILENO, vk_buf_str(&out), out.len, err) : rc;
}

int export_file(struct export *x, struct vk_err *err)
{
	vk_autofree char *dir = NULL, *name = NULL;
	struct manifest *m = NULL;
	int rc = choose_file(x->path != NULL ? x->path : ".", &dir, &name, err);
	if (rc == 0)
		rc = export_confine(x, &limits, dir, NULL, NULL, err);
	if (rc != 0)
		return rc;
	struct manifest_opts o = {.file = name, .stack = x->stack, .registry = x->registry};
	struct manifest_files files = export_files_of_dir(dir);
	rc = load(&files, &o, &m, err);
	if (rc == 0)
		rc = manifest_resolve(m, &files, err);
	if (rc == 0)
		rc = show(x, manifest_doc(m), err);
	manifest_free(m);
	return rc;
}

/* -- dockerfile ------------------------------------------------------------------------------ */

static int json_option(const char *text, const char *option, json_t **ret, struct vk_err *err)
{
	if (text == NULL) {
		*ret = json_object();
		return 0;
	}
	if (vk_json_parse(text, strlen(text), ret, err) != 0 || !json_is_object(*ret))
		return vk_err_set(err, VK_USAGE, "%s needs a JSON object", option);
	return 0;
}

static int show_dockerfile(const struct export *x, const struct dockerfile *d,
	const struct vk_buf *text, const json_t *refs, struct vk_err *err)
{
	vk_autobuf out = VK_BUF_INIT(2 * DOCKERFILE_MAX);
	int rc = dockerfile_rewrite(d, vk_buf_str(text), text->len, refs, x->registry, &out, err);
	if (rc != 0)
		return rc;
	if (!x->json && x->rewrite)
		return vk_write_all(STDOUT_FILENO, vk_buf_str(&out), out.len, err);
	vk_autojson *j = json_object();
	json_object_set_new(j, "images", dockerfile_images(d, refs));
	json_object_set_new(j, "boats", dockerfile_boats(d));
	json_object_set_new(j, "dockerfile", vk_json_safe_string(vk_buf_str(&out), out.len));
	if (x->json)
		return export_print_json(j, err);
	printf("-----> %s is valid\n", x->path);
	say_list(json_object_get(j, "images"), "       images ");
	say_list(json_object_get(j, "boats"), "       boats ");
	printf("\n");
	return fflush(stdout) == 0
		? 0
		: vk_err_set(err, VK_INTERNAL, "standard output cannot be written");
}

int export_dockerfile(struct export *x, struct vk_err *err)
{
	vk_autojson *refs = NULL, *args = NULL;
	vk_autobuf text = VK_BUF_INIT(DOCKERFILE_MAX + 1);
	struct dockerfile *d = NULL;
	if (x->path == NULL)
		return vk_err_set(err, VK_USAGE, "dockerfile needs a file");
	int rc = json_option(x->refs, "--refs", &refs, err);
	if (rc == 0)
		rc = json_option(x->args, "--args", &args, err);
	if (rc == 0)
		rc = export_confine(x, &limits, x->path, NULL, NULL, err);
	if (rc == 0)
		rc = vk_fs_read(x->path, &text, err);
	struct dockerfile_opts o = {.file = x->path, .args = args, .registry = x->registry};
	if (rc == 0)
		rc = dockerfile_scan(vk_buf_str(&text), text.len, &o, &d, err);
	if (rc == 0)
		rc = show_dockerfile(x, d, &text, refs, err);
	dockerfile_free(d);
	return rc;
}
