/*
 * Commits and trees out of a bare repository's object store, for eyes that trust nothing: the
 * store is opened by hand (no repository object, no configuration, no alternates), trees are
 * taken apart here, the walk is iterative with caps on depth, count and bytes, names and modes
 * are checked.
 *
 * libgit2 1.5 can hang on a truncated loose object: whoever calls this has a deadline
 * (export_sandbox.c).
 */
#ifndef VIKING_TREE_H
#define VIKING_TREE_H

#include <git2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

#define TREE_PATH_MAX 1024
#define TREE_NAME_MAX 255
#define TREE_LINK_MAX 4095 /* bytes of a symbolic link's target */

struct tree_limits {
	uint64_t depth, files, bytes, object; /* every one of these is a setting: receive.max_* */
};

struct tree_store;

/* The process-wide settings (ENGINE: hash verification and object cache off, owner check off),
 * once. */
int tree_init(struct vk_err *err);
/* repo: a bare repository (or its parent with .git in it); quarantine: a second object
 * directory, or NULL. */
int tree_store_open(
	const char *repo, const char *quarantine, struct tree_store **ret, struct vk_err *err);
void tree_store_free(struct tree_store *s);

/* The tree of a commit given as 40 hex digits. */
int tree_of_commit(struct tree_store *s, const char *hex, git_oid *ret, struct vk_err *err);
/* Reads a blob whole, up to max bytes. */
int tree_read_blob(struct tree_store *s, const git_oid *oid, uint64_t max, git_odb_object **ret,
	struct vk_err *err);
/* The same without looking at type and size first, for objects whose size has been checked
 * before. */
int tree_read_planned(struct tree_store *s, const git_oid *oid, uint64_t max, git_odb_object **ret,
	struct vk_err *err);
int tree_blob_size(struct tree_store *s, const git_oid *oid, uint64_t *ret, struct vk_err *err);

enum tree_kind { TREE_FILE, TREE_EXEC, TREE_LINK, TREE_DIR, TREE_SUBMODULE };

struct tree_entry {
	const char *path; /* relative to the walk's root; borrowed for the call */
	enum tree_kind kind;
	git_oid oid;
};

/* Called before a directory's entries are; TREE_SKIP leaves a directory out. Any other
 * non-zero ends the walk. */
#define TREE_SKIP 1
typedef int tree_fn(void *arg, const struct tree_entry *e, struct vk_err *err);

/* In git's order. Entries, directories included, count against limits->files; sizes are not
 * looked at. */
int tree_walk(struct tree_store *s, const git_oid *root, const struct tree_limits *limits,
	tree_fn *fn, void *arg, struct vk_err *err);
/* The entry at a clean path ("." is the root itself); VK_NOTFOUND. */
int tree_find(struct tree_store *s, const git_oid *root, const char *path, struct tree_entry *ret,
	struct vk_err *err);

/* One entry of a raw tree object, for the walk and its tests: *at moves behind it. */
int tree_next_entry(const unsigned char *data, size_t n, size_t *at, const char **ret_name,
	size_t *ret_len, struct tree_entry *ret, struct vk_err *err);

#endif
