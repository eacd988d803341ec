/* stacks:create, list, info, destroy, rename, lock, unlock */
#include <unistd.h>
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static int stacks_create(struct call *c, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	if (r < 0)
		return r;
	vk_autojson *body = json_pack("{s:s}", "name", s);
	r = api_send(c, "POST", body, NULL, err, "/v1/stacks");
	if (r == 0)
		printf("%s created\n", s);
	return r;
}

static int stacks_list(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = api_get(c, &answer, err, "/v1/stacks");
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "STACK|STATE|RELEASE|INSTANCES|DOMAINS|CHANGED");
	size_t i;
	json_t *s;
	const char *old = NULL;
	json_array_foreach(json_object_get(answer, "stacks"), i, s)
	{
		if (old == NULL && vk_json_bool(s, "rebuild_offered", false))
			old = vk_json_str(s, "name", "?");
		char age[32];
		format_age(vk_json_int(s, "updated_ms", 0), age);
		vk_autobuf domains = VK_BUF_INIT(4096);
		size_t n;
		json_t *d;
		json_array_foreach(json_object_get(s, "domains"), n, d)
			vk_buf_addf(&domains, "%s%s", n ? "," : "", json_string_value(d));
		table_add(&t, vk_json_str(s, "name", NULL));
		table_addf(&t, "%s%s%s", vk_json_str(s, "state", "-"),
			vk_json_bool(s, "locked", false) ? " (locked)" : "",
			vk_json_bool(s, "rebuild_offered", false) ? " (old stack image)" : "");
		int64_t n_release = vk_json_int(s, "release", 0);
		if (n_release > 0)
			table_addf(&t, "v%lld", (long long)n_release);
		else
			table_add(&t, NULL);
		table_addf(&t, "%lld/%lld", (long long)vk_json_int(s, "healthy", 0),
			(long long)vk_json_int(s, "instances", 0));
		table_add(&t, vk_buf_str(&domains));
		table_add(&t, age);
	}
	table_print(&t, stdout);
	if (old != NULL)
		printf("there is a newer stack image; for each: viking ps:rebuild %s\n", old);
	return 0;
}

static int stacks_info(struct call *c, struct vk_err *err)
{
	const char *s;
	vk_autojson *answer = NULL;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = api_get(c, &answer, err, "/v1/stacks/%s", s);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	print_pairs(answer);
	if (vk_json_bool(answer, "rebuild_offered", false))
		printf("there is a newer stack image: viking ps:rebuild %s\n", s);
	return 0;
}

static int confirmed(const struct call *c, const char *s, struct vk_err *err)
{
	if (call_flag(c, "--force"))
		return 0;
	if (!isatty(STDIN_FILENO)) {
		vk_err_set(err, VK_USAGE,
			"destroying %s removes its containers, volumes and repository", s);
		return vk_err_hint(err, "viking stacks:destroy %s --force", s);
	}
	fprintf(stderr,
		" !     This destroys %s: its containers, volumes, releases and repository.\n"
		" !     To go on, type the stack's name: ",
		s);
	char line[128];
	if (fgets(line, sizeof(line), stdin) == NULL)
		line[0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return vk_streq(line, s)
		? 0
		: vk_err_set(err, VK_CANCELLED, "not confirmed: nothing was destroyed");
}

static int stacks_destroy(struct call *c, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = api_get(c, NULL, err, "/v1/stacks/%s", s); /* unknown: say so before asking */
	if (r == 0)
		r = confirmed(c, s, err);
	return r < 0 ? r : api_follow(c, "DELETE", NULL, err, "/v1/stacks/%s", s);
}

static int stacks_rename(struct call *c, struct vk_err *err)
{
	const char *s, *to;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = stack_word(c, 1, &to, err);
	if (r < 0)
		return r;
	vk_autojson *body = json_pack("{s:s}", "name", to);
	return api_follow(c, "POST", body, err, "/v1/stacks/%s/rename", s);
}

static int stacks_lock(struct call *c, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	if (r < 0)
		return r;
	bool lock = vk_streq(c->command->name, "stacks:lock");
	vk_autojson *body = json_object();
	if (lock && c->words.n > 1)
		json_object_set_new(
			body, "reason", vk_json_safe_string(c->words.v[1], strlen(c->words.v[1])));
	r = api_send(c, "POST", body, NULL, err, "/v1/stacks/%s/%s", s, lock ? "lock" : "unlock");
	if (r == 0)
		printf("%s %s\n", s, lock ? "locked: pushes are refused" : "unlocked");
	return r;
}

static const struct option destroy_options[] = {
	{"--force", NULL, NULL, "do not ask"},
	{0},
};

const struct command stacks_commands[] = {
	{"stacks:list", "", 0, 0, 0, true, stacks_list, NULL, "all stacks you may see"},
	{"stacks:create", "STACK", 1, 1, 0, false, stacks_create, NULL, "make an empty stack"},
	{"stacks:info", "STACK", 1, 1, 0, true, stacks_info, NULL, "everything about one stack"},
	{"stacks:rename", "STACK NEW", 2, 2, 0, false, stacks_rename, NULL,
		"give a stack another name"},
	{"stacks:lock", "STACK [REASON]", 1, 2, 0, false, stacks_lock, NULL, "refuse pushes"},
	{"stacks:unlock", "STACK", 1, 1, 0, false, stacks_lock, NULL, "accept pushes again"},
	{"stacks:destroy", "STACK [--force]", 1, 1, 0, false, stacks_destroy, destroy_options,
		"remove a stack and all it has"},
	{0},
};
