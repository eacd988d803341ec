/* Builds: list, output, cancel. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "builds.h"

struct wanted {
	const struct caller *who;
	const char *stack; /* NULL = all */
};

static bool sees(void *arg, const char *stack)
{
	const struct wanted *w = arg;
	return (w->stack == NULL || strcmp(w->stack, stack) == 0) && rights_sees(w->who, stack);
}

void api_builds(struct call *c)
{
	struct wanted w = {.who = &c->who, .stack = vk_req_query(c->r, "stack")};
	call_json(c, 200, builds_list(c->s, sees, &w));
}

/* The id a request means: `current` is the build that began last among those under way. Caller frees; NULL: err. */
static char *build_id(struct call *c, struct vk_err *err)
{
	if (strcmp(c->part[0], "current") != 0)
		return vk_strdup(c->part[0]);
	struct wanted w = {.who = &c->who, .stack = vk_req_query(c->r, "stack")};
	vk_autojson *answer = builds_list(c->s, sees, &w);
	char *found = NULL;
	size_t i;
	json_t *b;
	json_array_foreach(json_object_get(answer, "builds"), i, b)
	{
		const char *id = vk_json_str(b, "id", "");
		if (builds_find(c->s, id) == NULL)
			continue;
		free(found);
		found = vk_strdup(id);
	}
	if (found == NULL) {
		vk_err_set(err, VK_NOTFOUND, "no build is under way");
		vk_err_hint(err, "viking builds");
	}
	return found;
}

/* Builds have no stack in their path: the right is asked here. What the caller may not see does not exist. */
static int build_may(struct call *c, const char *id, enum verb verb, struct vk_err *err)
{
	struct build *b = builds_find(c->s, id);
	const struct build_row *row = b != NULL ? build_row(b) : table_get(&c->s->st.builds, id);
	if (row == NULL || (row->stack[0] != '\0' && !rights_sees(&c->who, row->stack)))
		return vk_err_set(err, VK_NOTFOUND, "there is no build %.40s", id);
	return rights_check(&c->who, verb, row->stack[0] != '\0' ? row->stack : NULL, err);
}

void api_build_output(struct call *c)
{
	struct vk_err err = {0};
	struct sched *s = c->s;
	const char *text = vk_req_query(c->r, "follow");
	bool follow = text != NULL && strcmp(text, "0") != 0;
	vk_autofree char *id = build_id(c, &err);
	if (id == NULL || build_may(c, id, VERB_READ, &err) != 0) {
		call_error(c, &err);
		return;
	}
	/* it is there, so this cannot fail */
	(void)builds_output(s, id, follow, call_take(c), &err);
}

void api_build_cancel(struct call *c)
{
	struct vk_err err = {0};
	vk_autofree char *id = build_id(c, &err);
	int rc = id == NULL ? err.code : build_may(c, id, VERB_RELEASE, &err);
	struct build *b = rc == 0 ? builds_find(c->s, id) : NULL;
	if (rc == 0 && b == NULL)
		vk_err_set(&err, VK_CONFLICT, "build %s is over already", id);
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	vk_autofree char *why = vk_asprintf("build %s was cancelled by %s", id, c->who.name);
	builds_fail(c->s, b, "CANCELLED", why);
	call_ok(c);
}
