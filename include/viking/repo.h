/*
 * Where the repository of a stack lies. It bears the stack's id in its file viking-id, as the stack's name may change
 * before the receiver, which owns the repositories, has given the directory the new one.
 */
#ifndef VIKING_REPO_H
#define VIKING_REPO_H

#include <stdbool.h>

/* Does the repository at path belong to this stack? Every one does to the id "". */
bool vk_repo_has_id(const char *path, const char *id);
/* REPOS/STACK.git, or the repository in REPOS that has the id under another name; NULL when there is none. The
 * caller's. */
char *vk_repo_find(const char *repos, const char *stack, const char *id);

#endif
