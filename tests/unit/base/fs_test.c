#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/str.h>

#include "tmpdir.h"

/* The library's calls land here: which kinds of descriptor were synced, and when to fail. */
static struct {
	int files, dirs, fail_at;
} synced;

int fsync(int fd)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		synced.dirs++;
	else
		synced.files++;
	if (synced.files + synced.dirs == synced.fail_at) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static size_t entries(const char *dir)
{
	size_t n = 0;
	DIR *d = opendir(dir);
	cr_assert_not_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 2;
}

static void write_text(const char *path, const char *text)
{
	struct vk_err e = {0};
	cr_assert_eq(vk_fs_write_atomic(path, text, strlen(text), 0644, &e), 0, "%s", e.msg);
}

static bool holds(const char *path, const char *text)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	return vk_fs_read(path, &b, NULL) == 0 && strcmp(vk_buf_str(&b), text) == 0;
}

Test(fs, read_appends_up_to_the_limit)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/f", dir);
	vk_autobuf b = VK_BUF_INIT(10);
	struct vk_err e = {0};
	write_text(path, "12345");
	cr_assert_eq(vk_fs_read(path, &b, &e), 0);
	cr_assert_eq(vk_fs_read(path, &b, &e), 0);
	cr_assert_str_eq(vk_buf_str(&b), "1234512345");
	cr_assert_eq(vk_fs_read(path, &b, &e), VK_LIMIT);
	cr_assert_eq(vk_fs_read(path, &b, NULL), VK_LIMIT);
	cr_assert_not_null(strstr(e.msg, path));
}

Test(fs, read_errors_name_the_file)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/none", dir);
	vk_autobuf b = VK_BUF_INIT(10);
	struct vk_err e = {0};
	cr_assert_eq(vk_fs_read(path, &b, &e), VK_NOTFOUND);
	cr_assert_not_null(strstr(e.msg, path));
	cr_assert_eq(vk_fs_read(dir, &b, &e), VK_INTERNAL); /* a directory */
	cr_assert_not_null(strstr(e.msg, dir));
}

Test(fs, write_atomic_syncs_file_and_directory_and_leaves_nothing)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/f", dir);
	struct vk_err e = {0};
	struct stat st;
	umask(0777);
	cr_assert_eq(vk_fs_write_atomic(path, "secret", 6, 0640, &e), 0, "%s", e.msg);
	umask(022);
	cr_assert_eq(synced.files, 1);
	cr_assert_eq(synced.dirs, 1);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0640);
	cr_assert(holds(path, "secret"));
	cr_assert_eq(vk_fs_write_atomic(path, "", 0, 0600, &e), 0);
	cr_assert(holds(path, ""));
	cr_assert_eq(entries(dir), 1);
}

Test(fs, replace_waits_for_no_disk)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/f", dir);
	struct vk_err e = {0};
	synced.files = synced.dirs = 0;
	cr_assert_eq(vk_fs_replace(path, "one", 3, 0600, &e), 0, "%s", e.msg);
	cr_assert_eq(vk_fs_replace(path, "two", 3, 0600, &e), 0, "%s", e.msg);
	cr_assert(holds(path, "two"));
	cr_assert_eq(entries(dir), 1);
	cr_assert_eq(synced.files + synced.dirs, 0);
}

Test(fs, a_failed_write_keeps_the_old_file)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/f", dir);
	vk_autofree char *sub = vk_asprintf("%s/d", dir);
	vk_autofree char *below = vk_asprintf("%s/none/f", dir);
	struct vk_err e = {0};
	write_text(path, "old");
	synced.files = synced.dirs = 0;
	synced.fail_at = 1;
	cr_assert_eq(vk_fs_write_atomic(path, "new", 3, 0644, &e), VK_INTERNAL);
	cr_assert(holds(path, "old"));
	cr_assert_eq(entries(dir), 1);
	synced.fail_at = 3; /* the directory's, after the rename */
	cr_assert_eq(vk_fs_write_atomic(path, "new", 3, 0644, &e), VK_INTERNAL);
	cr_assert_not_null(strstr(e.msg, dir));
	synced.fail_at = 0;
	cr_assert_eq(vk_fs_write_atomic(below, "x", 1, 0644, &e), VK_NOTFOUND);
	cr_assert_eq(vk_fs_mkdir_p(sub, 0755, &e), 0);
	cr_assert_lt(vk_fs_write_atomic(sub, "x", 1, 0644, &e), 0); /* a directory is in the way */
	cr_assert_eq(entries(dir), 2);
}

Test(fs, write_atomic_with_a_relative_path)
{
	autotmp dir = tmpdir_new();
	struct vk_err e = {0};
	cr_assert_eq(chdir(dir), 0);
	cr_assert_eq(vk_fs_write_atomic("f", "x", 1, 0600, &e), 0, "%s", e.msg);
	cr_assert(holds("f", "x"));
	cr_assert_eq(chdir("/"), 0);
}

Test(fs, write_atomic_to_a_full_disk)
{
	struct vk_err e = {0};
	vk_autoclose int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(vk_write_all(fd, "x", 1, &e), VK_LIMIT);
}

