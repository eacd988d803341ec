#include <viking/fs.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <viking/id.h>
#include <viking/str.h>

#define WRITE_STALL_MS 30000 /* a non-blocking descriptor nobody reads */
#define TREE_DEPTH     128   /* directories held open at once while removing */

int vk_fs_read_fd(int fd, struct vk_buf *b, struct vk_err *err)
{
	char chunk[16384];
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vk_err_errno(err, errno, "read");
		if (vk_buf_add(b, chunk, (size_t)n) != 0)
			return vk_err_set(err, VK_LIMIT, "over the limit of %zu bytes", b->max);
	}
}

int vk_fs_read(const char *path, struct vk_buf *b, struct vk_err *err)
{
	vk_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return vk_err_errno(err, errno, "%s", path);
	int rc = vk_fs_read_fd(fd, b, err);
	if (rc != 0)
		vk_err_wrap(err, "%s", path);
	return rc;
}

int vk_write_all(int fd, const void *p, size_t n, struct vk_err *err)
{
	const char *at = p;
	while (n > 0) {
		ssize_t done = write(fd, at, n);
		if (done >= 0) {
			at += done;
			n -= (size_t)done;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return vk_err_errno(err, errno, "write");
		struct pollfd pfd = {.fd = fd, .events = POLLOUT};
		if (poll(&pfd, 1, WRITE_STALL_MS) == 0)
			return vk_err_set(err, VK_TIMEOUT, "write: nothing taken for %d s",
				WRITE_STALL_MS / 1000);
	}
	return 0;
}

/* "dir" and "name" of a path; dir is "." or "/" where the path has none. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return vk_strdup(".");
	return slash == path ? vk_strdup("/") : vk_strndup(path, (size_t)(slash - path));
}

static int sync_dir(const char *dir, struct vk_err *err)
{
	vk_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		return vk_err_errno(err, errno, "sync %s", dir);
	return 0;
}

/* path is the new file, name what messages call it. */
static int write_new(const char *path, const char *name, const void *data, size_t n, mode_t mode,
	bool sync, struct vk_err *err)
{
	vk_autoclose int fd =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return vk_err_errno(err, errno, "%s", name);
	if (fchmod(fd, mode) != 0) /* the umask is not the caller's wish */
		return vk_err_errno(err, errno, "%s", name);
	int rc = vk_write_all(fd, data, n, err);
	if (rc != 0) {
		vk_err_wrap(err, "%s", name);
		return rc;
	}
	if (sync && fsync(fd) != 0)
		return vk_err_errno(err, errno, "sync %s", name);
	return 0;
}

static int replace(
	const char *path, const void *data, size_t n, mode_t mode, bool sync, struct vk_err *err)
{
	char nonce[17];
	vk_random_hex(8, nonce);
	vk_autofree char *dir = parent_of(path);
	vk_autofree char *temp = vk_asprintf("%s/.viking-%s.tmp", dir, nonce);
	int rc = write_new(temp, path, data, n, mode, sync, err);
	if (rc == 0 && rename(temp, path) != 0)
		rc = vk_err_errno(err, errno, "%s", path);
	if (rc != 0) {
		unlink(temp);
		return rc;
	}
	return sync ? sync_dir(dir, err) : 0;
}

int vk_fs_write_atomic(
	const char *path, const void *data, size_t n, mode_t mode, struct vk_err *err)
{
	return replace(path, data, n, mode, true, err);
}

int vk_fs_replace(const char *path, const void *data, size_t n, mode_t mode, struct vk_err *err)
{
	return replace(path, data, n, mode, false, err);
}

static int make_one(const char *path, mode_t mode, struct vk_err *err)
{
	struct stat st;
	if (mkdir(path, mode) == 0)
		return 0;
	int saved = errno;
	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		saved = ENOTDIR;
	}
	return vk_err_errno(err, saved, "%s", path);
}

int vk_fs_mkdir_p(const char *path, mode_t mode, struct vk_err *err)
{
	vk_autofree char *p = vk_strdup(path);
	for (char *at = p; *at != '\0';) {
		at += strspn(at, "/");
		at += strcspn(at, "/");
		char end = *at;
		*at = '\0';
		int rc = make_one(p, mode, err);
		if (rc != 0)
			return rc;
		*at = end;
	}
	return 0;
}

