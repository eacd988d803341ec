#include "tree.h"

#include <git2/sys/odb_backend.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/str.h>

#define COMMIT_MAX      (1024 * 1024)
#define TREE_OBJECT_MAX (64 * 1024 * 1024)

struct tree_store {
	git_odb *odb;
};

static int git_failed(struct vk_err *err, const char *what)
{
	const git_error *e = git_error_last();
	return vk_err_set(err, VK_INVALID, "%s: %s", what,
		e != NULL && e->message != NULL ? e->message : "libgit2 failed");
}

int tree_init(struct vk_err *err)
{
	if (git_libgit2_init() < 0)
		return git_failed(err, "libgit2");
	/* git has hashed every object on its way in; doing it again is a third of the time */
	git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0);
	git_libgit2_opts(GIT_OPT_ENABLE_CACHING, 0);
	git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, (size_t)256 << 20);
	git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, (size_t)1 << 30);
	return 0;
}

/* Only these two: libgit2's own way of opening would follow info/alternates. */
static int add_objects(git_odb *odb, const char *dir, int priority, struct vk_err *err)
{
	git_odb_backend *loose = NULL, *packed = NULL;
	if (git_odb_backend_pack(&packed, dir) < 0 ||
		git_odb_add_backend(odb, packed, priority) < 0)
		return git_failed(err, dir);
	if (git_odb_backend_loose(&loose, dir, -1, 0, 0, 0) < 0 ||
		git_odb_add_backend(odb, loose, priority - 1) < 0)
		return git_failed(err, dir);
	return 0;
}

static char *objects_dir(const char *repo)
{
	char *dir = vk_asprintf("%s/objects", repo);
	if (vk_fs_exists(dir))
		return dir;
	free(dir);
	dir = vk_asprintf("%s/.git/objects", repo);
	if (vk_fs_exists(dir))
		return dir;
	free(dir);
	return NULL;
}

