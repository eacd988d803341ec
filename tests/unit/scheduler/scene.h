/* A state made of keys and JSON texts, as the store would give them. Texts are written with ' for ". */
#ifndef TEST_SCENE_H
#define TEST_SCENE_H

#include <criterion/criterion.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "state.h"

static inline json_t *scene_json(const char *text)
{
	vk_autofree char *copy = vk_strdup(text);
	for (char *p = copy; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	json_t *j = NULL;
	struct vk_err err = {0};
	cr_assert_eq(vk_json_parse(copy, strlen(copy), &j, &err), 0, "%s: %s", text, err.msg);
	return j;
}

static inline void scene_put(struct state *st, const char *key, const char *text)
{
	vk_autojson *value = scene_json(text);
	struct vk_err err = {0};
	cr_assert_eq(state_apply(st, key, value, &err), 0, "%s", err.msg);
}

static inline void scene_del(struct state *st, const char *key)
{
	cr_assert_eq(state_apply(st, key, NULL, NULL), 0);
}

/* A stack with one good release v1 whose entries are `nodes`. */
static inline struct stack *scene_stack(
	struct state *st, const char *name, unsigned subnet, const char *nodes)
{
	vk_autofree char *stack = vk_asprintf("/stack/%s", name),
			 *release = vk_asprintf("/release/%s/1", name);
	vk_autofree char *current = vk_asprintf("/current/%s", name);
	vk_autofree char *row = vk_asprintf("{'v':1,'id':'00','subnet':%u}", subnet);
	vk_autofree char *made =
		vk_asprintf("{'v':1,'outcome':'ok','commit':'c1','nodes':%s}", nodes);
	scene_put(st, stack, row);
	scene_put(st, release, made);
	scene_put(st, current, "{'v':1,'n':1}");
	return state_stack(st, name);
}

static inline bool scene_equal(const json_t *have, const char *want)
{
	vk_autojson *w = scene_json(want);
	bool equal = json_equal(have, w);
	if (!equal) {
		vk_autofree char *text = vk_json_text(have);
		cr_log_error("have %s\nwant %s", text, want);
	}
	return equal;
}

#endif
