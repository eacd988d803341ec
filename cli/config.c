/* config:set, get, unset, show, export of a stack; `config --explain` is in host.c */
#include <viking/config.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static int change(struct call *c, const char *s, json_t *set, json_t *unset, struct vk_err *err)
{
	vk_autojson *body = json_pack("{s:o s:o s:b}", "set", set, "unset", unset, "restart",
		!call_flag(c, "--no-restart"));
	return api_follow(c, "PATCH", body, err, "/v1/stacks/%s/config", s);
}

static int config_set(struct call *c, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	if (r < 0)
		return r;
	vk_autojson *set = json_object();
	for (size_t i = 1; i < c->words.n; i++) {
		const char *w = c->words.v[i], *equals = strchr(w, '=');
		if (equals == NULL) {
			vk_err_set(err, VK_USAGE, "%.64s is not NAME=VALUE", w);
			return vk_err_hint(err, "viking config:set %s NAME=VALUE", s);
		}
		vk_autofree char *name = vk_strndup(w, (size_t)(equals - w));
		r = vk_env_name(name, err);
		if (r < 0)
			return r;
		json_object_set_new(set, name, vk_json_safe_string(equals + 1, strlen(equals + 1)));
	}
	return change(c, s, VK_TAKE(set), json_array(), err);
}

static int config_unset(struct call *c, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	vk_autojson *unset = json_array();
	for (size_t i = 1; r == 0 && i < c->words.n; i++) {
		r = vk_env_name(c->words.v[i], err);
		json_array_append_new(unset, json_string(c->words.v[i]));
	}
	return r < 0 ? r : change(c, s, json_object(), VK_TAKE(unset), err);
}

static int get_values(struct call *c, json_t **ret, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	return r < 0 ? r : api_get(c, ret, err, "/v1/stacks/%s/config?reveal=1", s);
}

static int config_get(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = get_values(c, &answer, err);
	if (r < 0)
		return r;
	const char *v = vk_json_str(json_object_get(answer, "config"), c->words.v[1], NULL);
	if (v == NULL)
		return vk_err_set(
			err, VK_NOTFOUND, "%s has no %.128s", c->words.v[0], c->words.v[1]);
	if (c->json) {
		vk_autojson *one = json_pack("{s:s}", c->words.v[1], v);
		return print_json(one);
	}
	puts(v);
	return 0;
}

/* config:export is for the shell, quoted so that it reads it back; the others are for eyes. */
static int config_show(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = get_values(c, &answer, err);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	bool export = vk_streq(c->command->name, "config:export");
	const char *name;
	json_t *v;
	json_object_foreach(json_object_get(answer, "config"), name, v)
	{
		vk_autofree char *quoted = vk_shell_quote(json_string_value(v));
		if (export)
			printf("export %s=%s\n", name, quoted);
		else
			print_pair(name, v);
	}
	return 0;
}

/* `viking config` alone is the host's configuration, `viking config STACK` a stack's. */
static int config_any(struct call *c, struct vk_err *err)
{
	if (c->words.n == 1)
		return config_show(c, err);
	if (getenv("VIKING_SSH") != NULL)
		return vk_err_set(err, VK_USAGE,
			"which stack? the host's configuration is shown on the host only");
	struct vk_config *config = NULL;
	int r = vk_config_load(c->config_file, c->root, &config, err);
	vk_autojson *answer = r == 0 && c->json ? vk_config_json(config) : NULL;
	if (answer != NULL)
		print_json(answer);
	else if (r == 0)
		vk_config_print(config, call_flag(c, "--explain"), stdout);
	vk_config_free(config);
	return r;
}

static const struct option change_options[] = {
	{"--no-restart", NULL, NULL, "keep for the next release, restart nothing"},
	{0},
};
static const struct option explain_options[] = {
	{"--explain", NULL, NULL, "each setting with its origin and meaning"},
	{0},
};

const struct command config_commands[] = {
	{"config", "[STACK] [--explain]", 0, 1, 0, true, config_any, explain_options,
		"a stack's variables; without a stack the host's settings"},
	{"config:set", "STACK NAME=VALUE ...", 2, 99, 0, false, config_set, change_options,
		"set variables: a new release"},
	{"config:unset", "STACK NAME ...", 2, 99, 0, false, config_unset, change_options,
		"remove variables: a new release"},
	{"config:get", "STACK NAME", 2, 2, 0, true, config_get, NULL, "one value"},
	{"config:show", "STACK", 1, 1, 0, true, config_show, NULL, "all variables"},
	{"config:export", "STACK", 1, 1, 0, true, config_show, NULL, "all variables, for a shell"},
	{0},
};
