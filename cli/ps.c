/* ps, ps:scale, ps:restart, ps:stop, ps:start, ps:rebuild, redeploy */
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static int ps(struct call *c, struct vk_err *err)
{
	const char *s;
	vk_autojson *answer = NULL;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = api_get(c, &answer, err, "/v1/stacks/%s/ps", s);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "INSTANCE|NODE|RELEASE|HOST|STATE|STARTED|RESTARTS|REASON");
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(answer, "instances"), i, p)
	{
		char age[32];
		format_age(vk_json_int(p, "started_ms", 0), age);
		table_add(&t, vk_json_str(p, "name", NULL));
		table_add(&t, vk_json_str(p, "node", NULL));
		long long percent = vk_json_int(p, "canary", 0);
		table_addf(&t, percent > 0 ? "v%lld canary %lld%%" : "v%lld",
			(long long)vk_json_int(p, "release", 0), percent);
		table_add(&t, vk_json_str(p, "host", NULL));
		table_add(&t, vk_json_str(p, "state", NULL));
		table_add(&t, age);
		table_addf(&t, "%lld", (long long)vk_json_int(p, "restarts", 0));
		table_add(&t, vk_json_str(p, "reason", NULL));
	}
	table_print(&t, stdout);
	return 0;
}

static int ps_scale(struct call *c, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	if (r < 0)
		return r;
	vk_autojson *body = json_object();
	for (size_t i = 1; i < c->words.n; i++) {
		const char *w = c->words.v[i], *equals = strchr(w, '=');
		uint64_t n;
		if (equals == NULL || vk_parse_u64(equals + 1, 0, 100, &n) < 0) {
			vk_err_set(err, VK_USAGE, "%.64s is not NODE=NUMBER (0 to 100)", w);
			return vk_err_hint(err, "viking ps:scale %s web=2", s);
		}
		vk_autofree char *node = vk_strndup(w, (size_t)(equals - w));
		r = vk_node_name(node, err);
		if (r < 0)
			return r;
		if (json_object_get(body, node) != NULL) {
			vk_err_set(err, VK_USAGE, "%s is named twice", node);
			return vk_err_hint(
				err, "viking ps:scale %s %s=%llu", s, node, (unsigned long long)n);
		}
		json_object_set_new(body, node, json_integer((json_int_t)n));
	}
	return api_follow(c, "POST", body, err, "/v1/stacks/%s/ps/scale", s);
}

/* The verb is the part of the command's name behind the colon. "STACK/NODE" is understood too. */
static int ps_verb(struct call *c, struct vk_err *err)
{
	const char *colon = strchr(c->command->name, ':');
	const char *verb = colon ? colon + 1 : c->command->name;
	char *slash = strchr(c->words.v[0], '/');
	const char *node = c->words.n > 1 ? c->words.v[1] : NULL;
	if (slash != NULL) {
		*slash = '\0';
		node = slash + 1;
	}
	const char *s;
	int r = stack_word(c, 0, &s, err);
	if (r == 0 && node != NULL)
		r = vk_node_name(node, err);
	if (r < 0)
		return r;
	vk_autojson *body = json_object();
	if (node != NULL)
		json_object_set_new(body, "node", json_string(node));
	return api_follow(c, "POST", body, err, "/v1/stacks/%s/ps/%s", s, verb);
}

const struct command ps_commands[] = {
	{"ps", "STACK", 1, 1, 0, true, ps, NULL, "instances and their state"},
	{"ps:scale", "STACK NODE=N ...", 2, 99, 0, false, ps_scale, NULL,
		"how many instances; stays over pushes"},
	{"ps:restart", "STACK [NODE]", 1, 2, 0, false, ps_verb, NULL, "restart instances"},
	{"ps:stop", "STACK [NODE]", 1, 2, 0, false, ps_verb, NULL, "stop instances"},
	{"ps:start", "STACK [NODE]", 1, 2, 0, false, ps_verb, NULL, "start stopped instances"},
	{"ps:rebuild", "STACK", 1, 1, 0, false, ps_verb, NULL,
		"build the current commit again, release it"},
	{"redeploy", "STACK[/NODE]", 1, 2, 0, false, ps_verb, NULL,
		"release again; applies a changed service: true definition"},
	{0},
};