int tree_store_open(
	const char *repo, const char *quarantine, struct tree_store **ret, struct vk_err *err)
{
	vk_autofree char *objects = objects_dir(repo);
	if (objects == NULL)
		return vk_err_set(err, VK_NOTFOUND, "%s is no git repository", repo);
	struct tree_store *s = vk_alloc(sizeof(*s));
	int rc = git_odb_new(&s->odb) < 0 ? git_failed(err, "object store") : 0;
	if (rc == 0)
		rc = add_objects(s->odb, objects, 4, err);
	if (rc == 0 && quarantine != NULL)
		rc = add_objects(s->odb, quarantine, 2, err);
	if (rc != 0) {
		tree_store_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void tree_store_free(struct tree_store *s)
{
	if (s == NULL)
		return;
	git_odb_free(s->odb);
	free(s);
}

static int no_object(const git_oid *oid, const char *what, struct vk_err *err)
{
	return vk_err_set(err, VK_INVALID, "object %.12s (%s) cannot be read: %s",
		git_oid_tostr_s(oid), what,
		git_error_last() != NULL ? git_error_last()->message : "missing");
}

/* Type and size first: nothing is inflated that is too large or not what it should be. */
static int read_object(struct tree_store *s, const git_oid *oid, git_object_t type, uint64_t max,
	git_odb_object **ret, struct vk_err *err)
{
	const char *what = git_object_type2string(type);
	size_t size;
	git_object_t found;
	if (git_odb_read_header(&size, &found, s->odb, oid) < 0)
		return no_object(oid, what, err);
	if (found != type)
		return vk_err_set(
			err, VK_INVALID, "object %.12s is no %s", git_oid_tostr_s(oid), what);
	if (size > max) {
		char have[24], most[24];
		vk_format_size(size, have);
		vk_format_size(max, most);
		return vk_err_set(
			err, VK_LIMIT, "a %s of %s, over the limit of %s", what, have, most);
	}
	if (git_odb_read(ret, s->odb, oid) < 0)
		return no_object(oid, what, err);
	return 0;
}

int tree_read_blob(struct tree_store *s, const git_oid *oid, uint64_t max, git_odb_object **ret,
	struct vk_err *err)
{
	return read_object(s, oid, GIT_OBJECT_BLOB, max, ret, err);
}

int tree_read_planned(struct tree_store *s, const git_oid *oid, uint64_t max, git_odb_object **ret,
	struct vk_err *err)
{
	git_odb_object *o = NULL;
	if (git_odb_read(&o, s->odb, oid) < 0)
		return no_object(oid, "blob", err);
	if (git_odb_object_type(o) != GIT_OBJECT_BLOB || git_odb_object_size(o) > max) {
		git_odb_object_free(o);
		return vk_err_set(err, VK_INVALID, "object %.12s is not the blob it was",
			git_oid_tostr_s(oid));
	}
	*ret = o;
	return 0;
}

int tree_blob_size(struct tree_store *s, const git_oid *oid, uint64_t *ret, struct vk_err *err)
{
	size_t size;
	git_object_t type;
	if (git_odb_read_header(&size, &type, s->odb, oid) < 0)
		return no_object(oid, "blob", err);
	if (type != GIT_OBJECT_BLOB)
		return vk_err_set(err, VK_INVALID, "object %.12s is no blob", git_oid_tostr_s(oid));
	*ret = size;
	return 0;
}

int tree_of_commit(struct tree_store *s, const char *hex, git_oid *ret, struct vk_err *err)
{
	git_oid commit;
	git_odb_object *o = NULL;
	if (!vk_is_commit(hex) || git_oid_fromstr(&commit, hex) < 0)
		return vk_err_set(
			err, VK_INVALID, "\"%.60s\" is no commit id of 40 hex digits", hex);
	int rc = read_object(s, &commit, GIT_OBJECT_COMMIT, COMMIT_MAX, &o, err);
	if (rc != 0)
		return rc;
	const char *data = git_odb_object_data(o);
	/* "tree " and 40 digits are the first line of every commit */
	if (git_odb_object_size(o) < 46 || memcmp(data, "tree ", 5) != 0 || data[45] != '\n' ||
		git_oid_fromstrn(ret, data + 5, 40) < 0)
		rc = vk_err_set(err, VK_INVALID, "commit %.12s is malformed", hex);
	git_odb_object_free(o);
	return rc;
}

/* -- entries ----------------------------------------------------------------------------------- */

static int entry_kind(const char *mode, size_t n, enum tree_kind *ret)
{
	static const struct {
		const char *mode;
		enum tree_kind kind;
	} kinds[] = {{"100644", TREE_FILE}, {"100755", TREE_EXEC}, {"40000", TREE_DIR},
		{"120000", TREE_LINK}, {"160000", TREE_SUBMODULE}, {"100664", TREE_FILE},
		{"040000", TREE_DIR}};
	for (size_t i = 0; i < VK_COUNT(kinds); i++)
		if (strlen(kinds[i].mode) == n && memcmp(kinds[i].mode, mode, n) == 0) {
			*ret = kinds[i].kind;
			return 0;
		}
	return VK_INVALID;
}

static int bad_name(const char *name, size_t len, const char *why, struct vk_err *err)
{
	char shown[128];
	vk_str_printable(name, len, shown, sizeof(shown));
	return vk_err_set(err, VK_INVALID, "the name \"%s\" %s", shown, why);
}

static int check_entry_name(const char *name, size_t len, struct vk_err *err)
{
	if (len == 0)
		return vk_err_set(err, VK_INVALID, "an entry without name");
	if (len > TREE_NAME_MAX)
		return bad_name(name, len, "is longer than 255 bytes", err);
	if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.') ||
		memchr(name, '/', len) != NULL)
		return bad_name(name, len, "is not allowed in a tree", err);
	if (len == 4 && strncasecmp(name, ".git", 4) == 0)
		return bad_name(name, len, "is not allowed in a tree", err);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return bad_name(name, len, "has a control character", err);
	return 0;
}

int tree_next_entry(const unsigned char *data, size_t n, size_t *at, const char **ret_name,
	size_t *ret_len, struct tree_entry *ret, struct vk_err *err)
{
	const char *mode = (const char *)data + *at;
	const char *blank = memchr(mode, ' ', n - *at < 8 ? n - *at : 8);
	const char *end = blank != NULL
		? memchr(blank, '\0', n - (size_t)(blank - (const char *)data))
		: NULL;
	if (end == NULL || n - (size_t)(end + 1 - (const char *)data) < GIT_OID_RAWSZ)
		return vk_err_set(err, VK_INVALID, "a tree object is malformed");
	const char *name = blank + 1;
	size_t len = (size_t)(end - name);
	int rc = check_entry_name(name, len, err);
	if (rc != 0)
		return rc;
	if (entry_kind(mode, (size_t)(blank - mode), &ret->kind) != 0) {
		char shown[16];
		vk_str_printable(mode, (size_t)(blank - mode), shown, sizeof(shown));
		bad_name(name, len, "has a mode that is not allowed", err);
		return vk_err_wrap(err, "mode %s", shown);
	}
	git_oid_fromraw(&ret->oid, (const unsigned char *)end + 1);
	*at = (size_t)(end + 1 - (const char *)data) + GIT_OID_RAWSZ;
	*ret_name = name;
	*ret_len = len;
	return 0;
}

/* -- the walk -------------------------------------------------------------------------------- */

struct level {
	git_odb_object *tree;
	size_t at;       /* in the tree's bytes */
	size_t path_len; /* of the directory, slash included */
};

struct walk {
	struct tree_store *store;
	const struct tree_limits *limits;
	tree_fn *fn;
	void *arg;
	struct level *levels;
	size_t depth;
	uint64_t entries;
	char path[TREE_PATH_MAX + 1];
};

static int push_level(struct walk *w, const git_oid *oid, size_t path_len, struct vk_err *err)
{
	if (w->depth > w->limits->depth)
		return vk_err_set(err, VK_LIMIT,
			"the tree is deeper than %llu directories (receive.max_depth)",
			(unsigned long long)w->limits->depth);
	git_odb_object *tree = NULL;
	int rc = read_object(w->store, oid, GIT_OBJECT_TREE, TREE_OBJECT_MAX, &tree, err);
	if (rc != 0)
		return rc;
	w->levels = vk_reallocarray(w->levels, w->depth + 1, sizeof(*w->levels));
	w->levels[w->depth++] = (struct level){.tree = tree, .path_len = path_len};
	return 0;
}

static int visit(struct walk *w, size_t base, const char *name, size_t len, struct tree_entry *e,
	struct vk_err *err)
{
	if (base + len > TREE_PATH_MAX)
		return vk_err_set(err, VK_LIMIT, "a path is longer than %d bytes: %.80s...",
			TREE_PATH_MAX, w->path);
	if (++w->entries > w->limits->files)
		return vk_err_set(err, VK_LIMIT,
			"more than %llu files and directories (receive.max_files)",
			(unsigned long long)w->limits->files);
	memcpy(w->path + base, name, len);
	w->path[base + len] = '\0';
	e->path = w->path;
	int rc = w->fn(w->arg, e, err);
	if (rc != 0 || e->kind != TREE_DIR)
		return rc == TREE_SKIP && e->kind == TREE_DIR ? 0 : rc;
	if (base + len + 1 > TREE_PATH_MAX)
		return vk_err_set(err, VK_LIMIT, "a path is longer than %d bytes: %.80s...",
			TREE_PATH_MAX, w->path);
	w->path[base + len] = '/';
	return push_level(w, &e->oid, base + len + 1, err);
}

static int walk_on(struct walk *w, struct vk_err *err)
{
	while (w->depth > 0) {
		struct level *l = &w->levels[w->depth - 1];
		if (l->at >= git_odb_object_size(l->tree)) {
			git_odb_object_free(l->tree);
			w->depth--;
			continue;
		}
		const char *name;
		size_t len, base = l->path_len;
		struct tree_entry e;
		w->path[base] = '\0';
		int rc = tree_next_entry(git_odb_object_data(l->tree), git_odb_object_size(l->tree),
			&l->at, &name, &len, &e, err);
		if (rc != 0 && base > 0)
			vk_err_wrap(err, "in %.*s", (int)base - 1, w->path);
		if (rc == 0)
			rc = visit(w, base, name, len, &e, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int tree_walk(struct tree_store *s, const git_oid *root, const struct tree_limits *limits,
	tree_fn *fn, void *arg, struct vk_err *err)
{
	struct walk w = {.store = s, .limits = limits, .fn = fn, .arg = arg};
	int rc = push_level(&w, root, 0, err);
	if (rc == 0)
		rc = walk_on(&w, err);
	while (w.depth > 0)
		git_odb_object_free(w.levels[--w.depth].tree);
	free(w.levels);
	return rc;
}

static int find_in(struct tree_store *s, const git_oid *tree, const char *name, size_t len,
	struct tree_entry *ret, struct vk_err *err)
{
	git_odb_object *o = NULL;
	int rc = read_object(s, tree, GIT_OBJECT_TREE, TREE_OBJECT_MAX, &o, err);
	bool found = false;
	for (size_t at = 0; rc == 0 && !found && at < git_odb_object_size(o);) {
		const char *entry;
		size_t n;
		rc = tree_next_entry(
			git_odb_object_data(o), git_odb_object_size(o), &at, &entry, &n, ret, err);
		found = rc == 0 && n == len && memcmp(entry, name, n) == 0;
	}
	git_odb_object_free(o);
	return rc == 0 && !found ? VK_NOTFOUND : rc;
}

int tree_find(struct tree_store *s, const git_oid *root, const char *path, struct tree_entry *ret,
	struct vk_err *err)
{
	struct tree_entry e = {.path = path, .kind = TREE_DIR, .oid = *root};
	for (const char *p = path; *p != '\0' && strcmp(path, ".") != 0;) {
		size_t n = strcspn(p, "/");
		git_oid dir = e.oid;
		int rc = e.kind == TREE_DIR ? find_in(s, &dir, p, n, &e, err) : VK_NOTFOUND;
		if (rc == VK_NOTFOUND)
			vk_err_set(err, VK_NOTFOUND, "there is no \"%.200s\"", path);
		if (rc != 0)
			return rc;
		p += n + (p[n] == '/');
	}
	e.path = path;
	*ret = e;
	return 0;
}
