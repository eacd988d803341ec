/* releases, releases:info, rollback */
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static void release_row(struct table *t, const json_t *r)
{
	char age[32], took[24];
	format_age(vk_json_int(r, "when_ms", 0), age);
	vk_format_duration_ms(vk_json_int(r, "ms", 0), took);
	const char *note = vk_json_str(r, "note", "");
	table_addf(t, "v%lld%s", (long long)vk_json_int(r, "n", 0),
		vk_json_bool(r, "current", false) ? " *" : "");
	table_add(t, vk_json_str(r, "kind", NULL));
	table_addf(t, "%.12s", vk_json_str(r, "commit", "-"));
	table_add(t, vk_json_str(r, "who", NULL));
	table_add(t, age);
	table_add(t, took);
	if (json_object_get(r, "percent") != NULL)
		table_addf(t, "canary %lld%%", (long long)vk_json_int(r, "percent", 0));
	else
		table_add(t, vk_json_str(r, "outcome", NULL));
	table_addf(t, "%s%s%s", vk_json_str(r, "why", ""), note[0] ? " " : "", note);
}

static int releases_list(struct call *c, struct vk_err *err)
{
	const char *s;
	vk_autojson *answer = NULL;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = api_get(c, &answer, err, "/v1/stacks/%s/releases", s);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "RELEASE|KIND|COMMIT|WHO|WHEN|TOOK|OUTCOME|WHY");
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(answer, "releases"), i, row) release_row(&t, row);
	table_print(&t, stdout);
	return 0;
}

static int release_word(const struct call *c, size_t i, uint64_t *ret, struct vk_err *err)
{
	const char *w = c->words.v[i];
	if (vk_parse_u64(w[0] == 'v' ? w + 1 : w, 1, 1000000000, ret) == 0)
		return 0;
	vk_err_set(err, VK_USAGE, "%.32s is not a release", w);
	return vk_err_hint(err, "viking releases %s", c->words.v[0]);
}

static int releases_info(struct call *c, struct vk_err *err)
{
	const char *s;
	uint64_t n;
	vk_autojson *answer = NULL;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = release_word(c, 1, &n, err);
	if (r == 0)
		r = api_get(
			c, &answer, err, "/v1/stacks/%s/releases/%llu", s, (unsigned long long)n);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	json_t *receipt = json_object_get(answer, "receipt");
	if (receipt != NULL)
		json_object_set(answer, "receipt", json_object_get(receipt, "text"));
	print_pairs(answer);
	return 0;
}

static int rollback(struct call *c, struct vk_err *err)
{
	const char *s;
	uint64_t n = 0;
	int r = stack_word(c, 0, &s, err);
	if (r == 0 && c->words.n > 1)
		r = release_word(c, 1, &n, err);
	if (r < 0)
		return r;
	vk_autojson *body = json_object();
	if (n > 0)
		json_object_set_new(body, "to", json_integer((json_int_t)n));
	return api_follow(c, "POST", body, err, "/v1/stacks/%s/rollback", s);
}

/* The verb is the part of the command's name behind the colon. */
static int end_trial(struct call *c, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	return r < 0 ? r
		     : api_follow(c, "POST", NULL, err, "/v1/stacks/%s/%s", s,
			       strchr(c->command->name, ':') + 1);
}

const struct command releases_commands[] = {
	{"releases:list", "STACK", 1, 1, 0, true, releases_list, NULL,
		"what was released, by whom, why"},
	{"releases:info", "STACK vN", 2, 2, 0, true, releases_info, NULL, "one release in full"},
	{"releases:promote", "STACK", 1, 1, 0, false, end_trial, NULL,
		"all requests to the canary; the old instances drain"},
	{"releases:abort", "STACK", 1, 1, 0, false, end_trial, NULL,
		"all requests back to the old release; the canary drains"},
	{"rollback", "STACK [vN]", 1, 2, 0, false, rollback, NULL,
		"release an older one again: code and config, no build"},
	{0},
};
