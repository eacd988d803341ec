#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <viking/fs.h>
#include <viking/str.h>

#include "repo.h"

static char dir[] = "/tmp/vk-repo-XXXXXX";
static char git_path[] = "/usr/bin/git", branches[] = "trunk,main";
static struct vk_config config;

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	config = (struct vk_config){
		.state_dir = dir, .git_path = git_path, .deploy_branches = branches};
}

static void teardown(void)
{
	vk_fs_remove_tree(dir, NULL);
}

TestSuite(repo, .init = setup, .fini = teardown);

static char *path_of(const char *rest)
{
	return vk_asprintf("%s/repos/%s", dir, rest);
}

static void touch(const char *rest)
{
	vk_autofree char *path = path_of(rest);
	vk_autoclose int fd = open(path, O_CREAT | O_WRONLY, 0600);
	cr_assert_geq(fd, 0, "%s", path);
}

static bool there(const char *rest)
{
	vk_autofree char *path = path_of(rest);
	return vk_fs_exists(path);
}

Test(repo, is_made_once_with_its_id)
{
	struct repo r;
	struct vk_err err = {0};
	cr_assert_eq(repo_open(&config, "shop", "aa11", &r, &err), 0, "%s", err.msg);
	vk_autofree char *head = path_of("shop.git/HEAD");
	vk_autobuf text = VK_BUF_INIT(256);
	cr_assert_eq(vk_fs_read(head, &text, NULL), 0);
	cr_expect_str_eq(vk_buf_str(&text), "ref: refs/heads/trunk\n");
	repo_close(&r);
	touch("shop.git/mine");
	cr_assert_eq(repo_open(&config, "shop", "aa11", &r, &err), 0);
	repo_close(&r);
	cr_expect(there("shop.git/mine"), "opening it again keeps it");
}

Test(repo, of_a_destroyed_stack_goes)
{
	struct repo r;
	cr_assert_eq(repo_open(&config, "shop", "aa11", &r, NULL), 0);
	repo_close(&r);
	touch("shop.git/secret");
	cr_assert_eq(repo_open(&config, "shop", "bb22", &r, NULL), 0);
	repo_close(&r);
	cr_expect_not(there("shop.git/secret"));
}

Test(repo, follows_a_rename)
{
	struct repo r;
	cr_assert_eq(repo_open(&config, "old", "aa11", &r, NULL), 0);
	repo_close(&r);
	touch("old.git/mine");
	cr_assert_eq(repo_open(&config, "new", "cc33", &r, NULL), 0);
	repo_close(&r);
	cr_expect_not(there("new.git/mine"), "another stack's id: not taken");
	vk_autofree char *made = path_of("new.git");
	vk_fs_remove_tree(made, NULL);
	cr_assert_eq(repo_open(&config, "new", "aa11", &r, NULL), 0);
	repo_close(&r);
	cr_expect(there("new.git/mine"));
	cr_expect_not(there("old.git"));
}

Test(repo, is_cleaned_only_while_nobody_pushes)
{
	struct repo a, b;
	cr_assert_eq(repo_open(&config, "shop", "aa11", &a, NULL), 0);
	cr_assert_eq(repo_open(&config, "shop", "aa11", &b, NULL), 0);
	cr_assert_eq(repo_lock(&a, NULL), 0);
	cr_assert_eq(repo_lock(&b, NULL), 0);
	vk_autofree char *incoming = path_of("shop.git/objects/tmp_objdir-incoming-x1");
	cr_assert_eq(mkdir(incoming, 0700), 0);
	touch("shop.git/objects/tmp_objdir-incoming-x1/pack");
	touch("shop.git/shallow_abc");
	touch("shop.git/refs/heads/trunk.lock");
	repo_clean(&a);
	cr_expect(there("shop.git/objects/tmp_objdir-incoming-x1/pack"), "the other one pushes");
	repo_close(&b);
	repo_clean(&a);
	cr_expect_not(there("shop.git/objects/tmp_objdir-incoming-x1"));
	cr_expect_not(there("shop.git/shallow_abc"));
	cr_expect_not(there("shop.git/refs/heads/trunk.lock"));
	cr_expect(there("shop.git/HEAD"));
	repo_close(&a);
}

Test(repo, moves_only_real_refs)
{
	struct repo r;
	const char *zero = "0000000000000000000000000000000000000000";
	cr_assert_eq(repo_open(&config, "shop", "aa11", &r, NULL), 0);
	cr_expect_eq(repo_move_ref(&config, &r, "HEAD", zero, zero, NULL), VK_INTERNAL);
	cr_expect_eq(repo_move_ref(&config, &r, "refs/heads/trunk", "x", zero, NULL), VK_INTERNAL);
	cr_expect_eq(repo_move_ref(&config, &r, "refs/heads/trunk", zero,
			     "1111111111111111111111111111111111111111", NULL),
		VK_FAILED, "no such object");
	repo_close(&r);
}
