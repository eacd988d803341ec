#include "tree.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "repo_fixture.h"

static const struct tree_limits roomy = {
	.depth = 64, .files = 1000, .bytes = 1 << 30, .object = 1 << 20};

static int list(void *arg, const struct tree_entry *e, struct vk_err *err)
{
	(void)err;
	vk_buf_addf(arg, "%s%c ", e->path, "fxl/s"[e->kind]);
	return e->kind == TREE_DIR && strcmp(e->path, "skip") == 0 ? TREE_SKIP : 0;
}

static int walk(struct repo *r, git_oid root, const struct tree_limits *l, struct vk_buf *out,
	struct vk_err *err)
{
	struct tree_store *s = repo_store(r);
	int rc = tree_walk(s, &root, l, list, out, err);
	tree_store_free(s);
	return rc;
}

Test(tree, walks_in_order)
{
	struct repo r = repo_new();
	git_oid blob = repo_blob(&r, "x");
	git_oid sub = repo_tree1(&r, "100755", "run", blob);
	vk_autobuf t = VK_BUF_INIT(4096);
	repo_add(&t, "100644", "a", blob);
	repo_add(&t, "40000", "d", sub);
	repo_add(&t, "120000", "l", blob);
	repo_add(&t, "160000", "m", blob);
	repo_add(&t, "40000", "skip", sub);
	repo_add(&t, "100664", "z", blob);
	vk_autobuf out = VK_BUF_INIT(4096);
	struct vk_err err = {0};
	cr_expect_eq(walk(&r, repo_tree(&r, &t), &roomy, &out, &err), 0, "%s", err.msg);
	cr_expect_str_eq(vk_buf_str(&out), "af d/ d/runx ll ms skip/ zf ");
	repo_free(&r);
}

static void expect_refused(struct repo *r, git_oid root, int code, const char *word)
{
	vk_autobuf out = VK_BUF_INIT(1 << 20);
	struct vk_err err = {0};
	cr_expect_eq(walk(r, root, &roomy, &out, &err), code, "%s: %s", word, err.msg);
	cr_expect(strstr(err.msg, word) != NULL, "%s: %s", word, err.msg);
}

Test(tree, refuses_names_and_modes)
{
	struct repo r = repo_new();
	git_oid blob = repo_blob(&r, "x");
	static const char *const names[] = {".git", ".GIT", ".", "..", "../../evil", "/etc/x",
		"a/b", "new\nline", "esc\x1b[1m", "del\x7f", ""};
	for (size_t i = 0; i < VK_COUNT(names); i++)
		expect_refused(&r, repo_tree1(&r, "100644", names[i], blob), VK_INVALID, "");
	vk_autobuf longer = VK_BUF_INIT(1000);
	while (longer.len < 256)
		vk_buf_addc(&longer, 'n');
	expect_refused(&r, repo_tree1(&r, "100644", vk_buf_str(&longer), blob), VK_INVALID,
		"longer than 255");
	static const char *const modes[] = {
		"104755", "177777", "100777", "100600", "0", "", "644", "20000"};
	for (size_t i = 0; i < VK_COUNT(modes); i++)
		expect_refused(&r, repo_tree1(&r, modes[i], "f", blob), VK_INVALID, "mode");
	git_oid bad = repo_tree1(&r, "100644", ".git", blob);
	expect_refused(
		&r, repo_tree1(&r, "40000", "dir", bad), VK_INVALID, "in dir: the name \".git\"");
	repo_free(&r);
}

Test(tree, refuses_malformed_objects)
{
	struct repo r = repo_new();
	static const struct {
		const char *data;
		size_t n;
	} bad[] = {{"100644", 6}, {"100644 a", 8}, {"100644 a\0short", 14},
		{"100644a\0aaaaaaaaaaaaaaaaaaaaaaaa", 30}};
	for (size_t i = 0; i < VK_COUNT(bad); i++)
		expect_refused(&r, repo_object(&r, bad[i].data, bad[i].n, GIT_OBJECT_TREE),
			VK_INVALID, "malformed");
	git_oid blob = repo_blob(&r, "x");
	expect_refused(&r, blob, VK_INVALID, "is no tree");
	expect_refused(&r, repo_tree1(&r, "40000", "d", blob), VK_INVALID, "is no tree");
	git_oid missing = {{1, 2, 3}};
	expect_refused(&r, missing, VK_INVALID, "cannot be read");
	repo_free(&r);
}

/* 100,000 levels of directories overflow the stack of recursive walkers. */
Test(tree, depth_is_capped)
{
	struct repo r = repo_new();
	git_oid oid = repo_tree1(&r, "100644", "f", repo_blob(&r, "x"));
	for (int i = 0; i < 64; i++)
		oid = repo_tree1(&r, "40000", "d", oid);
	vk_autobuf out = VK_BUF_INIT(1 << 20);
	struct vk_err err = {0};
	cr_expect_eq(walk(&r, oid, &roomy, &out, &err), 0, "%s", err.msg);
	for (int i = 0; i < 500; i++)
		oid = repo_tree1(&r, "40000", "d", oid);
	expect_refused(&r, oid, VK_LIMIT, "deeper than 64");
	repo_free(&r);
}

