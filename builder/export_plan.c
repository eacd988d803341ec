#include "export_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <viking/crypt.h>
#include <viking/json.h>
#include <viking/str.h>

#include "dockerfile.h"
#include "dockerignore.h"
#include "tar.h"

#define PATHS_MAX ((size_t)1 << 30)

/* While the plan is made. */
struct planner {
	struct tree_store *store;
	const git_oid *root;
	const struct plan_request *q;
	struct plan *p;
	git_oid context;
	struct dockerignore *ignore;
	const char *recipe_path; /* of the Dockerfile below the context, or NULL */
	bool recipe_kept;
	char last[TREE_PATH_MAX + 1]; /* of the entry kept before */
};

const char *plan_path(const struct plan *p, size_t i)
{
	return p->paths.data + p->v[i].path;
}

static int add_entry(
	struct plan *p, const char *path, size_t len, enum tree_kind kind, const git_oid *oid)
{
	if (p->n == p->cap) {
		p->cap = p->cap > 0 ? 2 * p->cap : 256;
		p->v = vk_reallocarray(p->v, p->cap, sizeof(*p->v));
	}
	struct plan_entry *e = &p->v[p->n];
	*e = (struct plan_entry){.path = p->paths.len, .kind = kind};
	if (oid != NULL)
		e->oid = *oid;
	int rc = vk_buf_add(&p->paths, path, len);
	if (rc == 0)
		rc = vk_buf_addc(&p->paths, '\0');
	p->n += rc == 0;
	return rc;
}

/* Directories come with the first thing kept below them, so that none stands there empty. */
static int add_parents(struct planner *pl, const char *path)
{
	size_t common = 0;
	for (size_t i = 0; path[i] != '\0' && path[i] == pl->last[i]; i++)
		if (path[i] == '/')
			common = i + 1;
	for (const char *slash = path + common; (slash = strchr(slash, '/')) != NULL; slash++) {
		int rc = add_entry(pl->p, path, (size_t)(slash - path), TREE_DIR, NULL);
		if (rc != 0)
			return rc;
	}
	snprintf(pl->last, sizeof(pl->last), "%s", path);
	return 0;
}

static int plan_entry(void *arg, const struct tree_entry *e, struct vk_err *err)
{
	struct planner *pl = arg;
	bool dropped = dockerignore_drops(pl->ignore, e->path);
	uint64_t size;
	if (e->kind == TREE_DIR)
		return dropped && !dockerignore_enters(pl->ignore, e->path) ? TREE_SKIP : 0;
	if (dropped)
		return 0;
	if (e->kind == TREE_SUBMODULE)
		return vk_err_set(err, VK_INVALID, "%.200s is a submodule", e->path);
	int rc = tree_blob_size(pl->store, &e->oid, &size, err);
	if (rc != 0)
		return vk_err_wrap(err, "%s", e->path);
	pl->p->files++;
	pl->p->bytes += size;
	if (size > pl->q->limits.object || pl->p->bytes > pl->q->limits.bytes)
		return vk_err_set(err, VK_LIMIT,
			"%.200s: over a limit of size (receive.max_object, "
			"receive.max_bytes)",
			e->path);
	if (pl->recipe_path != NULL && e->kind != TREE_LINK &&
		strcmp(pl->recipe_path, e->path) == 0)
		pl->recipe_kept = true;
	if (add_parents(pl, e->path) != 0 ||
		add_entry(pl->p, e->path, strlen(e->path), e->kind, &e->oid) != 0)
		return vk_err_set(err, VK_LIMIT, "the paths take too much memory");
	return 0;
}

/* -- Dockerfile ------------------------------------------------------------------------------ */

static int read_file(struct planner *pl, const git_oid *root, const char *path, struct vk_buf *out,
	struct vk_err *err)
{
	struct tree_entry e;
	git_odb_object *o = NULL;
	int rc = tree_find(pl->store, root, path, &e, err);
	if (rc != 0)
		return rc;
	if (e.kind != TREE_FILE && e.kind != TREE_EXEC)
		return vk_err_set(err, VK_INVALID, "%.200s is no regular file", path);
	rc = tree_read_blob(pl->store, &e.oid, out->max, &o, err);
	if (rc != 0)
		return vk_err_wrap(err, "%s", path);
	vk_buf_add(out, git_odb_object_data(o), git_odb_object_size(o));
	git_odb_object_free(o);
	return 0;
}

