/*
 * The bare repositories in STATE/repos, one a stack. A repository belongs to the stack whose id its file
 * `viking-id` holds. Whoever pushes holds a shared lock on `viking-push.lock` for as long as any process
 * of the push lives; who gets it exclusively knows that no push runs and may clear what killed ones left.
 */
#ifndef RECEIVER_REPO_H
#define RECEIVER_REPO_H

#include <stdbool.h>
#include <viking/config.h>
#include <viking/err.h>

struct repo {
	char *path;
	int lock; /* -1 = not held */
};

/* Opens STACK.git, making it first (or moving the one that has its id, when the stack was renamed) if need be. id "" = any. */
int repo_open(const struct vk_config *c, const char *stack, const char *id, struct repo *ret,
	struct vk_err *err);
/* Removes the repository of a destroyed stack, whatever its name is. There being none is fine. */
int repo_remove(const struct vk_config *c, const char *id, struct vk_err *err);
/* Removes what a crash in the middle of a removal left. */
void repos_sweep(const struct vk_config *c);
void repo_close(struct repo *r);
int repo_lock(struct repo *r, struct vk_err *err);
/* Removes quarantines, temporary packs and stale ref locks if no push runs. */
void repo_clean(struct repo *r);
/* vk_repo_move_ref */
int repo_move_ref(const struct vk_config *c, const struct repo *r, const char *ref, const char *old,
	const char *new, struct vk_err *err);
/* Packs in the repository, one comes with each push. */
unsigned repo_packs(const char *path);
/* The environment of git run by us, without what a push adds. NULL-terminated, static. */
extern const char *const repo_git_env[];

#endif
