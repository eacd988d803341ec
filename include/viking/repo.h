/*
 * Where the repository of a stack lies, and how its deploy branch moves. It bears the stack's id in its file viking-id, as the stack's name may change
 * before the receiver, which owns the repositories, has given the directory the new one.
 */
#ifndef VIKING_REPO_H
#define VIKING_REPO_H

#include <stdbool.h>
#include <viking/err.h>
#include <viking/proc.h>

/* Does the repository at path belong to this stack? Every one does to the id "". */
bool vk_repo_has_id(const char *path, const char *id);
/* REPOS/STACK.git, or the repository in REPOS that has the id under another name; NULL when there is none. The
 * caller's. */
char *vk_repo_find(const char *repos, const char *stack, const char *id);
/* Moves a branch to the commit of a release that stands, from where its push found it, or, where that push had to wait
 * for another, from a later commit that is part of the new one. Being there already is fine. VK_CONFLICT: it has
 * commits that the new one has not, and stays. git: how it is run (path, environment, cwd: the repository). */
int vk_repo_move_ref(const struct vk_proc_opts *git, const char *ref, const char *old,
	const char *new, struct vk_err *err);
/* Asked by a push whose turn has come: would that be VK_CONFLICT? coming: the commit that the branch is about to get; NULL: the
 * one it has. */
int vk_repo_may_move(const struct vk_proc_opts *git, const char *ref, const char *coming,
	const char *old, const char *new, struct vk_err *err);

#endif
