/* Files beside a manifest: in a commit's tree, or in a directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>

#include "export.h"

static int read_from_tree(void *arg, const char *path, struct vk_buf *out, struct vk_err *err)
{
	struct export_tree_files *t = arg;
	struct tree_entry e;
	int rc = tree_find(t->store, &t->root, path, &e, err);
	if (rc != 0)
		return rc;
	if (e.kind != TREE_FILE && e.kind != TREE_EXEC)
		return vk_err_set(err, VK_INVALID, "%s is %s, not a file", path,
			e.kind == TREE_LINK ? "a symbolic link" : "a directory");
	git_odb_object *o = NULL;
	rc = tree_read_blob(t->store, &e.oid, out->max - out->len, &o, err);
	if (rc != 0)
		return vk_err_wrap(err, "%s", path);
	vk_buf_add(out, git_odb_object_data(o), git_odb_object_size(o));
	git_odb_object_free(o);
	return 0;
}

static bool is_dir_of_tree(void *arg, const char *path)
{
	struct export_tree_files *t = arg;
	struct tree_entry e;
	return tree_find(t->store, &t->root, path, &e, NULL) == 0 && e.kind == TREE_DIR;
}

struct manifest_files export_files_of_tree(struct export_tree_files *t)
{
	return (struct manifest_files){t, read_from_tree, is_dir_of_tree};
}

static int read_from_dir(void *arg, const char *path, struct vk_buf *out, struct vk_err *err)
{
	vk_autofree char *full = vk_asprintf("%s/%s", (const char *)arg, path);
	vk_autoclose int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0)
		return vk_err_errno(err, errno == ENOTDIR ? ENOENT : errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return vk_err_set(err, VK_INVALID, "%s is not a file", path);
	return vk_fs_read_fd(fd, out, err);
}

static bool is_dir_of_dir(void *arg, const char *path)
{
	vk_autofree char *full = vk_asprintf("%s/%s", (const char *)arg, path);
	struct stat st;
	return stat(full, &st) == 0 && S_ISDIR(st.st_mode);
}

struct manifest_files export_files_of_dir(const char *dir)
{
	return (struct manifest_files){(void *)(uintptr_t)dir, read_from_dir, is_dir_of_dir};
}
