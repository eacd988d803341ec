/*
 * What both hooks know of the push they are part of. It comes from the environment that the monitor gave
 * to git: VIKING_STACK, VIKING_TOKEN, VIKING_API, VIKING_CONFIG_FILE, VIKING_ROOT; the working directory
 * is the bare repository.
 */
#ifndef HOOKS_HOOK_H
#define HOOKS_HOOK_H

#include <jansson.h>
#include <viking/api.h>
#include <viking/config.h>
#include <viking/err.h>

#include "refs.h"

struct hook {
	struct vk_config *config;
	const char *stack;
	struct vk_api_opts api; /* role hook, the push's token */
};

int hook_open(struct hook *h, const char *program, struct vk_err *err);
void hook_close(struct hook *h);
/* The deploy branch to name in hints: HEAD's once it exists, else master, else the first of the setting.
 * name holds REF_NAME_MAX + 1. */
void hook_preferred_branch(const struct hook *h, char *name);
/* POST to /v1/stacks/STACK/<action>. */
char *hook_stack_path(const struct hook *h, const char *action);
/* {"ref", "old", "new", "options"} for push/check and push. New reference. */
json_t *hook_push_body(const struct ref_update *r, json_t *options);

#endif
