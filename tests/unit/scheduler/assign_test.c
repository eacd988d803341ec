#include "desired.h"
#include "op.h"
#include "scene.h"

static const json_t *def_of(void *arg, const struct stack *sk, unsigned born, const char *node)
{
	(void)sk;
	(void)born;
	(void)node;
	return arg;
}

static json_t *documents(const struct state *st)
{
	vk_autojson *def = scene_json("{'image':'i@1','health':{'type':'none'}}");
	struct desired_in in = {.st = st, .own = "uno", .def = def_of, .arg = def};
	cr_assert_eq(subnet_range_parse("10.210.0.0/16", &in.range, NULL), 0);
	return desired_build(&in);
}

static size_t instances_of(const json_t *docs, const char *host)
{
	return json_array_size(json_object_get(json_object_get(docs, host), "instances"));
}

Test(assign, the_last_row_to_name_an_instance_has_it)
{
	struct state st;
	state_init(&st);
	struct stack *sk = scene_stack(&st, "a", 0, "{'web':{'version':1,'born':1,'scale':2}}");
	scene_put(&st, "/assign/uno", "{'v':1,'stacks':{'a':['a-web-1-1','a-web-1-2']}}");
	cr_expect_str_eq(stack_host(sk, "a-web-1-2"), "uno");
	/* a move is two rows, and either may be applied first */
	scene_put(&st, "/assign/dos", "{'v':1,'stacks':{'a':['a-web-1-2']}}");
	scene_put(&st, "/assign/uno", "{'v':1,'stacks':{'a':['a-web-1-1']}}");
	cr_expect_str_eq(stack_host(sk, "a-web-1-2"), "dos");
	scene_put(&st, "/assign/dos", "{'v':1,'stacks':{}}");
	cr_expect_null(stack_host(sk, "a-web-1-2"));
	scene_put(&st, "/assign/uno", "{'v':1,'stacks':{'a':['a-web-1-1','a-web-1-2']}}");
	cr_expect_str_eq(stack_host(sk, "a-web-1-2"), "uno");
	scene_del(&st, "/assign/uno");
	cr_expect_null(stack_host(sk, "a-web-1-1"));
	state_release(&st);
}

Test(assign, rows_may_come_before_their_stack)
{
	struct state st;
	state_init(&st);
	scene_put(&st, "/assign/dos", "{'v':1,'stacks':{'a':['a-web-1-1']}}");
	struct stack *sk = scene_stack(&st, "a", 0, "{'web':{'version':1,'born':1,'scale':1}}");
	struct inst_list l = {0};
	stack_instances(sk, NULL, &l);
	cr_assert_eq(l.n, 1);
	cr_expect_str_eq(l.v[0].host, "dos");
	inst_list_release(&l);
	state_release(&st);
}

Test(assign, each_host_is_told_what_is_its)
{
	struct state st;
	state_init(&st);
	scene_stack(&st, "a", 0, "{'web':{'version':1,'born':1,'scale':3}}");
	scene_put(&st, "/host/uno", "{'v':1,'cpus':2}");
	scene_put(&st, "/host/dos", "{'v':1,'cpus':2,'roles':['db']}");
	scene_put(&st, "/host/tres", "{'v':1}");
	scene_put(&st, "/assign/dos", "{'v':1,'stacks':{'a':['a-web-1-2']}}");
	scene_put(&st, "/assign/gone", "{'v':1,'stacks':{'a':['a-web-1-3']}}");
	scene_put(&st, "/volume/v", "{'v':1,'stack':'a','node':'web','path':'/d','host':'dos'}");
	vk_autojson *docs = documents(&st);
	cr_expect_eq(instances_of(docs, "dos"), 1);
	cr_expect_eq(instances_of(docs, "tres"), 0);
	cr_expect_eq(instances_of(docs, "uno"), 2, "what has no host that is known is ours");
	const json_t *dos = json_object_get(docs, "dos"), *tres = json_object_get(docs, "tres");
	cr_expect_eq(json_array_size(json_object_get(dos, "networks")), 1);
	cr_expect_eq(json_array_size(json_object_get(tres, "networks")), 0);
	cr_expect_eq(json_array_size(json_object_get(dos, "volumes")), 1);
	cr_expect_eq(json_array_size(json_object_get(tres, "volumes")), 0);
	state_release(&st);
}
