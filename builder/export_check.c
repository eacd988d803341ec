/* `check`: everything about a commit that can be told before anything is built. */
#include <stdio.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "dockerfile.h"
#include "export.h"

#define LFS_POINTER_MAX 1024 /* as the specification has it */

static const char lfs_head[] = "version https://git-lfs.github.com/spec/v1";

struct survey {
	struct tree_store *store;
	const struct vk_config *config;
	uint64_t files, bytes;
	uint64_t pointers; /* LFS */
	char *pointer;     /* the first of them */
};

static int look_for_pointer(
	struct survey *s, const struct tree_entry *e, uint64_t size, struct vk_err *err)
{
	if (size < sizeof(lfs_head) - 1 || size > LFS_POINTER_MAX)
		return 0;
	git_odb_object *o = NULL;
	int rc = tree_read_blob(s->store, &e->oid, LFS_POINTER_MAX, &o, err);
	if (rc != 0)
		return rc;
	const char *data = git_odb_object_data(o);
	size_t n = sizeof(lfs_head) - 1;
	if (memcmp(data, lfs_head, n) == 0 && (size == n || data[n] == '\n' || data[n] == '\r')) {
		if (s->pointer == NULL)
			s->pointer = vk_strdup(e->path);
		s->pointers++;
	}
	git_odb_object_free(o);
	return 0;
}

static int too_large(const struct tree_entry *e, const char *what, uint64_t have, uint64_t most,
	const char *setting, struct vk_err *err)
{
	char a[24], b[24];
	vk_format_size(have, a);
	vk_format_size(most, b);
	return vk_err_set(err, VK_LIMIT, "%.200s: %s %s, over the limit of %s (%s)", e->path, what,
		a, b, setting);
}

static int survey_entry(void *arg, const struct tree_entry *e, struct vk_err *err)
{
	struct survey *s = arg;
	uint64_t size;
	if (e->kind == TREE_DIR)
		return 0;
	if (e->kind == TREE_SUBMODULE) {
		vk_err_set(err, VK_INVALID,
			"%.200s is a submodule: its files are no part of this push", e->path);
		return vk_err_hint(err,
			"commit the files themselves: git rm --cached %.200s, then git add",
			e->path);
	}
	int rc = tree_blob_size(s->store, &e->oid, &size, err);
	if (rc != 0)
		return vk_err_wrap(err, "%s", e->path);
	s->files++;
	s->bytes += size;
	if (e->kind == TREE_LINK && size > TREE_LINK_MAX)
		return vk_err_set(err, VK_INVALID,
			"%.200s: the target of a symbolic link is too long", e->path);
	if (size > s->config->object_max)
		return too_large(
			e, "a file of", size, s->config->object_max, "receive.max_object", err);
	if (s->bytes > s->config->tree_bytes_max)
		return too_large(e, "up to here the commit has", s->bytes,
			s->config->tree_bytes_max, "receive.max_bytes", err);
	return e->kind == TREE_LINK ? 0 : look_for_pointer(s, e, size, err);
}

static int survey(
	struct export *x, struct export_tree_files *t, struct survey *s, struct vk_err *err)
{
	const struct tree_limits limits = {
		.depth = x->config->tree_depth_max, .files = x->config->tree_files_max};
	*s = (struct survey){.store = t->store, .config = x->config};
	int rc = tree_walk(t->store, &t->root, &limits, survey_entry, s, err);
	if (rc != 0 || s->pointers == 0)
		return rc;
	vk_err_set(err, VK_INVALID,
		"%.200s%s a Git LFS pointer: the file itself is no part of this push", s->pointer,
		s->pointers > 1 ? " and others are each" : " is");
	return vk_err_hint(err, "git lfs migrate export --include=\"%.200s\"", s->pointer);
}

/* The manifest's name in the root, or NULL; two at once are one too many. */
static int find_manifest(struct export_tree_files *t, const char **ret, struct vk_err *err)
{
	const char *found = NULL;
	for (size_t i = 0; manifest_names[i] != NULL; i++) {
		struct tree_entry e;
		if (tree_find(t->store, &t->root, manifest_names[i], &e, NULL) != 0)
			continue;
		if (found != NULL)
			return vk_err_set(err, VK_INVALID,
				"both %s and %s are in the root: keep one", found,
				manifest_names[i]);
		found = manifest_names[i];
	}
	*ret = found;
	return 0;
}

static int read_manifest(struct export_tree_files *t, struct manifest_opts *o,
	struct manifest **ret, struct vk_err *err)
{
	int rc = find_manifest(t, &o->file, err);
	if (rc != 0)
		return rc;
	struct manifest_files files = export_files_of_tree(t);
	if (o->file != NULL) {
		vk_autobuf text = VK_BUF_INIT(MANIFEST_MAX + 1);
		rc = files.read(files.arg, o->file, &text, err);
		return rc == 0 ? manifest_parse(vk_buf_str(&text), text.len, o, ret, err) : rc;
	}
	struct tree_entry e;
	o->file = tree_find(t->store, &t->root, "Dockerfile", &e, NULL) == 0 ? "Dockerfile" : "";
	*ret = manifest_default(o);
	return 0;
}

static int check_tree(
	struct export *x, struct export_tree_files *t, json_t **ret, struct vk_err *err)
{
	struct survey s;
	struct manifest_opts o = {.stack = x->stack, .registry = x->registry};
	struct manifest *m = NULL;
	struct manifest_files files = export_files_of_tree(t);
	int rc = survey(x, t, &s, err);
	vk_autofree char *pointer __attribute__((unused)) = s.pointer; /* freed here */
	if (rc == 0)
		rc = read_manifest(t, &o, &m, err);
	if (rc == 0)
		rc = manifest_resolve(m, &files, err);
	if (rc == 0) {
		json_t *doc = manifest_doc(m);
		char hex[GIT_OID_HEXSZ + 1];
		git_oid_tostr(hex, sizeof(hex), &t->root);
		json_object_set_new(doc, "commit", json_string(x->commit));
		json_object_set_new(doc, "tree", json_string(hex));
		json_object_set_new(doc, "files", json_integer((json_int_t)s.files));
		json_object_set_new(doc, "bytes", json_integer((json_int_t)s.bytes));
		*ret = json_incref(doc);
	}
	manifest_free(m);
	return rc;
}

int export_check(struct export *x, struct vk_err *err)
{
	static const struct export_limits limits = {
		.deadline_s = 10, .cpu_s = 12, .memory = 3ull << 30};
	const char *repo = x->repo != NULL ? x->repo : ".";
	struct export_tree_files t = {0};
	if (x->commit == NULL)
		x->commit = x->path;
	if (x->commit == NULL)
		return vk_err_set(err, VK_USAGE, "check needs --commit");
	int rc = *x->stack != '\0' ? vk_stack_name(x->stack, err) : 0;
	if (rc == 0)
		rc = export_confine(x, &limits, repo, x->quarantine, NULL, err);
	if (rc == 0)
		rc = tree_init(err);
	if (rc == 0)
		rc = tree_store_open(repo, x->quarantine, &t.store, err);
	if (rc == 0)
		rc = tree_of_commit(t.store, x->commit, &t.root, err);
	vk_autojson *doc = NULL;
	if (rc == 0)
		rc = check_tree(x, &t, &doc, err);
	if (rc == 0)
		rc = export_print_json(doc, err);
	tree_store_free(t.store);
	return rc;
}
