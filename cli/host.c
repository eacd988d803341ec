/* state, explain, doctor, volumes, gc, version, help */
#include <unistd.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static int state(struct call *c, struct vk_err *err)
{
	vk_autofree char *prefix = url_escape(c->words.n ? c->words.v[0] : "/");
	vk_autojson *answer = NULL;
	int r = api_get(c, &answer, err, "/v1/state?prefix=%s", prefix);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	size_t i;
	json_t *k;
	json_array_foreach(json_object_get(answer, "keys"), i, k)
	{
		const json_t *v = json_object_get(k, "value");
		vk_autofree char *text =
			json_is_string(v) ? vk_strdup(json_string_value(v)) : vk_json_text(v);
		char clean[8192];
		vk_str_printable(text, strlen(text), clean, sizeof(clean));
		printf("%s = %s\n", vk_json_str(k, "key", "?"), clean);
	}
	return 0;
}

static int explain(struct call *c, struct vk_err *err)
{
	char *slash = strchr(c->words.v[0], '/');
	if (slash == NULL) {
		vk_err_set(err, VK_USAGE, "%.64s is not STACK/NODE", c->words.v[0]);
		return vk_err_hint(err, "viking explain %.64s/web", c->words.v[0]);
	}
	*slash = '\0';
	const char *s;
	vk_autojson *answer = NULL;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = vk_node_name(slash + 1, err);
	if (r == 0)
		r = api_get(c, &answer, err, "/v1/explain/%s/%s", s, slash + 1);
	if (r < 0)
		return r;
	const json_t *lines = json_object_get(answer, "lines");
	if (c->json || !json_is_array(lines))
		return print_json(answer);
	size_t i;
	json_t *l;
	json_array_foreach(lines, i, l) puts(json_string_value(l));
	return 0;
}

static int firewall(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = api_get(c, &answer, err, "/v1/firewall");
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	if (call_flag(c, "--print")) {
		fputs(vk_json_str(answer, "rules", ""), stdout);
		return 0;
	}
	const char *why = vk_json_str(answer, "error", "");
	printf("table inet %s: %s%s%s\n", vk_json_str(answer, "table", "?"),
		!vk_json_bool(answer, "enabled", true)           ? "off (firewall.enabled)"
			: vk_json_bool(answer, "applied", false) ? "in force"
								 : "not in force",
		why[0] != '\0' ? ": " : "", why);
	return 0;
}

static int doctor(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = api_get(c, &answer, err, "/v1/doctor");
	if (r < 0)
		return r;
	size_t i, bad = 0;
	json_t *k;
	json_array_foreach(json_object_get(answer, "checks"), i, k)
	{
		const json_t *ok = json_object_get(k, "ok");
		bad += json_is_false(ok);
		if (c->json)
			continue;
		printf("%-5s %-14s %s\n",
			json_is_true(ok)            ? "ok"
				: json_is_false(ok) ? "FAIL"
						    : "warn",
			vk_json_str(k, "name", "?"), vk_json_str(k, "what", ""));
		const char *hint = vk_json_str(k, "hint", "");
		if (hint[0] != '\0' && !json_is_true(ok))
			printf("      try: %s\n", hint);
	}
	c->exit_status = bad ? 1 : 0;
	return c->json ? print_json(answer) : 0;
}

static int volumes_list(struct call *c, struct vk_err *err)
{
	const char *s = NULL;
	vk_autojson *answer = NULL;
	int r = c->words.n ? stack_word(c, 0, &s, err) : 0;
	if (r == 0)
		r = api_get(c, &answer, err, "/v1/volumes%s%s", s ? "?stack=" : "", s ? s : "");
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "VOLUME|STACK|NODE|PATH|HOST");
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(answer, "volumes"), i, v)
	{
		table_add(&t, vk_json_str(v, "name", NULL));
		table_add(&t, vk_json_str(v, "stack", NULL));
		table_add(&t, vk_json_str(v, "node", NULL));
		table_add(&t, vk_json_str(v, "path", NULL));
		table_add(&t, vk_json_str(v, "host", NULL));
	}
	table_print(&t, stdout);
	return 0;
}

static int volumes_remove(struct call *c, struct vk_err *err)
{
	vk_autofree char *name = url_escape(c->words.v[0]);
	if (!call_flag(c, "--force")) {
		vk_err_set(err, VK_USAGE, "removing %.128s destroys its data", c->words.v[0]);
		return vk_err_hint(err, "viking volumes:remove %.128s --force", c->words.v[0]);
	}
	int r = api_send(c, "DELETE", NULL, NULL, err, "/v1/volumes/%s", name);
	if (r == 0)
		printf("%s removed\n", c->words.v[0]);
	return r;
}

static int gc(struct call *c, struct vk_err *err)
{
	return api_follow(c, "POST", NULL, err, "/v1/gc");
}

static int version(struct call *c, struct vk_err *err)
{
	(void)err;
	if (c->json) {
		vk_autojson *answer = json_pack("{s:s}", "version", VIKING_VERSION);
		return print_json(answer);
	}
	puts("viking " VIKING_VERSION);
	return 0;
}

static int help(struct call *c, struct vk_err *err)
{
	if (c->words.n == 0) {
		command_help_all(stdout);
		return 0;
	}
	const struct command *k = command_find(c->words.v[0]);
	if (k == NULL) {
		vk_err_set(err, VK_NOTFOUND, "%.64s is not a viking command", c->words.v[0]);
		return vk_err_hint(err, "viking help");
	}
	command_help(k, stdout);
	return 0;
}

static const struct option state_options[] = {
	{"--keys", NULL, NULL, "the keys of the state (the default, and the only view)"},
	{0},
};
static const struct option force_options[] = {
	{"--force", NULL, NULL, "do it"},
	{0},
};

static const struct option firewall_options[] = {
	{"--print", NULL, NULL, "the rules themselves"},
	{0},
};

const struct command host_commands[] = {
	{"state", "[--keys] [PREFIX]", 0, 1, 0, true, state, state_options,
		"the keys of the state: /proc, /run, /deploy, /ports ..."},
	{"explain", "STACK/NODE", 1, 1, 0, true, explain, NULL, "why a node is where and as it is"},
	{"firewall", "[--print]", 0, 0, 0, true, firewall, firewall_options,
		"what containers may reach; --print: the nftables rules"},
	{"doctor", "", 0, 0, 0, true, doctor, NULL, "what works, what does not, what to type"},
	{"volumes:list", "[STACK]", 0, 1, 0, true, volumes_list, NULL,
		"volumes and whose they are"},
	{"volumes:remove", "VOLUME --force", 1, 1, 0, false, volumes_remove, force_options,
		"destroy a volume that no node uses"},
	{"gc", "", 0, 0, 0, false, gc, NULL, "collect images that no kept release needs"},
	{"version", "", 0, 0, 0, true, version, NULL, "the version"},
	{"help", "[COMMAND]", 0, 1, 0, false, help, NULL, "this, or one command"},
	{0},
};
