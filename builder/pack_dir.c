#include "pack_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#define DEPTH_MAX 16

static bool is_below(const char *path, const char *dir, size_t n)
{
	while (n > 1 && dir[n - 1] == '/')
		n--;
	return n > 0 && strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool is_allowed(const char *path, const char *allowed)
{
	for (const char *p = allowed; p != NULL && *p != '\0';) {
		size_t n = strcspn(p, ",");
		if (is_below(path, p, n))
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

int pack_dir_open(const char *path, const char *allowed, int *ret_fd, struct vk_err *err)
{
	char *found = realpath(path, NULL);
	vk_autofree char *real = found;
	if (real == NULL)
		return vk_err_errno(err, errno, "the buildpack %s", path);
	if (!is_allowed(real, allowed)) {
		vk_err_set(err, VK_DENIED, "the buildpack %s is not in a directory that is allowed",
			path);
		return vk_err_hint(err, "policy.pack_paths in /etc/viking/viking.conf");
	}
	int fd = open(real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return vk_err_errno(err, errno, "the buildpack %s", path);
	*ret_fd = fd;
	return 0;
}

struct walk {
	struct tar *t;
	struct vk_sha256 *h;
	uint64_t files, bytes;
};

static void hash(struct walk *w, const char *kind, const char *path, const void *data, size_t n)
{
	if (w->h == NULL)
		return;
	vk_autofree char *head = vk_asprintf("%s %zu %s\n", kind, n, path);
	vk_sha256_add(w->h, head, strlen(head));
	vk_sha256_add(w->h, data, n);
}

static int put_file(struct walk *w, int at, const char *name, const char *path,
	const struct stat *st, struct vk_err *err)
{
	bool runs = (st->st_mode & 0111) != 0;
	vk_autobuf data = VK_BUF_INIT(PACK_DIR_BYTES);
	vk_autoclose int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return vk_err_errno(err, errno, "%s", path);
	int code = vk_fs_read_fd(fd, &data, err);
	w->bytes += data.len;
	if (code == 0 && w->bytes > PACK_DIR_BYTES)
		code = vk_err_set(
			err, VK_LIMIT, "the buildpack is larger than %u MiB", PACK_DIR_BYTES >> 20);
	if (code != 0)
		return code;
	hash(w, runs ? "x" : "f", path, vk_buf_str(&data), data.len);
	return w->t != NULL ? tar_file(w->t, path, runs, vk_buf_str(&data), data.len, err) : 0;
}

static int put_link(struct walk *w, int at, const char *name, const char *path, struct vk_err *err)
{
	char target[4096];
	ssize_t n = readlinkat(at, name, target, sizeof(target));
	if (n <= 0)
		return vk_err_errno(err, errno, "%s", path);
	hash(w, "l", path, target, (size_t)n);
	return w->t != NULL ? tar_link(w->t, path, target, (size_t)n, err) : 0;
}

static int walk_dir(struct walk *w, int fd, const char *prefix, unsigned depth, struct vk_err *err);

static int put_entry(struct walk *w, int at, const char *name, const char *path, unsigned depth,
	struct vk_err *err)
{
	struct stat st;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return vk_err_errno(err, errno, "%s", path);
	if (++w->files > PACK_DIR_FILES)
		return vk_err_set(
			err, VK_LIMIT, "the buildpack has more than %d files", PACK_DIR_FILES);
	if (S_ISREG(st.st_mode))
		return put_file(w, at, name, path, &st, err);
	if (S_ISLNK(st.st_mode))
		return put_link(w, at, name, path, err);
	if (!S_ISDIR(st.st_mode) || strcmp(name, ".git") == 0)
		return 0;
	if (depth == DEPTH_MAX)
		return vk_err_set(err, VK_LIMIT, "%s: too deep for a buildpack", path);
	vk_autoclose int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return vk_err_errno(err, errno, "%s", path);
	return walk_dir(w, fd, path, depth + 1, err);
}

static int compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Sorted, so that the same pack is the same bytes. Recursion is at most DEPTH_MAX deep. */
static int walk_dir(struct walk *w, int fd, const char *prefix, unsigned depth, struct vk_err *err)
{
	struct dirent **names = NULL;
	int n = scandirat(fd, ".", &names, NULL, compare);
	int code = n < 0 ? vk_err_errno(err, errno, "%s", prefix) : 0;
	if (code == 0 && w->t != NULL)
		code = tar_dir(w->t, prefix, err);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		vk_autofree char *path = vk_asprintf("%s/%s", prefix, name);
		if (code == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			code = put_entry(w, fd, name, path, depth, err);
		free(names[i]);
	}
	free(names);
	return code;
}

int pack_dir_write(
	int dir_fd, const char *prefix, struct tar *t, struct vk_sha256 *h, struct vk_err *err)
{
	struct walk w = {.t = t, .h = h};
	return walk_dir(&w, dir_fd, prefix, 0, err);
}
