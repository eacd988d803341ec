/* The table of verbs and who has them. */
#include "rights.h"

#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

static const struct {
	const char *name;
	bool deploy; /* a deploy key has it on its stacks */
} verbs[VERB_COUNT] = {
	[VERB_NONE] = {"none", true},
	[VERB_PUSH] = {"push", true},
	[VERB_FETCH] = {"fetch", true},
	[VERB_READ] = {"read", true},
	[VERB_CONFIG] = {"config", true},
	[VERB_PS] = {"ps", true},
	[VERB_RUN] = {"run", true},
	[VERB_LOGS] = {"logs", true},
	[VERB_RELEASE] = {"release", true},
	[VERB_ADMIN] = {"admin", false},
};

static const struct {
	const char *name;
	unsigned bit;
} roles[] = {
	{"agent", ROLE_AGENT},
	{"builder", ROLE_BUILDER},
	{"router", ROLE_ROUTER},
	{"web", ROLE_WEB},
	{"receiver", ROLE_RECEIVER},
	{"hook", ROLE_HOOK},
	{"dns", ROLE_DNS},
	{"firewall", ROLE_FIREWALL},
	{"certs", ROLE_CERTS},
	{"front", ROLE_FRONT},
};

const char *verb_name(enum verb v)
{
	return verbs[v].name;
}

unsigned role_from_name(const char *name)
{
	for (size_t i = 0; i < VK_COUNT(roles); i++)
		if (strcmp(roles[i].name, name) == 0)
			return roles[i].bit;
	return 0;
}

static bool globs_match(const json_t *globs, const char *stack)
{
	size_t i;
	json_t *glob;
	json_array_foreach(globs, i, glob) if (json_is_string(glob) &&
		vk_glob(json_string_value(glob), stack)) return true;
	return false;
}

bool rights_sees(const struct caller *c, const char *stack)
{
	if (c->kind == CALLER_LOCAL_ADMIN)
		return true;
	if (c->kind != CALLER_KEY)
		return false;
	return vk_streq(c->key_role, "admin") || globs_match(c->stacks, stack);
}

const char *rights_name(const struct caller *c, const char *stack)
{
	return rights_sees(c, stack) ? stack : "another stack";
}

int rights_check(const struct caller *c, enum verb v, const char *stack, struct vk_err *err)
{
	if (v == VERB_NONE || c->kind == CALLER_LOCAL_ADMIN)
		return 0;
	if (c->kind != CALLER_KEY)
		return vk_err_set(err, VK_DENIED, "%s may not do that", c->name);
	if (vk_streq(c->key_role, "admin"))
		return 0;
	if (!verbs[v].deploy) {
		vk_err_set(
			err, VK_DENIED, "this needs an admin key; %s has the role deploy", c->name);
		vk_err_hint(err, "ask an administrator, or on the host: sudo viking ...");
		return VK_DENIED;
	}
	if (stack != NULL && !globs_match(c->stacks, stack)) {
		vk_err_set(err, VK_DENIED, "%s may not %s %s", c->name, verb_name(v), stack);
		vk_err_hint(err, "an administrator can allow it: viking keys:add NAME --stacks %s",
			stack);
		return VK_DENIED;
	}
	return 0;
}
