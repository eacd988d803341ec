#include "export_site.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/str.h>

struct site {
	struct tree_store *store;
	const struct site_request *q;
	int dir; /* the temporary directory */
	uint64_t files, bytes;
};

bool site_link_inside(const char *path, const char *target, size_t n)
{
	int depth = 0;
	if (n == 0 || target[0] == '/' || memchr(target, '\0', n) != NULL)
		return false;
	for (const char *p = path; (p = strchr(p, '/')) != NULL; p++)
		depth++;
	for (size_t i = 0; i < n;) {
		const char *slash = memchr(target + i, '/', n - i);
		size_t len = slash != NULL ? (size_t)(slash - target) - i : n - i;
		if (len == 2 && target[i] == '.' && target[i + 1] == '.') {
			if (--depth < 0)
				return false;
		} else if (len > 0 && !(len == 1 && target[i] == '.')) {
			/* .. behind a name that is a link itself would lead elsewhere */
			return memmem(target + i, n - i, "/..", 3) == NULL;
		}
		i += len + 1;
	}
	return true;
}

static int write_file(struct site *s, const char *path, bool executable, const void *data, size_t n,
	struct vk_err *err)
{
	mode_t mode = executable ? 0755 : 0644;
	vk_autoclose int fd =
		openat(s->dir, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0 || fchmod(fd, mode) != 0)
		return vk_err_errno(err, errno, "%s", path);
	int rc = vk_write_all(fd, data, n, err);
	return rc != 0 ? vk_err_wrap(err, "%s", path) : 0;
}

static int write_link(
	struct site *s, const char *path, const char *target, size_t n, struct vk_err *err)
{
	if (n > TREE_LINK_MAX || !site_link_inside(path, target, n))
		return vk_err_set(err, VK_INVALID,
			"%.200s is a symbolic link that leads out of the document root", path);
	vk_autofree char *text = vk_strndup(target, n);
	return symlinkat(text, s->dir, path) == 0 ? 0 : vk_err_errno(err, errno, "%s", path);
}

static int write_entry(void *arg, const struct tree_entry *e, struct vk_err *err)
{
	struct site *s = arg;
	git_odb_object *o = NULL;
	if (e->kind == TREE_SUBMODULE)
		return vk_err_set(err, VK_INVALID, "%.200s is a submodule", e->path);
	if (e->kind == TREE_DIR)
		return mkdirat(s->dir, e->path, 0755) == 0
			? 0
			: vk_err_errno(err, errno, "%s", e->path);
	int rc = tree_read_blob(s->store, &e->oid, s->q->limits.object, &o, err);
	if (rc != 0)
		return vk_err_wrap(err, "%s", e->path);
	size_t n = git_odb_object_size(o);
	s->files++;
	s->bytes += n;
	if (s->bytes > s->q->limits.bytes)
		rc = vk_err_set(err, VK_LIMIT, "the website is larger than receive.max_bytes");
	else if (e->kind == TREE_LINK)
		rc = write_link(s, e->path, git_odb_object_data(o), n, err);
	else
		rc = write_file(s, e->path, e->kind == TREE_EXEC, git_odb_object_data(o), n, err);
	git_odb_object_free(o);
	return rc;
}

/* What a killed export left behind; nobody else writes here at the same time. */
static void remove_leftovers(const char *parent)
{
	DIR *d = opendir(parent);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		if (!vk_starts(e->d_name, ".tmp-"))
			continue;
		vk_autofree char *path = vk_asprintf("%s/%s", parent, e->d_name);
		vk_fs_remove_tree(path, NULL);
	}
	if (d != NULL)
		closedir(d);
}

static int fill(struct tree_store *store, const git_oid *root, const struct site_request *q,
	const char *temp, struct site *s, struct vk_err *err)
{
	struct tree_entry e;
	int rc = tree_find(store, root, q->document_root, &e, err);
	if (rc != 0)
		return rc;
	if (e.kind != TREE_DIR)
		return vk_err_set(err, VK_INVALID, "document_root \"%.200s\" is no directory",
			q->document_root);
	if (mkdir(temp, 0755) != 0)
		return vk_err_errno(err, errno, "%s", temp);
	vk_autoclose int dir = open(temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return vk_err_errno(err, errno, "%s", temp);
	s->dir = dir;
	rc = tree_walk(store, &e.oid, &q->limits, write_entry, s, err);
	if (rc == 0 && syncfs(dir) != 0)
		rc = vk_err_errno(err, errno, "%s", temp);
	return rc;
}

static int publish(const char *temp, const char *final, const char *parent, struct vk_err *err)
{
	if (rename(temp, final) != 0)
		return vk_err_errno(err, errno, "%s", final);
	vk_autoclose int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) != 0)
		return vk_err_errno(err, errno, "%s", parent);
	return 0;
}

static bool kept(const struct site_request *q, const char *commit)
{
	size_t i;
	json_t *k;
	json_array_foreach(q->keep, i, k) if (vk_streq(json_string_value(k), commit)) return true;
	return vk_streq(commit, q->commit);
}

/* Files of releases that nobody can go back to. What is no commit is not ours. */
static void remove_old(const struct site_request *q, const char *parent)
{
	DIR *d = q->keep != NULL ? opendir(parent) : NULL;
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		if (!vk_is_commit(e->d_name) || kept(q, e->d_name))
			continue;
		vk_autofree char *path = vk_asprintf("%s/%s", parent, e->d_name);
		vk_fs_remove_tree(path, NULL);
	}
	if (d != NULL)
		closedir(d);
}

int site_write(struct tree_store *store, const git_oid *root, const struct site_request *q,
	uint64_t *ret_files, uint64_t *ret_bytes, struct vk_err *err)
{
	vk_autofree char *parent = vk_asprintf("%s/%s/%s", q->static_dir, q->stack, q->node);
	vk_autofree char *final = vk_asprintf("%s/%s", parent, q->commit);
	vk_autofree char *temp = vk_asprintf("%s/.tmp-%s-%d", parent, q->commit, (int)getpid());
	struct site s = {.store = store, .q = q, .dir = -1};
	if (!vk_fs_exists(final)) {
		int rc = vk_fs_mkdir_p(parent, 0750, err);
		if (rc != 0)
			return rc;
		remove_leftovers(parent);
		rc = fill(store, root, q, temp, &s, err);
		if (rc == 0)
			rc = publish(temp, final, parent, err);
		if (rc != 0) {
			vk_fs_remove_tree(temp, NULL);
			return rc;
		}
	}
	remove_old(q, parent);
	*ret_files = s.files;
	*ret_bytes = s.bytes;
	return 0;
}