Test(fs, mkdir_p)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/a//b/c/", dir);
	vk_autofree char *file = vk_asprintf("%s/f", dir);
	vk_autofree char *below = vk_asprintf("%s/f/x", dir);
	struct vk_err e = {0};
	cr_assert_eq(vk_fs_mkdir_p(path, 0755, &e), 0, "%s", e.msg);
	cr_assert_eq(vk_fs_mkdir_p(path, 0755, &e), 0);
	cr_assert(vk_fs_exists(path));
	write_text(file, "");
	cr_assert_lt(vk_fs_mkdir_p(file, 0755, &e), 0);
	cr_assert_lt(vk_fs_mkdir_p(below, 0755, &e), 0);
	cr_assert_eq(vk_fs_mkdir_p("/", 0755, &e), 0);
}

Test(fs, remove_tree_does_not_follow_symlinks)
{
	autotmp dir = tmpdir_new();
	autotmp other = tmpdir_new();
	vk_autofree char *tree = vk_asprintf("%s/t", dir);
	vk_autofree char *link1 = vk_asprintf("%s/t/dirlink", dir);
	vk_autofree char *link2 = vk_asprintf("%s/toplink", dir);
	vk_autofree char *precious = vk_asprintf("%s/precious", other);
	struct vk_err e = {0};
	write_text(precious, "x");
	cr_assert_eq(vk_fs_mkdir_p(tree, 0755, &e), 0);
	cr_assert_eq(symlink(other, link1), 0);
	cr_assert_eq(symlink(other, link2), 0);
	cr_assert_eq(vk_fs_remove_tree(tree, &e), 0, "%s", e.msg);
	cr_assert_eq(vk_fs_remove_tree(link2, &e), 0, "%s", e.msg);
	cr_assert_eq(entries(dir), 0);
	cr_assert(vk_fs_exists(precious));
}

Test(fs, remove_tree_wide_and_deeper_than_it_holds_open)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *tree = vk_asprintf("%s/t", dir);
	struct vk_err e = {0};
	cr_assert_eq(mkdir(tree, 0755), 0);
	int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int depth = 0; depth < 700; depth++) {
		cr_assert_eq(mkdirat(fd, "a_directory_with_a_long_name", 0755), 0);
		int file = openat(fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0400);
		int next = openat(
			fd, "a_directory_with_a_long_name", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(file);
		close(fd);
		fd = next;
	}
	close(fd);
	for (int i = 0; i < 500; i++) {
		vk_autofree char *path = vk_asprintf("%s/t/w%d", dir, i);
		cr_assert_eq(mkdir(path, 0755), 0);
	}
	cr_assert_eq(vk_fs_remove_tree(tree, &e), 0, "%s", e.msg);
	cr_assert_eq(entries(dir), 0);
}

Test(fs, remove_tree_of_a_file_and_of_nothing)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/f", dir);
	struct vk_err e = {0};
	cr_assert_eq(vk_fs_remove_tree(path, &e), 0);
	write_text(path, "x");
	cr_assert_eq(vk_fs_remove_tree(path, &e), 0);
	cr_assert_not(vk_fs_exists(path));
	cr_assert_lt(
		vk_fs_remove_tree("/proc/self/task", &e), 0); /* what cannot be removed is told */
}

Test(fs, free_bytes)
{
	uint64_t free_now = 0, total = 0;
	struct vk_err e = {0};
	cr_assert_eq(vk_fs_free_bytes("/tmp", &free_now, &total, &e), 0);
	cr_assert_gt(total, 0);
	cr_assert_leq(free_now, total);
	cr_assert_eq(vk_fs_free_bytes("/nonexistent", &free_now, NULL, &e), VK_NOTFOUND);
}

Test(fs, write_all_to_a_slow_non_blocking_pipe)
{
	int pair[2];
	size_t n = 1 << 20;
	vk_autofree char *data = vk_alloc(n);
	memset(data, 'x', n);
	cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
	cr_assert_eq(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char chunk[4096];
		size_t got = 0;
		close(pair[1]);
		for (ssize_t r; (r = read(pair[0], chunk, sizeof(chunk))) > 0;)
			got += (size_t)r;
		_exit(got == n ? 0 : 1);
	}
	struct vk_err e = {0};
	cr_assert_eq(vk_write_all(pair[1], data, n, &e), 0, "%s", e.msg);
	close(pair[1]);
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	close(pair[0]);
}

Test(fs, write_all_to_a_closed_pipe)
{
	int pair[2];
	struct vk_err e = {0};
	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
	close(pair[0]);
	cr_assert_eq(vk_write_all(pair[1], "x", 1, &e), VK_INTERNAL);
	close(pair[1]);
}

Test(fs, lock_is_held_once)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/lock", dir);
	vk_autoclose int first = -1, second = -1;
	struct vk_err e = {0};
	cr_assert_eq(vk_fs_lock(path, &first, &e), 0, "%s", e.msg);
	cr_assert_eq(vk_fs_lock(path, &second, &e), VK_CONFLICT);
	cr_assert_eq(second, -1);
	cr_assert_not_null(strstr(e.msg, path));
	close(VK_TAKE_FD(first));
	cr_assert_eq(vk_fs_lock(path, &second, &e), 0);
	cr_assert(fcntl(second, F_GETFD) & FD_CLOEXEC);
}
