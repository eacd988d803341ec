#include "export_site.h"

#include <criterion/criterion.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repo_fixture.h"

#define COMMIT "0123456789012345678901234567890123456789"

static const json_t *keep;

static int write_site(struct repo *r, git_oid root, const char *document_root, uint64_t *files,
	struct vk_err *err)
{
	vk_autofree char *sites = vk_asprintf("%s/static", r->dir);
	struct site_request q = {sites, "s", "n", COMMIT, document_root,
		{.depth = 8, .files = 100, .bytes = 1000, .object = 500}, keep};
	uint64_t bytes;
	struct tree_store *s = repo_store(r);
	int rc = site_write(s, &root, &q, files, &bytes, err);
	tree_store_free(s);
	return rc;
}

static mode_t mode_of(struct repo *r, const char *path)
{
	vk_autofree char *full = vk_asprintf("%s/static/s/n/%s", r->dir, path);
	struct stat st;
	return lstat(full, &st) == 0 ? st.st_mode : 0;
}

Test(site, files_appear_at_once)
{
	struct repo r = repo_new();
	vk_autobuf t = VK_BUF_INIT(4096);
	git_oid blob = repo_blob(&r, "hello");
	repo_add(&t, "100644", "index.html", blob);
	repo_add(&t, "120000", "latest", repo_blob(&r, "sub/run"));
	repo_add(&t, "40000", "sub", repo_tree1(&r, "100755", "run", blob));
	git_oid root = repo_tree1(&r, "40000", "www", repo_tree(&r, &t));
	vk_autofree char *left = vk_asprintf("%s/static/s/n/.tmp-left/behind", r.dir);
	cr_assert_eq(vk_fs_mkdir_p(left, 0755, NULL), 0);
	uint64_t files = 0;
	struct vk_err err = {0};
	umask(077);
	cr_assert_eq(write_site(&r, root, "www", &files, &err), 0, "%s", err.msg);
	cr_expect_eq(files, 3);
	cr_expect_eq(mode_of(&r, COMMIT "/index.html"), S_IFREG | 0644);
	cr_expect_eq(mode_of(&r, COMMIT "/sub/run"), S_IFREG | 0755);
	cr_expect(S_ISLNK(mode_of(&r, COMMIT "/latest")));
	cr_expect_eq(mode_of(&r, ".tmp-left"), 0, "leftovers go");
	cr_expect_eq(write_site(&r, root, "www", &files, &err), 0);
	cr_expect_eq(files, 0, "it is there already");
	repo_free(&r);
}

Test(site, commits_of_no_kept_release_go)
{
	static const char kept[] = "1111111111111111111111111111111111111111";
	static const char old[] = "2222222222222222222222222222222222222222";
	struct repo r = repo_new();
	git_oid root =
		repo_tree1(&r, "40000", "www", repo_tree1(&r, "100644", "a", repo_blob(&r, "x")));
	const char *const there[] = {kept, old, "notes"};
	for (size_t i = 0; i < VK_COUNT(there); i++) {
		vk_autofree char *path = vk_asprintf("%s/static/s/n/%s/d", r.dir, there[i]);
		cr_assert_eq(vk_fs_mkdir_p(path, 0755, NULL), 0);
	}
	uint64_t files = 0;
	struct vk_err err = {0};
	cr_assert_eq(write_site(&r, root, "www", &files, &err), 0, "%s", err.msg);
	cr_expect_neq(mode_of(&r, old), 0, "who does not say what to keep removes nothing");
	vk_autojson *list = json_pack("[s]", kept);
	keep = list;
	cr_assert_eq(write_site(&r, root, "www", &files, &err), 0, "%s", err.msg);
	keep = NULL;
	cr_expect_eq(mode_of(&r, old), 0);
	cr_expect_neq(mode_of(&r, kept), 0);
	cr_expect_neq(mode_of(&r, COMMIT), 0);
	cr_expect_neq(mode_of(&r, "notes"), 0);
	repo_free(&r);
}

static void expect_refused(struct repo *r, git_oid root, const char *document_root, int code)
{
	uint64_t files;
	struct vk_err err = {0};
	cr_expect_eq(write_site(r, root, document_root, &files, &err), code, "%s", err.msg);
	cr_expect_eq(mode_of(r, COMMIT), 0);
	vk_autofree char *parent = vk_asprintf("%s/static/s/n", r->dir);
	cr_expect(rmdir(parent) == 0, "nothing is left behind");
}

Test(site, refusals_leave_nothing)
{
	struct repo r = repo_new();
	git_oid blob = repo_blob(&r, "hello");
	expect_refused(
		&r, repo_tree1(&r, "120000", "l", repo_blob(&r, "/etc/passwd")), ".", VK_INVALID);
	expect_refused(&r, repo_tree1(&r, "120000", "l", repo_blob(&r, "../x")), ".", VK_INVALID);
	expect_refused(&r, repo_tree1(&r, "160000", "m", blob), ".", VK_INVALID);
	expect_refused(&r, repo_tree1(&r, "100644", ".git", blob), ".", VK_INVALID);
	expect_refused(&r, repo_tree1(&r, "100644", "f", blob), "www", VK_NOTFOUND);
	expect_refused(&r, repo_tree1(&r, "100644", "f", blob), "f", VK_INVALID);
	repo_free(&r);
}

Test(site, links_that_stay_inside)
{
	static const struct {
		const char *path, *target;
		bool inside;
	} links[] = {{"l", "a", true}, {"l", "./a/b", true}, {"d/l", "../a", true},
		{"d/e/l", "../../a", true}, {"l", "/a", false}, {"l", "..", false},
		{"l", "../a", false}, {"d/l", "../../a", false}, {"l", "a/../..", false},
		{"l", "a/../b", false}, {"d/l", "..", true}, {"l", "", false},
		{"d/l", "./../..", false}, {"l", ".//a", true}};
	for (size_t i = 0; i < VK_COUNT(links); i++)
		cr_expect_eq(
			site_link_inside(links[i].path, links[i].target, strlen(links[i].target)),
			links[i].inside, "%s -> %s", links[i].path, links[i].target);
}