/* Removing goes down with descriptors, never with path names, so a symlink put in the way meanwhile
 * leads nowhere; and with a stack of its own, so a deep tree costs no C stack. */
struct remover {
	DIR *open[TREE_DEPTH];
	char *name[TREE_DEPTH]; /* of open[i] in open[i - 1] */
	size_t depth;
};

static int push_dir(struct remover *r, int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno;
	DIR *d = fdopendir(fd);
	if (d == NULL) {
		int saved = errno;
		close(fd);
		return saved;
	}
	r->open[r->depth] = d;
	r->name[r->depth++] = vk_strdup(name);
	return 0;
}

/* Removes the directory on top, which has been emptied. */
static int pop_dir(struct remover *r)
{
	closedir(r->open[--r->depth]);
	vk_autofree char *name = r->name[r->depth];
	int parent = r->depth > 0 ? dirfd(r->open[r->depth - 1]) : -1;
	if (parent >= 0 && unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		return errno;
	return 0;
}

static int remove_entry(struct remover *r, const char *name)
{
	int dir = dirfd(r->open[r->depth - 1]);
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return errno;
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return errno;
	if (r->depth < TREE_DEPTH)
		return push_dir(r, dir, name);
	/* too deep to hold open: bring it up to the root of the tree, where a later pass meets it */
	char nonce[17];
	vk_random_hex(8, nonce);
	return renameat(dir, name, dirfd(r->open[0]), nonce) == 0 ? 0 : errno;
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int empty_tree(struct remover *r)
{
	while (r->depth > 0) {
		struct dirent *e = readdir(r->open[r->depth - 1]);
		int rc = 0;
		if (e == NULL)
			rc = pop_dir(r);
		else if (!is_dot(e->d_name))
			rc = remove_entry(r, e->d_name);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static void remover_release(struct remover *r)
{
	while (r->depth > 0) {
		closedir(r->open[--r->depth]);
		free(r->name[r->depth]);
	}
}

int vk_fs_remove_tree(const char *path, struct vk_err *err)
{
	for (int pass = 0; pass < 1000; pass++) {
		if (unlink(path) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR && errno != EPERM)
			return vk_err_errno(err, errno, "remove %s", path);
		if (rmdir(path) == 0)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			return vk_err_errno(err, errno, "remove %s", path);
		struct remover r = {0};
		int rc = push_dir(&r, AT_FDCWD, path);
		if (rc == 0)
			rc = empty_tree(&r);
		remover_release(&r);
		if (rc != 0 && rc != ENOTEMPTY)
			return vk_err_errno(err, rc, "remove %s", path);
	}
	return vk_err_set(err, VK_CONFLICT, "remove %s: something keeps writing there", path);
}

bool vk_fs_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

int vk_fs_free_bytes(const char *path, uint64_t *ret_free, uint64_t *ret_total, struct vk_err *err)
{
	struct statvfs st;
	if (statvfs(path, &st) != 0)
		return vk_err_errno(err, errno, "%s", path);
	if (ret_free != NULL)
		*ret_free = (uint64_t)st.f_bavail * st.f_frsize;
	if (ret_total != NULL)
		*ret_total = (uint64_t)st.f_blocks * st.f_frsize;
	return 0;
}

int vk_fs_room(const char *path, uint64_t want, struct vk_err *err)
{
	uint64_t left = 0;
	char have[24], wanted[24];
	int rc = vk_fs_free_bytes(path, &left, NULL, err);
	if (rc != 0 || left >= want)
		return rc;
	vk_format_size(left, have);
	vk_format_size(want, wanted);
	return vk_err_set(err, VK_LIMIT,
		"the disk is nearly full: %s are free in %s, %s are needed", have, path, wanted);
}

int vk_fs_lock(const char *path, int *ret_fd, struct vk_err *err)
{
	vk_autoclose int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return vk_err_errno(err, errno, "%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return vk_err_set(
				err, VK_CONFLICT, "%s is locked by another process", path);
		return vk_err_errno(err, errno, "lock %s", path);
	}
	*ret_fd = VK_TAKE_FD(fd);
	return 0;
}