/* *ret_changed: is what is built anything but the file of the tree? */
static int make_dockerfile(struct planner *pl, bool *ret_changed, struct vk_err *err)
{
	const json_t *recipe = pl->q->recipe;
	const char *text = json_string_value(json_object_get(recipe, "inline"));
	const char *path = vk_json_str(recipe, "dockerfile", "Dockerfile");
	vk_autobuf source = VK_BUF_INIT(DOCKERFILE_MAX + 1);
	struct dockerfile *d = NULL;
	int rc = text != NULL ? vk_buf_adds(&source, text)
			      : read_file(pl, pl->root, path, &source, err);
	if (rc != 0)
		return rc;
	struct dockerfile_opts o = {
		.file = text != NULL ? "Dockerfile" : path,
		.args = json_object_get(recipe, "args"),
		.target = vk_json_str(recipe, "target", ""),
		.registry = pl->q->registry,
	};
	rc = dockerfile_scan(vk_buf_str(&source), source.len, &o, &d, err);
	if (rc == 0)
		rc = dockerfile_rewrite(
			d, vk_buf_str(&source), source.len, pl->q->refs, NULL, &pl->p->text, err);
	if (rc == 0)
		pl->p->froms = dockerfile_images(d, pl->q->refs);
	dockerfile_free(d);
	*ret_changed = text != NULL || source.len != pl->p->text.len ||
		memcmp(vk_buf_str(&source), vk_buf_str(&pl->p->text), source.len) != 0;
	return rc;
}

