#include "pack_template.h"

#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#define DEPTH_MAX 8

struct expansion {
	const struct manifest_files *files;
	const char *dir;
	json_t *package; /* package.json, when it was asked for; json null = there is none */
	struct {
		bool holds, outer; /* does the branch hold; were we writing outside of it */
	} open[DEPTH_MAX];
	size_t depth;
	bool writing;
};

static char *path_of(const struct expansion *x, const char *name)
{
	return strcmp(x->dir, ".") == 0 ? vk_strdup(name) : vk_asprintf("%s/%s", x->dir, name);
}

static bool file_there(const struct expansion *x, const char *name)
{
	vk_autofree char *path = path_of(x, name);
	vk_autobuf some = VK_BUF_INIT(1);
	return x->files->is_dir(x->files->arg, path) ||
		x->files->read(x->files->arg, path, &some, NULL) != VK_NOTFOUND;
}

static int read_package(struct expansion *x, struct vk_err *err)
{
	vk_autofree char *path = path_of(x, "package.json");
	vk_autobuf text = VK_BUF_INIT(PACKAGE_JSON_MAX + 1);
	if (x->package != NULL)
		return 0;
	int rc = x->files->read(x->files->arg, path, &text, err);
	if (rc == VK_NOTFOUND) {
		x->package = json_null();
		return 0;
	}
	if (rc == 0)
		rc = vk_json_parse_max(
			vk_buf_str(&text), text.len, PACKAGE_JSON_MAX, &x->package, err);
	if (rc == 0 && !json_is_object(x->package))
		rc = vk_err_set(err, VK_INVALID, "it is no object");
	return rc != 0 ? vk_err_wrap(err, "%s", path) : 0;
}

static bool value_begins(json_t *object, const char *begin)
{
	const char *key;
	json_t *value;
	json_object_foreach(object, key, value) if (json_is_string(value) &&
		vk_starts(json_string_value(value), begin)) return true;
	return false;
}

/* "KEY[.KEY][=BEGIN]" */
static bool key_there(json_t *j, const char *keys)
{
	while (j != NULL && *keys != '\0') {
		size_t n = strcspn(keys, ".=");
		if (n == 0)
			return value_begins(j, keys + 1);
		vk_autofree char *key = vk_strndup(keys, n);
		j = json_object_get(j, key);
		keys += n + (keys[n] == '.');
	}
	return j != NULL && !json_is_null(j);
}

static int alternative_holds(struct expansion *x, const char *word, bool *ret, struct vk_err *err)
{
	bool wanted = *word != '!';
	word += !wanted;
	if (!vk_starts(word, "json:")) {
		*ret = file_there(x, word) == wanted;
		return 0;
	}
	int rc = read_package(x, err);
	if (rc == 0)
		*ret = key_there(x->package, word + 5) == wanted;
	return rc;
}

static int word_holds(struct expansion *x, char *word, bool *ret, struct vk_err *err)
{
	char *save = NULL;
	int rc = 0;
	*ret = false;
	for (char *w = strtok_r(word, "|", &save); w != NULL && !*ret && rc == 0;
		w = strtok_r(NULL, "|", &save))
		rc = alternative_holds(x, w, ret, err);
	return rc;
}

static int on_if(struct expansion *x, char *words, struct vk_err *err)
{
	char *save = NULL;
	bool holds = true;
	if (x->depth == DEPTH_MAX)
		return vk_err_set(err, VK_INTERNAL, "%%if nested too deeply");
	for (char *w = strtok_r(words, " ", &save); w != NULL && holds;
		w = strtok_r(NULL, " ", &save)) {
		int rc = word_holds(x, w, &holds, err);
		if (rc != 0)
			return rc;
	}
	x->open[x->depth].holds = holds;
	x->open[x->depth++].outer = x->writing;
	x->writing = x->writing && holds;
	return 0;
}

static int on_line(
	struct expansion *x, const char *line, size_t n, struct vk_buf *out, struct vk_err *err)
{
	if (n == 0 || line[0] != '%') {
		if (x->writing && (vk_buf_add(out, line, n) != 0 || vk_buf_addc(out, '\n') != 0))
			return vk_err_set(err, VK_LIMIT, "too long");
		return 0;
	}
	vk_autofree char *s = vk_strndup(line, n);
	if (vk_starts(s, "%if "))
		return on_if(x, s + 4, err);
	if (x->depth == 0)
		return vk_err_set(err, VK_INTERNAL, "%s without %%if", s);
	if (strcmp(s, "%else") == 0)
		x->writing = x->open[x->depth - 1].outer && !x->open[x->depth - 1].holds;
	else if (strcmp(s, "%end") == 0)
		x->writing = x->open[--x->depth].outer;
	else
		return vk_err_set(err, VK_INTERNAL, "\"%.60s\" is no word of templates", s);
	return 0;
}

int pack_template_expand(const char *text, size_t n, const struct manifest_files *files,
	const char *dir, struct vk_buf *out, struct vk_err *err)
{
	struct expansion x = {.files = files, .dir = dir, .writing = true};
	int rc = 0;
	for (size_t at = 0; at < n && rc == 0;) {
		const char *nl = memchr(text + at, '\n', n - at);
		size_t len = nl != NULL ? (size_t)(nl - text) - at : n - at;
		rc = on_line(&x, text + at, len, out, err);
		at += len + 1;
	}
	if (rc == 0 && x.depth > 0)
		rc = vk_err_set(err, VK_INTERNAL, "%%if without %%end");
	json_decref(x.package);
	return rc;
}
