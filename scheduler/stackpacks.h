/* packs.h with a stack's settings: what its boats are built with, and what a build of packs is given. */
#ifndef SCHEDULER_STACKPACKS_H
#define SCHEDULER_STACKPACKS_H

#include "hub.h"
#include "packs.h"

/* config: {"K": sealed}; sk NULL: a stack without settings, called name. */
int stackpacks_choose(struct sched *s, const char *name, const struct stack *sk,
	const json_t *config, const json_t *doc, const char *boat, struct packs_choice *ret,
	struct vk_err *err);
/* Could every boat of the document be built? The first that cannot is the error. */
int stackpacks_check(struct sched *s, const char *name, const json_t *doc, struct vk_err *err);
/* The configuration, opened, as packs get it. LIMIT when it is more than a job may carry. */
int stackpacks_env(struct sched *s, const json_t *config, json_t **ret, struct vk_err *err);
/* "viking-cache-<id of the stack>-<boat>": the id holds over renames and is nobody else's. Caller frees. */
char *stackpacks_cache(const struct stack *sk, const char *boat);
/* Boats of the serving release that stand on another stack image than the builder has now; 0: none, or not known. */
size_t stackpacks_outdated(const struct sched *s, const struct stack *sk);

#endif
