#include "desired.h"
#include "op.h"
#include "scene.h"

static json_t *def;

static const json_t *def_of(void *arg, const struct stack *sk, unsigned born, const char *node)
{
	(void)arg;
	(void)sk;
	return born == 9 || strcmp(node, "lost") == 0 ? NULL : def;
}

static json_t *built(const struct state *st)
{
	struct desired_in in = {.st = st, .own = "uno", .health_timeout_ms = 60000, .def = def_of};
	cr_assert_eq(subnet_range_parse("10.210.0.0/16", &in.range, NULL), 0);
	json_decref(def);
	def = scene_json("{'image':'i@1','cmd':['run'],'release':['migrate'],'env':{'K':'V'},'"
			 "publish':[{'host':5000,'port':1}],"
			 "'aliases':['web'],'health':{'type':'http'},'restart':'always'}");
	vk_autojson *docs = desired_build(&in);
	return json_incref(json_object_get(docs, "uno"));
}

/* Names with what is wanted of them: "a-web-1-1:run". */
static void names_of(const json_t *doc, struct vk_strv *ret)
{
	size_t i;
	json_t *j;
	json_array_foreach(json_object_get(doc, "instances"), i, j)
		vk_strv_addf(ret, "%s:%s", vk_json_str(j, "name", ""), vk_json_str(j, "want", ""));
}

Test(desired, follows_scale_and_stop)
{
	struct state st;
	state_init(&st);
	scene_stack(&st, "a", 3,
		"{'web':{'version':2,'born':1,'scale':2},'site':{'type':'website','version':1,'"
		"born':1}}");
	vk_autojson *doc = built(&st);
	vk_autostrv names = {0}, stopped = {0};
	names_of(doc, &names);
	cr_assert_eq(names.n, 2, "a website has no instance");
	cr_expect_str_eq(names.v[0], "a-web-2-1:run");
	cr_expect_str_eq(names.v[1], "a-web-2-2:run");
	cr_expect(scene_equal(json_object_get(doc, "networks"),
		"[{'name':'viking-a','subnet':'10.210.3.0/24','stack':'a'}]"));
	scene_put(&st, "/node/a/web", "{'v':1,'scale':1,'gen':3,'stopped':true}");
	vk_autojson *after = built(&st);
	names_of(after, &stopped);
	cr_assert_eq(stopped.n, 1);
	cr_expect_str_eq(stopped.v[0], "a-web-2-1:stop");
	cr_expect_eq(
		vk_json_int(json_array_get(json_object_get(after, "instances"), 0), "gen", 0), 3);
	state_release(&st);
}

Test(desired, a_task_runs_its_command_alone)
{
	struct state st;
	state_init(&st);
	struct stack *sk = scene_stack(&st, "a", 0, "{}");
	json_decref(built(&st));
	struct inst i = {.task = true};
	inst_set(&i, "a", "web", 3, 0, 1);
	vk_autojson *j = desired_instance(sk, &i, def, 1);
	cr_expect_str_eq(vk_json_str(j, "kind", ""), "task");
	cr_expect_str_eq(vk_json_str(j, "restart", ""), "never");
	cr_expect(scene_equal(json_object_get(j, "cmd"), "['migrate']"));
	cr_expect(scene_equal(json_object_get(j, "publish"), "[]"),
		"it must not take the host port of what serves");
	cr_expect(scene_equal(json_object_get(j, "aliases"), "[]"), "nor answer for it");
	state_release(&st);
}

Test(desired, shows_what_an_operation_adds_and_forgets_it_with_it)
{
	struct state st;
	state_init(&st);
	struct stack *sk = scene_stack(&st, "a", 0, "{'web':{'version':1,'born':1,'scale':1}}");
	struct op op = {.running = true};
	inst_set(inst_list_add(&op.overlay.fresh), "a", "web", 2, 1, 1);
	sk->busy = &op;
	vk_autojson *during = built(&st);
	vk_autostrv names = {0}, left = {0}, after = {0};
	names_of(during, &names);
	cr_assert_eq(names.n, 2);
	cr_expect_str_eq(names.v[1], "a-web-2-1:run");
	op.overlay.all_stop = true;
	vk_autojson *leaving = built(&st);
	names_of(leaving, &left);
	cr_expect_str_eq(left.v[0], "a-web-1-1:stop");
	sk->busy = NULL;
	overlay_release(&op.overlay);
	vk_autojson *over = built(&st);
	names_of(over, &after);
	cr_assert_eq(after.n, 1);
	cr_expect_str_eq(after.v[0], "a-web-1-1:run");
	state_release(&st);
}

