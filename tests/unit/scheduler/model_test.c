#include "scene.h"

Test(model, rows_come_back_as_they_were_written)
{
	struct state st;
	state_init(&st);
	scene_put(&st, "/key/ann",
		"{'v':1,'line':'ssh-ed25519 "
		"AA','fingerprint':'SHA256:x','role':'deploy','stacks':['a-*'],"
		"'created_ms':5,'expires_ms':6,'last_used_ms':7}");
	const struct key_row *k = table_get(&st.keys, "ann");
	vk_autojson *again = model_encode(key_fields, k);
	cr_expect(scene_equal(again,
		"{'v':1,'line':'ssh-ed25519 "
		"AA','fingerprint':'SHA256:x','role':'deploy','stacks':['a-*'],"
		"'created_ms':5,'expires_ms':6,'last_used_ms':7}"));
	state_release(&st);
}

Test(model, a_newer_schema_is_refused)
{
	struct state st;
	struct vk_err err = {0};
	state_init(&st);
	vk_autojson *value = scene_json("{'v':2,'id':'00'}");
	cr_expect_eq(state_apply(&st, "/stack/a", value, &err), VK_CONFLICT);
	cr_expect(strstr(err.msg, "newer") != NULL, "%s", err.msg);
	state_release(&st);
}

Test(model, unknown_and_cut_keys_are_refused)
{
	static const char *const bad[] = {"stack/a", "/nothing/a", "/stack", "/stack/",
		"/release/a", "/release/a/x", "/release/a/0", "/config/a/"};
	struct state st;
	struct vk_err err = {0};
	state_init(&st);
	vk_autojson *value = scene_json("{'v':1,'id':'00','outcome':'ok','sealed':'s'}");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(state_apply(&st, bad[i], value, &err), VK_INVALID, "%s", bad[i]);
	state_release(&st);
}

Test(model, numbers_of_releases_are_never_used_twice)
{
	struct state st;
	state_init(&st);
	struct stack *sk = scene_stack(&st, "a", 0, "{'web':{'version':3}}");
	cr_expect_eq(sk->next, 2);
	scene_put(&st, "/release/a/7", "{'v':1,'outcome':'failed','nodes':{'web':{'version':9}}}");
	cr_expect_eq(sk->next, 8);
	cr_expect_eq(stack_node(sk, "web")->top, 9, "a failed release used its version too");
	scene_del(&st, "/release/a/7");
	cr_expect_eq(sk->next, 8);
	cr_expect_eq(stack_node(sk, "web")->top, 9);
	state_release(&st);
}

Test(model, releases_stay_in_order_of_their_numbers)
{
	struct state st;
	state_init(&st);
	scene_put(&st, "/stack/a", "{'v':1,'id':'00'}");
	for (size_t i = 0; i < 5; i++) {
		static const char *const keys[] = {"/release/a/10", "/release/a/2", "/release/a/33",
			"/release/a/1", "/release/a/9"};
		scene_put(&st, keys[i], "{'v':1,'outcome':'ok'}");
	}
	const struct stack *sk = state_stack(&st, "a");
	cr_assert_eq(sk->n_releases, 5);
	for (size_t i = 1; i < 5; i++)
		cr_expect_lt(sk->release[i - 1]->n, sk->release[i]->n);
	cr_expect_eq(stack_release(sk, 33)->n, 33);
	cr_expect_null(stack_release(sk, 3));
	state_release(&st);
}

Test(model, outcome_tells_current_from_superseded)
{
	struct state st;
	state_init(&st);
	struct stack *sk = scene_stack(&st, "a", 0, "{}");
	cr_expect_str_eq(release_outcome(sk, stack_release(sk, 1)), "current");
	scene_put(&st, "/release/a/2", "{'v':1,'outcome':'ok'}");
	scene_put(&st, "/current/a", "{'v':1,'n':2}");
	cr_expect_str_eq(release_outcome(sk, stack_release(sk, 1)), "superseded");
	scene_put(&st, "/release/a/3", "{'v':1,'outcome':'cancelled'}");
	cr_expect_str_eq(release_outcome(sk, stack_release(sk, 3)), "cancelled");
	state_release(&st);
}

Test(model, what_a_command_said_about_a_node_goes_over_the_manifest)
{
	struct state st;
	state_init(&st);
	struct stack *sk = scene_stack(&st, "a", 0, "{'web':{'version':1,'scale':2}}");
	const json_t *entry = json_object_get(stack_current(sk)->nodes, "web");
	cr_expect_eq(stack_scale(sk, "web", entry), 2);
	scene_put(&st, "/node/a/web", "{'v':1,'scale':0,'gen':4,'stopped':true}");
	cr_expect_eq(stack_scale(sk, "web", entry), 0);
	cr_expect_eq(stack_node(sk, "web")->gen, 4);
	scene_del(&st, "/node/a/web");
	cr_expect_eq(stack_scale(sk, "web", entry), 2);
	cr_expect(!stack_node(sk, "web")->stopped);
	state_release(&st);
}

Test(model, a_destroyed_stack_leaves_nothing)
{
	struct state st;
	state_init(&st);
	scene_stack(&st, "a", 0, "{}");
	scene_put(&st, "/config/a/K", "{'v':1,'sealed':'sb1:x'}");
	scene_del(&st, "/config/a/K");
	scene_del(&st, "/stack/a");
	cr_expect_null(state_stack(&st, "a"));
	cr_expect_eq(st.stacks.n, 0);
	scene_del(&st, "/stack/a"); /* twice is fine */
	state_release(&st);
}