/* Ten trees of ten entries each, every one the same: 10^10 files in some hundred bytes. */
Test(tree, bombs_are_capped)
{
	struct repo r = repo_new();
	git_oid oid = repo_blob(&r, "x"), empty = repo_object(&r, "", 0, GIT_OBJECT_TREE);
	for (int level = 0; level < 10; level++) {
		vk_autobuf t = VK_BUF_INIT(4096);
		for (char name[2] = "a"; name[0] <= 'j'; name[0]++)
			repo_add(&t, level == 0 ? "100644" : "40000", name, oid);
		oid = repo_tree(&r, &t);
	}
	expect_refused(&r, oid, VK_LIMIT, "more than 1000 files");
	for (int level = 0; level < 40; level++) { /* directories alone count too */
		vk_autobuf t = VK_BUF_INIT(4096);
		repo_add(&t, "40000", "a", empty);
		repo_add(&t, "40000", "b", empty);
		empty = repo_tree(&r, &t);
	}
	expect_refused(&r, empty, VK_LIMIT, "more than 1000 files");
	repo_free(&r);
}

Test(tree, paths_are_capped)
{
	struct repo r = repo_new();
	git_oid oid = repo_blob(&r, "x");
	vk_autobuf name = VK_BUF_INIT(1000);
	while (name.len < 200)
		vk_buf_addc(&name, 'n');
	for (int i = 0; i < 6; i++)
		oid = repo_tree1(&r, i == 0 ? "100644" : "40000", vk_buf_str(&name), oid);
	expect_refused(&r, oid, VK_LIMIT, "longer than 1024 bytes");
	repo_free(&r);
}

Test(tree, finds_paths)
{
	struct repo r = repo_new();
	git_oid blob = repo_blob(&r, "x"), sub = repo_tree1(&r, "100644", "f", blob);
	git_oid root = repo_tree1(&r, "40000", "d", sub);
	struct tree_store *s = repo_store(&r);
	struct tree_entry e;
	struct vk_err err = {0};
	cr_expect_eq(tree_find(s, &root, "d/f", &e, &err), 0);
	cr_expect(git_oid_equal(&e.oid, &blob) && e.kind == TREE_FILE);
	cr_expect_eq(tree_find(s, &root, ".", &e, &err), 0);
	cr_expect(git_oid_equal(&e.oid, &root) && e.kind == TREE_DIR);
	cr_expect_eq(tree_find(s, &root, "d/g", &e, &err), VK_NOTFOUND);
	cr_expect_eq(tree_find(s, &root, "d/f/g", &e, &err), VK_NOTFOUND);
	tree_store_free(s);
	repo_free(&r);
}

Test(tree, commits)
{
	struct repo r = repo_new();
	git_oid root = repo_tree1(&r, "100644", "f", repo_blob(&r, "x")), got;
	vk_autofree char *text =
		vk_asprintf("tree %s\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nm\n",
			git_oid_tostr_s(&root));
	git_oid commit = repo_object(&r, text, strlen(text), GIT_OBJECT_COMMIT);
	git_oid short_one = repo_object(&r, "tree 12\n", 8, GIT_OBJECT_COMMIT);
	struct tree_store *s = repo_store(&r);
	struct vk_err err = {0};
	cr_expect_eq(tree_of_commit(s, git_oid_tostr_s(&commit), &got, &err), 0, "%s", err.msg);
	cr_expect(git_oid_equal(&got, &root));
	cr_expect_eq(tree_of_commit(s, git_oid_tostr_s(&short_one), &got, &err), VK_INVALID);
	cr_expect_eq(tree_of_commit(s, git_oid_tostr_s(&root), &got, &err), VK_INVALID);
	cr_expect_eq(tree_of_commit(s, "HEAD", &got, &err), VK_INVALID);
	tree_store_free(s);
	repo_free(&r);
}

Test(tree, blobs_are_capped)
{
	struct repo r = repo_new();
	git_oid blob = repo_blob(&r, "12345678");
	struct tree_store *s = repo_store(&r);
	struct vk_err err = {0};
	git_odb_object *o = NULL;
	uint64_t size = 0;
	cr_expect_eq(tree_blob_size(s, &blob, &size, &err), 0);
	cr_expect_eq(size, 8);
	cr_expect_eq(tree_read_blob(s, &blob, 7, &o, &err), VK_LIMIT);
	cr_expect_eq(tree_read_planned(s, &blob, 7, &o, &err), VK_INVALID);
	cr_expect_eq(tree_read_blob(s, &blob, 8, &o, &err), 0);
	git_odb_object_free(o);
	tree_store_free(s);
	repo_free(&r);
}

/* The quarantine is read, what info/alternates names is not. */
Test(tree, object_directories)
{
	struct repo r = repo_new(), other = repo_new();
	git_oid blob = repo_blob(&other, "elsewhere");
	vk_autofree char *objects = vk_asprintf("%s/objects", other.dir);
	vk_autofree char *info = vk_asprintf("%s/objects/info", r.dir);
	vk_autofree char *alternates = vk_asprintf("%s/alternates", info);
	vk_autofree char *line = vk_asprintf("%s\n", objects);
	cr_assert_eq(vk_fs_mkdir_p(info, 0755, NULL), 0);
	cr_assert_eq(vk_fs_write_atomic(alternates, line, strlen(line), 0644, NULL), 0);
	struct tree_store *s = repo_store(&r);
	uint64_t size;
	cr_expect_neq(tree_blob_size(s, &blob, &size, NULL), 0, "an alternate was followed");
	tree_store_free(s);
	cr_assert_eq(tree_store_open(r.dir, objects, &s, NULL), 0);
	cr_expect_eq(tree_blob_size(s, &blob, &size, NULL), 0);
	tree_store_free(s);
	cr_expect_eq(tree_store_open("/nonexistent", NULL, &s, NULL), VK_NOTFOUND);
	repo_free(&r);
	repo_free(&other);
}
