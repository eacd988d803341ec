#include <criterion/criterion.h>
#include <viking/str.h>

#include "options.h"

static int add(struct push_options *o, const char *text, struct vk_err *err)
{
	return push_options_add(o, text, strlen(text), err);
}

Test(options, known_ones_are_set_and_kept_as_given)
{
	struct push_options o = {0};
	static const char *const all[] = {"dry-run", "no-cache", "wait", "note=two words, \"x\"=1"};
	for (size_t i = 0; i < VK_COUNT(all); i++)
		cr_assert_eq(add(&o, all[i], NULL), 0, "%s", all[i]);
	cr_expect(o.dry_run && o.no_cache && o.wait && !o.supersede);
	cr_expect_str_eq(o.note, "two words, \"x\"=1");
	json_t *j = push_options_json(&o);
	cr_expect_eq(json_array_size(j), 4);
	cr_expect_str_eq(json_string_value(json_array_get(j, 3)), all[3]);
	json_decref(j);
	push_options_release(&o);
}

Test(options, bad_ones_are_refused_with_a_suggestion)
{
	static const struct {
		const char *text, *hint;
		int code;
	} rows[] = {
		{"dryrun", "-o dry-run", VK_INVALID},
		{"superseed", "-o supersede", VK_INVALID},
		{"nota=x", "-o note=TEXT", VK_INVALID},
		{"", "-o dry-run, no-cache, wait, supersede or note=TEXT", VK_INVALID},
		{"dry-run=yes", "", VK_INVALID},
		{"note", "", VK_INVALID},
		{"note=", "", VK_INVALID},
		{"note=a\x1b[0m", "", VK_INVALID},
		{"wait\n", "", VK_INVALID},
	};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct push_options o = {0};
		struct vk_err err = {0};
		cr_expect_eq(add(&o, rows[i].text, &err), rows[i].code, "%s", rows[i].text);
		cr_expect_str_eq(err.hint, rows[i].hint, "%s: %s", rows[i].text, err.hint);
		cr_expect_eq(o.given.n, 0);
		push_options_release(&o);
	}
}

Test(options, contradictions_and_limits)
{
	struct push_options o = {0};
	char long_note[NOTE_MAX_BYTES + 16] = "note=";
	memset(long_note + 5, 'x', NOTE_MAX_BYTES + 1);
	cr_expect_eq(add(&o, long_note, NULL), VK_LIMIT);
	cr_expect_eq(add(&o, "wait", NULL), 0);
	cr_expect_eq(add(&o, "supersede", NULL), VK_INVALID);
	push_options_release(&o);
	o = (struct push_options){0};
	for (int i = 0; i < OPTIONS_MAX; i++)
		cr_assert_eq(add(&o, "wait", NULL), 0);
	cr_expect_eq(add(&o, "wait", NULL), VK_LIMIT);
	push_options_release(&o);
}

Test(options, from_gits_environment)
{
	struct push_options o = {0};
	cr_expect_eq(push_options_from_env(&o, NULL), 0);
	setenv("GIT_PUSH_OPTION_COUNT", "2", 1);
	setenv("GIT_PUSH_OPTION_0", "wait", 1);
	cr_expect_eq(push_options_from_env(&o, NULL), VK_INVALID, "one is missing");
	push_options_release(&o);
	o = (struct push_options){0};
	setenv("GIT_PUSH_OPTION_1", "note=x", 1);
	cr_expect_eq(push_options_from_env(&o, NULL), 0);
	cr_expect(o.wait);
	push_options_release(&o);
	setenv("GIT_PUSH_OPTION_COUNT", "99", 1);
	cr_expect_eq(push_options_from_env(&o, NULL), VK_LIMIT);
	setenv("GIT_PUSH_OPTION_COUNT", "-1", 1);
	cr_expect_eq(push_options_from_env(&o, NULL), VK_LIMIT);
}