/* The path below the context directory, or NULL when it lies elsewhere. */
static const char *below(const char *context, const char *path)
{
	size_t n = strlen(context);
	if (strcmp(context, ".") == 0)
		return path;
	return strncmp(path, context, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

static bool name_taken(const struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(plan_path(p, i), name) == 0)
			return true;
	return false;
}

/* The tree's own file when that is what is built and it is sent; else a name of its own, which
 * follows from the contents so that engines' caches hold. */
static void name_dockerfile(struct planner *pl, bool changed)
{
	struct plan *p = pl->p;
	if (!changed && pl->recipe_kept) {
		p->dockerfile = vk_strdup(pl->recipe_path);
		return;
	}
	char hash[65];
	vk_sha256_hex(vk_buf_str(&p->text), p->text.len, hash);
	p->injected = true;
	p->files++;
	p->bytes += p->text.len;
	p->dockerfile = vk_asprintf(".viking.Dockerfile-%.12s", hash);
	while (name_taken(p, p->dockerfile)) {
		char *longer = vk_asprintf("%sx", p->dockerfile);
		free(p->dockerfile);
		p->dockerfile = longer;
	}
}

/* -- .dockerignore ---------------------------------------------------------------------------- */

static int read_slugignore(struct planner *pl, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(DOCKERIGNORE_MAX + 1);
	int rc = read_file(pl, &pl->context, ".slugignore", &text, err);
	if (rc == VK_NOTFOUND)
		return 0;
	return rc == 0 ? slugignore_parse(vk_buf_str(&text), text.len, &pl->ignore, err) : rc;
}

static int read_ignore(struct planner *pl, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(DOCKERIGNORE_MAX + 1);
	if (pl->p->kind != PLAN_DOCKERFILE)
		return read_slugignore(pl, err);
	const char *dockerfile = json_string_value(json_object_get(pl->q->recipe, "dockerfile"));
	vk_autofree char *own =
		dockerfile != NULL ? vk_asprintf("%s.dockerignore", dockerfile) : NULL;
	const char *name = own;
	int rc = own != NULL ? read_file(pl, pl->root, own, &text, err) : VK_NOTFOUND;
	if (rc == VK_NOTFOUND) {
		name = ".dockerignore";
		rc = read_file(pl, &pl->context, name, &text, err);
	}
	if (rc == VK_NOTFOUND)
		return 0;
	return rc == 0 ? dockerignore_parse(vk_buf_str(&text), text.len, name, &pl->ignore, err)
		       : rc;
}

/* -- key ------------------------------------------------------------------------------------- */

static void add_text(struct vk_sha256 *h, const char *label, const char *s, size_t n)
{
	vk_autofree char *head = vk_asprintf("%s %zu\n", label, n);
	vk_sha256_add(h, head, strlen(head));
	vk_sha256_add(h, s, n);
}

static void add_json(struct vk_sha256 *h, const char *label, const json_t *j)
{
	vk_autofree char *text = j != NULL ? vk_json_text(j) : vk_strdup("{}");
	add_text(h, label, text, strlen(text));
}

static void make_key(struct planner *pl)
{
	struct plan *p = pl->p;
	struct vk_sha256 *h = vk_sha256_new();
	add_text(h, "viking build key", "1", 1);
	if (pl->ignore == NULL)
		add_text(h, "tree", (const char *)pl->context.id, GIT_OID_RAWSZ);
	for (size_t i = 0; pl->ignore != NULL && i < p->n; i++) {
		char kind = (char)('0' + p->v[i].kind);
		vk_sha256_add(h, &kind, 1);
		vk_sha256_add(h, plan_path(p, i), strlen(plan_path(p, i)) + 1);
		vk_sha256_add(h, p->v[i].oid.id, GIT_OID_RAWSZ);
	}
	add_text(h, "dockerfile", vk_buf_str(&p->text), p->text.len);
	add_json(h, "args", json_object_get(pl->q->recipe, "args"));
	const char *target = vk_json_str(pl->q->recipe, "target", "");
	add_text(h, "target", target, strlen(target));
	add_json(h, "refs", pl->q->refs);
	if (p->kind != PLAN_DOCKERFILE)
		add_json(h, "builder", json_object_get(pl->q->recipe, "builder"));
	if (p->kind == PLAN_OWN)
		add_json(h, "site", pl->q->site);
	vk_sha256_end(h, p->key);
}

static int find_context(struct planner *pl, const char **ret, struct vk_err *err)
{
	struct tree_entry e;
	const char *context = vk_json_str(pl->q->recipe, "context", ".");
	int rc = tree_find(pl->store, pl->root, context, &e, err);
	if (rc != 0)
		return rc;
	if (e.kind != TREE_DIR)
		return vk_err_set(
			err, VK_INVALID, "the context \"%.200s\" is no directory", context);
	pl->context = e.oid;
	*ret = context;
	return 0;
}

static int make(struct planner *pl, struct vk_err *err)
{
	const char *context;
	bool changed = false;
	int rc = find_context(pl, &context, err);
	if (rc == 0 && pl->p->kind == PLAN_DOCKERFILE)
		rc = make_dockerfile(pl, &changed, err);
	if (rc == 0 && pl->p->kind == PLAN_OWN)
		rc = plan_own(pl->store, pl->root, pl->q, context, pl->p, err);
	if (rc == 0)
		rc = read_ignore(pl, err);
	if (rc != 0)
		return rc;
	const char *path = pl->p->kind == PLAN_DOCKERFILE
		? json_string_value(json_object_get(pl->q->recipe, "dockerfile"))
		: NULL;
	pl->recipe_path = path != NULL ? below(context, path) : NULL;
	rc = tree_walk(pl->store, &pl->context, &pl->q->limits, plan_entry, pl, err);
	if (rc != 0)
		return rc;
	if (pl->p->kind != PLAN_SOURCE)
		name_dockerfile(pl, changed);
	make_key(pl);
	return 0;
}

int plan_make(struct tree_store *s, const git_oid *root, const struct plan_request *q,
	struct plan *ret, struct vk_err *err)
{
	struct plan p = {.kind = plan_kind(q->recipe),
		.site = q->site,
		.owner = q->owner,
		.paths = VK_BUF_INIT(PATHS_MAX),
		.text = VK_BUF_INIT(2 * DOCKERFILE_MAX)};
	struct planner pl = {.store = s, .root = root, .q = q, .p = &p};
	int rc = make(&pl, err);
	dockerignore_free(pl.ignore);
	if (rc != 0) {
		plan_release(&p);
		return rc;
	}
	*ret = p;
	return 0;
}

/* -- writing --------------------------------------------------------------------------------- */

static int write_blob(struct tree_store *s, struct tar *t, const struct plan_entry *e,
	const char *path, uint64_t object_max, struct vk_err *err)
{
	git_odb_object *o = NULL;
	int rc = tree_read_planned(s, &e->oid, object_max, &o, err);
	if (rc != 0)
		return vk_err_wrap(err, "%s", path);
	const void *data = git_odb_object_data(o);
	size_t n = git_odb_object_size(o);
	if (e->kind != TREE_LINK)
		rc = tar_file(t, path, e->kind == TREE_EXEC, data, n, err);
	else if (n == 0 || n > TREE_LINK_MAX || memchr(data, '\0', n) != NULL)
		rc = vk_err_set(err, VK_INVALID, "%.200s: not a target of a symbolic link", path);
	else
		rc = tar_link(t, path, data, n, err);
	git_odb_object_free(o);
	return rc;
}

int plan_write(
	struct tree_store *s, const struct plan *p, uint64_t object_max, int fd, struct vk_err *err)
{
	struct tar *t = tar_new(fd);
	int rc = 0;
	tar_own(t, p->owner, p->owner);
	if (p->injected)
		rc = tar_file(t, p->dockerfile, false, vk_buf_str(&p->text), p->text.len, err);
	if (rc == 0 && p->kind == PLAN_OWN)
		rc = plan_write_site(p, t, err);
	for (size_t i = 0; rc == 0 && i < p->n; i++) {
		vk_autofree char *path = plan_tar_path(p, i);
		rc = p->v[i].kind == TREE_DIR ? tar_dir(t, path, err)
					      : write_blob(s, t, &p->v[i], path, object_max, err);
	}
	rc = rc == 0 ? tar_end(t, err) : tar_spoil(t, rc);
	tar_free(t);
	return rc;
}

void plan_release(struct plan *p)
{
	vk_buf_release(&p->paths);
	vk_buf_release(&p->text);
	free(p->v);
	free(p->dockerfile);
	json_decref(p->froms);
	json_decref(p->processes);
	*p = (struct plan){
		.paths = VK_BUF_INIT(PATHS_MAX), .text = VK_BUF_INIT(2 * DOCKERFILE_MAX)};
}
