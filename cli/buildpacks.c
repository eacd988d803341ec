/* buildpacks:list, add, set, remove, clear */
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static int buildpacks_list(struct call *c, struct vk_err *err)
{
	const char *s;
	vk_autojson *answer = NULL;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = api_get(c, &answer, err, "/v1/stacks/%s/buildpacks", s);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "INDEX|BUILDPACK");
	size_t i;
	json_t *pack;
	json_array_foreach(json_object_get(answer, "buildpacks"), i, pack)
	{
		table_addf(&t, "%zu", i + 1);
		table_add(&t, json_string_value(pack));
	}
	table_print(&t, stdout);
	if (i == 0)
		puts("none is set: the files of a push say what it is built with");
	if (vk_json_bool(answer, "overridden", false))
		puts("config BUILDPACK_URL is set and counts instead");
	return 0;
}

/* The verb is the part of the command's name behind the colon. */
static int buildpacks_change(struct call *c, struct vk_err *err)
{
	const char *s, *verb = strchr(c->command->name, ':') + 1;
	const char *index = call_value(c, "--index");
	vk_autojson *body = json_object(), *answer = NULL;
	uint64_t n;
	int r = stack_word(c, 0, &s, err);
	if (r < 0)
		return r;
	if (index != NULL && vk_parse_u64(index, 1, 1000, &n) < 0)
		return vk_err_set(err, VK_USAGE, "--index %.20s is no number from 1 on", index);
	if (c->words.n > 1)
		json_object_set_new(body, "buildpack",
			vk_json_safe_string(c->words.v[1], strlen(c->words.v[1])));
	if (index != NULL)
		json_object_set_new(body, "index", json_integer((json_int_t)n));
	r = api_send(c, "POST", body, &answer, err, "/v1/stacks/%s/buildpacks/%s", s, verb);
	if (r < 0)
		return r;
	size_t i;
	json_t *pack;
	json_array_foreach(json_object_get(answer, "buildpacks"), i, pack)
		printf("%zu. %s\n", i + 1, json_string_value(pack));
	printf("the next push of %s, or viking ps:rebuild %s, builds %s\n", s, s,
		i == 0 ? "with what its files say" : "with this");
	return 0;
}

static const struct option index_options[] = {
	{"--index", "-i", "N", "its place, from 1"},
	{0},
};

const struct command buildpacks_commands[] = {
	{"buildpacks:list", "STACK", 1, 1, 0, true, buildpacks_list, NULL,
		"the packs a stack is built with, in order"},
	{"buildpacks:add", "STACK PACK [--index N]", 2, 2, 0, false, buildpacks_change,
		index_options, "one more: a URL[#REF], or node python php go static procfile"},
	{"buildpacks:set", "STACK PACK [--index N]", 2, 2, 0, false, buildpacks_change,
		index_options, "in place of the first, or of the one at N"},
	{"buildpacks:remove", "STACK [PACK] [--index N]", 1, 2, 0, false, buildpacks_change,
		index_options, "take one away, by name or place"},
	{"buildpacks:clear", "STACK", 1, 1, 0, false, buildpacks_change, NULL,
		"take all away: the files of a push decide again"},
	{0},
};
