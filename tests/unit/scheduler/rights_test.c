/* Who may do what, and what a push may ask. */
#include "rights.h"

#include "pushopt.h"
#include "scene.h"

Test(rights, the_matrix)
{
	vk_autojson *globs = scene_json("['web-*','one']");
	struct caller key = {
		.kind = CALLER_KEY, .name = "key:k", .key_role = "deploy", .stacks = globs};
	struct caller admin = {.kind = CALLER_KEY, .name = "key:a", .key_role = "admin"};
	struct caller local = {.kind = CALLER_LOCAL_ADMIN},
		      agent = {.kind = CALLER_ROLE, .role = ROLE_AGENT};
	for (enum verb v = VERB_PUSH; v < VERB_COUNT; v++) {
		bool deploys = v != VERB_ADMIN;
		cr_expect_eq(
			rights_check(&key, v, "web-1", NULL) == 0, deploys, "%s", verb_name(v));
		cr_expect_eq(rights_check(&key, v, "one", NULL) == 0, deploys, "%s", verb_name(v));
		cr_expect_eq(rights_check(&key, v, "two", NULL), VK_DENIED, "%s", verb_name(v));
		cr_expect_eq(rights_check(&admin, v, "two", NULL), 0, "%s", verb_name(v));
		cr_expect_eq(rights_check(&local, v, "two", NULL), 0, "%s", verb_name(v));
		cr_expect_eq(rights_check(&agent, v, "two", NULL), VK_DENIED, "%s", verb_name(v));
	}
	cr_expect(rights_sees(&key, "web-x") && !rights_sees(&key, "two") &&
		rights_sees(&admin, "two"));
	cr_expect_not(rights_sees(&agent, "one"));
	cr_expect_eq(role_from_name("king"), 0);
}

/* ---- push options ---- */

Test(pushopt, known_options_and_no_others)
{
	struct pushopt o;
	struct vk_err err = {0};
	vk_autojson *good = scene_json("['dry-run','no-cache','wait','note=hello world']");
	cr_assert_eq(pushopt_parse(good, &o, &err), 0);
	cr_expect(o.dry_run && o.no_cache && o.wait && !o.supersede);
	cr_expect_str_eq(o.note, "hello world");
	vk_autojson *near = scene_json("['dryrun']"), *both = scene_json("['wait','supersede']"),
		    *number = scene_json("[1]");
	cr_expect_eq(pushopt_parse(near, &o, &err), VK_INVALID);
	cr_expect(strstr(err.hint, "dry-run") != NULL, "%s", err.hint);
	cr_expect_eq(pushopt_parse(both, &o, &err), VK_INVALID);
	cr_expect_eq(pushopt_parse(number, &o, &err), VK_INVALID);
	cr_expect_eq(pushopt_parse(NULL, &o, &err), 0);
	cr_expect_str_eq(o.note, "");
}

Test(rights, a_stack_is_named_to_who_may_see_it)
{
	vk_autojson *globs = json_pack("[s]", "shop*");
	const struct caller root = {.kind = CALLER_LOCAL_ADMIN},
			    admin = {.kind = CALLER_KEY, .key_role = "admin"},
			    key = {.kind = CALLER_KEY, .key_role = "deploy", .stacks = globs},
			    role = {.kind = CALLER_ROLE};
	cr_expect_str_eq(rights_name(&root, "other"), "other");
	cr_expect_str_eq(rights_name(&admin, "other"), "other");
	cr_expect_str_eq(rights_name(&key, "shop-2"), "shop-2");
	cr_expect_str_eq(rights_name(&key, "other"), "another stack");
	cr_expect_str_eq(rights_name(&role, "other"), "another stack");
}
