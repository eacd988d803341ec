/* A bare repository made object by object, so that trees can say what git would not write. */
#ifndef REPO_FIXTURE_H
#define REPO_FIXTURE_H

#include <criterion/criterion.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/mem.h>

#include "tree.h"

struct repo {
	char dir[64];
	git_odb *odb;
};

static inline struct repo repo_new(void)
{
	struct repo r = {.dir = "/tmp/viking-tree-XXXXXX"};
	cr_assert_eq(tree_init(NULL), 0);
	cr_assert_not_null(mkdtemp(r.dir));
	vk_autofree char *objects = vk_asprintf("%s/objects", r.dir);
	vk_autofree char *pack = vk_asprintf("%s/objects/pack", r.dir);
	cr_assert_eq(vk_fs_mkdir_p(pack, 0755, NULL), 0);
	cr_assert_eq(git_odb_open(&r.odb, objects), 0);
	return r;
}

static inline void repo_free(struct repo *r)
{
	git_odb_free(r->odb);
	vk_fs_remove_tree(r->dir, NULL);
}

static inline git_oid repo_object(struct repo *r, const void *data, size_t n, git_object_t type)
{
	git_oid oid;
	cr_assert_eq(git_odb_write(&oid, r->odb, data, n, type), 0);
	return oid;
}

static inline git_oid repo_blob(struct repo *r, const char *text)
{
	return repo_object(r, text, strlen(text), GIT_OBJECT_BLOB);
}

static inline void repo_add(struct vk_buf *tree, const char *mode, const char *name, git_oid oid)
{
	vk_buf_addf(tree, "%s %s", mode, name);
	vk_buf_addc(tree, '\0');
	vk_buf_add(tree, oid.id, GIT_OID_RAWSZ);
}

static inline git_oid repo_tree(struct repo *r, const struct vk_buf *tree)
{
	return repo_object(r, vk_buf_str(tree), tree->len, GIT_OBJECT_TREE);
}

/* A tree of one entry. */
static inline git_oid repo_tree1(struct repo *r, const char *mode, const char *name, git_oid oid)
{
	vk_autobuf t = VK_BUF_INIT(4096);
	repo_add(&t, mode, name, oid);
	return repo_tree(r, &t);
}

static inline struct tree_store *repo_store(struct repo *r)
{
	struct tree_store *s = NULL;
	struct vk_err err = {0};
	cr_assert_eq(tree_store_open(r->dir, NULL, &s, &err), 0, "%s", err.msg);
	return s;
}

#endif
