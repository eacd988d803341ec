/* What is written is read back by tar(1), which knows ustar and pax. */
#include "tar.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/proc.h>

struct archive {
	char dir[64];
	char *file;
	int fd;
	struct tar *tar;
};

static struct archive archive_new(void)
{
	struct archive a = {.dir = "/tmp/viking-tar-XXXXXX"};
	cr_assert_not_null(mkdtemp(a.dir));
	a.file = vk_asprintf("%s/a.tar", a.dir);
	a.fd = open(a.file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(a.fd, 0);
	a.tar = tar_new(a.fd);
	return a;
}

static void archive_free(struct archive *a)
{
	tar_free(a->tar);
	close(a->fd);
	free(a->file);
	vk_fs_remove_tree(a->dir, NULL);
}

static int run_tar(struct archive *a, const char *how, struct vk_buf *out)
{
	const char *argv[] = {"tar", how, a->file, "-C", a->dir, "--full-time", NULL};
	struct vk_proc_opts o = {.path = "/bin/tar", .argv = argv};
	return vk_proc_run(&o, NULL, 0, out, NULL, 60000, NULL);
}

static void expect_file(
	struct archive *a, const char *path, const void *data, size_t n, mode_t mode)
{
	vk_autofree char *full = vk_asprintf("%s/%s", a->dir, path);
	vk_autobuf got = VK_BUF_INIT(16 << 20);
	struct stat st;
	cr_assert_eq(lstat(full, &st), 0, "%s", path);
	cr_expect_eq(st.st_mode & 07777, mode, "%s", path);
	cr_expect_eq(st.st_mtime, TAR_MTIME);
	cr_assert_eq(vk_fs_read(full, &got, NULL), 0);
	cr_expect(got.len == n && memcmp(vk_buf_str(&got), data, n) == 0, "%s", path);
}

Test(tar, files_directories_links)
{
	struct archive a = archive_new();
	struct vk_err err = {0};
	size_t big = (3 << 20) + 17;
	vk_autofree char *data = vk_alloc(big);
	for (size_t i = 0; i < big; i++)
		data[i] = (char)(i * 7);
	cr_expect_eq(tar_dir(a.tar, "d", &err), 0);
	cr_expect_eq(tar_file(a.tar, "d/empty", false, "", 0, &err), 0);
	cr_expect_eq(tar_file(a.tar, "d/run", true, "#!", 2, &err), 0);
	cr_expect_eq(tar_file(a.tar, "big", false, data, big, &err), 0);
	cr_expect_eq(tar_file(a.tar, "block", false, data, 512, &err), 0);
	cr_expect_eq(tar_link(a.tar, "link", "../out", 6, &err), 0);
	cr_expect_eq(tar_end(a.tar, &err), 0);
	cr_assert_eq(run_tar(&a, "-xpf", NULL), 0);
	expect_file(&a, "d/empty", "", 0, 0644);
	expect_file(&a, "d/run", "#!", 2, 0755);
	expect_file(&a, "big", data, big, 0644);
	expect_file(&a, "block", data, 512, 0644);
	char target[16] = "";
	vk_autofree char *link = vk_asprintf("%s/link", a.dir);
	cr_expect_eq(readlink(link, target, sizeof(target) - 1), 6);
	cr_expect_str_eq(target, "../out");
	struct stat st;
	cr_expect(fstat(a.fd, &st) == 0 && st.st_size % 512 == 0);
	archive_free(&a);
}

/* Names of every length around what fits, in one component and in many. */
Test(tar, long_names)
{
	struct archive a = archive_new();
	struct vk_err err = {0};
	static const size_t lengths[] = {
		1, 99, 100, 101, 150, 155, 156, 200, 255, 256, 257, 300, 600, 1000};
	vk_autobuf want = VK_BUF_INIT(1 << 20), got = VK_BUF_INIT(1 << 20);
	for (size_t i = 0; i < VK_COUNT(lengths); i++)
		for (int every = 0; every < 3; every++) {
			static const size_t steps[] = {0, 50, 101};
			vk_autobuf name = VK_BUF_INIT(2048);
			for (size_t j = 0; j < lengths[i]; j++)
				vk_buf_addc(&name,
					steps[every] != 0 && j % steps[every] == steps[every] - 1 &&
							j + 1 < lengths[i]
						? '/'
						: (char)('a' + every));
			cr_assert_eq(tar_file(a.tar, vk_buf_str(&name), false, "x", 1, &err), 0);
			vk_buf_addf(&want, "%s\n", vk_buf_str(&name));
		}
	cr_assert_eq(tar_end(a.tar, &err), 0);
	cr_assert_eq(run_tar(&a, "-tf", &got), 0);
	cr_expect_str_eq(vk_buf_str(&got), vk_buf_str(&want));
	archive_free(&a);
}

Test(tar, long_link_targets_and_utf8)
{
	struct archive a = archive_new();
	struct vk_err err = {0};
	vk_autobuf target = VK_BUF_INIT(8192);
	while (target.len < 3000)
		vk_buf_adds(&target, "d\xc3\xa4/");
	cr_assert_eq(tar_link(a.tar, "l\xc3\xb6ng", vk_buf_str(&target), target.len, &err), 0);
	cr_assert_eq(tar_link(a.tar, "l100", vk_buf_str(&target), 100, &err), 0);
	cr_assert_eq(tar_link(a.tar, "l101", vk_buf_str(&target), 101, &err), 0);
	cr_assert_eq(tar_end(a.tar, &err), 0);
	cr_assert_eq(run_tar(&a, "-xf", NULL), 0);
	static const struct {
		const char *name;
		size_t n;
	} links[] = {{"l\xc3\xb6ng", 3000}, {"l100", 100}, {"l101", 101}};
	for (size_t i = 0; i < VK_COUNT(links); i++) {
		char got[4096];
		vk_autofree char *path = vk_asprintf("%s/%s", a.dir, links[i].name);
		ssize_t n = readlink(path, got, sizeof(got));
		cr_expect_eq((size_t)n, links[i].n == 3000 ? target.len : links[i].n);
		cr_expect(n > 0 && memcmp(got, vk_buf_str(&target), (size_t)n) == 0);
	}
	archive_free(&a);
}

/* The same calls give the same bytes, whoever runs them and when. */
Test(tar, reproducible)
{
	struct archive a = archive_new(), b = archive_new();
	struct archive *both[] = {&a, &b};
	for (int i = 0; i < 2; i++) {
		umask(i == 0 ? 0 : 077);
		cr_assert_eq(tar_dir(both[i]->tar, "d", NULL), 0);
		cr_assert_eq(tar_file(both[i]->tar, "d/f", true, "abc", 3, NULL), 0);
		cr_assert_eq(tar_end(both[i]->tar, NULL), 0);
	}
	vk_autobuf x = VK_BUF_INIT(1 << 20), y = VK_BUF_INIT(1 << 20);
	cr_assert_eq(vk_fs_read(a.file, &x, NULL), 0);
	cr_assert_eq(vk_fs_read(b.file, &y, NULL), 0);
	cr_expect(x.len == y.len && memcmp(x.data, y.data, x.len) == 0);
	archive_free(&a);
	archive_free(&b);
}

/* What stops at the end of an entry must not read as a whole archive. */
Test(tar, spoiled_archives_are_refused)
{
	struct archive a = archive_new();
	cr_assert_eq(tar_file(a.tar, "f", false, "abc", 3, NULL), 0);
	cr_expect_eq(tar_spoil(a.tar, VK_LIMIT), VK_LIMIT);
	vk_autobuf out = VK_BUF_INIT(1 << 20);
	cr_expect_neq(run_tar(&a, "-tf", &out), 0);
	archive_free(&a);
}

Test(tar, write_errors_are_told)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct tar *t = tar_new(fd);
	struct vk_err err = {0};
	cr_expect_eq(tar_file(t, "f", false, "abc", 3, &err), 0, "still buffered");
	cr_expect_neq(tar_end(t, &err), 0);
	tar_free(t);
	close(fd);
}