Test(desired, a_restart_goes_one_instance_ahead_of_what_is_stored)
{
	struct state st;
	state_init(&st);
	struct stack *sk = scene_stack(&st, "a", 0, "{'web':{'version':1,'born':1,'scale':2}}");
	struct op op = {.running = true};
	vk_strv_add(&op.overlay.ahead, "a-web-1-2");
	sk->busy = &op;
	vk_autojson *doc = built(&st);
	const json_t *list = json_object_get(doc, "instances");
	cr_expect_eq(vk_json_int(json_array_get(list, 0), "gen", -1), 0);
	cr_expect_eq(vk_json_int(json_array_get(list, 1), "gen", -1), 1);
	overlay_release(&op.overlay);
	state_release(&st);
}

Test(desired, keeps_draining_ones_and_leaves_out_what_has_no_definition)
{
	struct state st;
	state_init(&st);
	scene_stack(&st, "a", 0,
		"{'web':{'version':2,'born':1,'scale':1},'lost':{'version':1,'born':1,'scale':1}}");
	scene_put(&st, "/drain/a",
		"{'v':1,'instances':[{'node':'web','version':1,'n':1,'born':1,'gen':0}"
		","
		"{'node':'web','version':2,'n':1,'born':1,'gen':0},{'node':'web','version':7,'n':1,"
		"'born':9,'gen':0}]}");
	vk_autojson *doc = built(&st);
	vk_autostrv names = {0};
	names_of(doc, &names);
	cr_assert_eq(names.n, 2, "version 2 serves already, version 7 cannot be had");
	cr_expect_str_eq(names.v[0], "a-web-2-1:run");
	cr_expect_str_eq(names.v[1], "a-web-1-1:run");
	state_release(&st);
}

Test(desired, names_what_is_to_go)
{
	struct state st;
	state_init(&st);
	scene_put(&st, "/volume/viking-a-db-1", "{'v':1,'stack':'a','node':'db','path':'/d'}");
	scene_put(&st, "/gone/volume/viking-b-db-1", "{'v':1}");
	scene_put(&st, "/gone/network/viking-b", "{'v':1}");
	scene_put(&st, "/gone/logs/b", "{'v':1}");
	vk_autojson *doc = built(&st);
	cr_expect(scene_equal(json_object_get(doc, "volumes"),
		"[{'name':'viking-a-db-1','stack':'a','node':'db','path':'/d'}]"));
	cr_expect(scene_equal(json_object_get(doc, "remove"),
		"[{'network':'viking-b'},{'volume':'viking-b-db-1'}]"));
	cr_expect(scene_equal(json_object_get(doc, "forget_logs"), "['b']"));
	state_release(&st);
}

Test(desired, in_a_cluster_others_reach_it_at_its_hosts_address)
{
	struct state st;
	state_init(&st);
	scene_stack(&st, "a", 0, "{'web':{'version':1,'born':1,'scale':1}}");
	scene_put(&st, "/host/uno", "{'v':1,'created_ms':1}");
	vk_autojson *alone = built(&st);
	cr_expect_null(
		json_object_get(json_array_get(json_object_get(alone, "instances"), 0), "reach"));
	scene_put(&st, "/host/uno", "{'v':1,'created_ms':1,'addr':'100.64.0.1','port':8792}");
	vk_autojson *cluster = built(&st);
	cr_expect_str_eq(
		vk_json_str(json_array_get(json_object_get(cluster, "instances"), 0), "reach", ""),
		"100.64.0.1");
	state_release(&st);
}
