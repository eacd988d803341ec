#include "op.h"
#include "routes.h"
#include "scene.h"

/* What the agents are said to have reported: "name=address" healthy, "name!address" unhealthy, else nothing. In a cluster
 * "name=address@h2", where others have it at 100.64.0.9:20001 for its port 80; "@h2?": its agent is away; "@-h2": not reached. */
static bool address_of(void *arg, const char *instance, struct inst_addr *ret)
{
	static char ip[32];
	static json_t *ports;
	for (const char *const *at = arg; *at != NULL; at++) {
		size_t n = strlen(instance);
		if (strncmp(*at, instance, n) != 0 || ((*at)[n] != '=' && (*at)[n] != '!'))
			continue;
		const char *host = strchr(*at, '@'), *addr = *at + n + 1;
		ports = ports != NULL ? ports : scene_json("{'80':20001}");
		*ret = (struct inst_addr){.healthy = (*at)[n] == '=', .ip = addr};
		if (host == NULL)
			return true;
		snprintf(ip, sizeof(ip), "%.*s", (int)(host - addr), addr);
		ret->ip = ip;
		ret->host = "h2";
		ret->away = strchr(host, '?') != NULL;
		ret->far = host[1] != '-' ? "100.64.0.9" : NULL;
		ret->ports = ports;
		return true;
	}
	return false;
}

static json_t *stack_of(const struct state *st, const char *const *reported)
{
	struct routes_in in = {.st = st,
		.base_domain = "t",
		.address = address_of,
		.arg = (void *)(uintptr_t)reported};
	vk_autojson *all = routes_build(&in);
	return json_incref(json_object_get(json_object_get(all, "stacks"), "a"));
}

#define SERVER(name, addr, state) \
	"{'id':'" name "','addr':'" addr "','port':80,'state':'" state "'}"

static struct stack *world(struct state *st)
{
	state_init(st);
	return scene_stack(st, "a", 0,
		"{'web':{'version':1,'born':1,'scale':2,'port':80,'domains':['a.com']}}");
}

Test(routes, only_what_has_an_address_is_a_server)
{
	struct state st;
	world(&st);
	const char *const some[] = {"a-web-1-1=10.0.0.2", NULL},
			  *const sick[] = {"a-web-1-1=10.0.0.2", "a-web-1-2!10.0.0.3", NULL};
	const char *const none[] = {NULL};
	vk_autojson *one = stack_of(&st, some), *two = stack_of(&st, sick),
		    *empty = stack_of(&st, none);
	cr_expect(scene_equal(one,
		"{'backends':{'web':{'servers':[" SERVER(
			"a-web-1-1", "10.0.0.2", "ready") "]}},"
							  "'domains':{'a.com':'web'},'sites':[]}"));
	cr_expect(scene_equal(json_object_get(two, "backends"),
			  "{'web':{'servers':[" SERVER("a-web-1-1", "10.0.0.2", "ready") "," SERVER(
				  "a-web-1-2", "10.0.0.3", "drain") "]}}"),
		"what is unhealthy gets nothing new");
	cr_expect(
		scene_equal(empty,
			"{'backends':{'web':{'servers':[]}},'domains':{'a.com':'web'},'sites':[]}"),
		"a name without a server answers 503, not 404");
	state_release(&st);
}

Test(routes, a_switch_moves_to_the_new_version_in_one_table)
{
	struct state st;
	struct stack *sk = world(&st);
	const char *const all[] = {
		"a-web-1-1=10.0.0.2", "a-web-1-2=10.0.0.3", "a-web-2-1=10.0.0.4", NULL};
	struct release next = {.n = 2,
		.nodes = scene_json(
			"{'web':{'version':2,'born':2,'scale':1,'port':80,'domains':['b.com']}}")};
	struct op op = {.running = true, .overlay.release = &next};
	inst_set(inst_list_add(&op.overlay.fresh), "a", "web", 2, 1, 2);
	sk->busy = &op;
	vk_autojson *before = stack_of(&st, all);
	cr_expect(scene_equal(json_object_get(before, "domains"), "{'a.com':'web'}"));
	cr_expect_eq(
		json_array_size(json_object_get(
			json_object_get(json_object_get(before, "backends"), "web"), "servers")),
		2, "what is being started gets no request yet");
	op.overlay.switched = true;
	vk_autojson *after = stack_of(&st, all);
	cr_expect(scene_equal(json_object_get(after, "domains"), "{'b.com':'web'}"));
	cr_expect(scene_equal(json_object_get(after, "backends"),
		"{'web':{'servers':[" SERVER("a-web-1-1", "10.0.0.2", "drain") "," SERVER(
			"a-web-1-2", "10.0.0.3", "drain") "," SERVER("a-web-2-1", "10.0.0.4",
			"ready") "]}}"));
	json_decref(next.nodes);
	overlay_release(&op.overlay);
	state_release(&st);
}

Test(routes, requests_wait_for_a_release_task_where_the_manifest_says_so)
{
	struct state st;
	struct stack *sk = world(&st);
	const char *const all[] = {"a-web-1-1=10.0.0.2", NULL}, *const none[] = {NULL};
	struct op op = {.running = true};
	json_object_set_new(json_object_get(stack_current(sk)->nodes, "web"), "traffic",
		scene_json("{'hold_ms':5000}"));
	vk_autojson *idle = stack_of(&st, none);
	cr_expect(scene_equal(json_object_get(idle, "domains"), "{'a.com':'web'}"),
		"without a deploy nobody knows what to wait for");
	sk->busy = &op;
	vk_autojson *busy = stack_of(&st, all), *gap = stack_of(&st, none);
	cr_expect(scene_equal(json_object_get(busy, "domains"), "{'a.com':'web'}"));
	cr_expect(scene_equal(json_object_get(gap, "domains"),
		"{'a.com':{'to':'web','policy':{'hold_ms':5000}}}"));
	struct inst *task = inst_list_add(&op.overlay.fresh);
	inst_set(task, "a", "web", 2, 1, 2);
	task->task = true;
	vk_autojson *during = stack_of(&st, all);
	cr_expect(scene_equal(json_object_get(during, "domains"),
		"{'a.com':{'to':'web','policy':{'hold_ms':5000}}}"));
	overlay_release(&op.overlay);
	state_release(&st);
}

Test(routes, a_leaving_stack_has_no_routes)
{
	struct state st;
	struct stack *sk = world(&st);
	const char *const all[] = {"a-web-1-1=10.0.0.2", NULL};
	struct op op = {.running = true, .overlay.all_stop = true};
	sk->busy = &op;
	cr_expect_null(stack_of(&st, all));
	state_release(&st);
}

Test(routes, stopped_and_drained_instances_get_nothing_new)
{
	struct state st;
	struct stack *sk = world(&st);
	const char *const all[] = {"a-web-1-1=10.0.0.2", "a-web-1-2=10.0.0.3", NULL};
	struct op op = {.running = true};
	vk_strv_add(&op.overlay.drain, "a-web-1-2");
	sk->busy = &op;
	vk_autojson *draining = stack_of(&st, all);
	cr_expect(scene_equal(json_object_get(draining, "backends"),
		"{'web':{'servers':[" SERVER("a-web-1-1", "10.0.0.2", "ready") "," SERVER(
			"a-web-1-2", "10.0.0.3", "drain") "]}}"));
	sk->busy = NULL;
	overlay_release(&op.overlay);
	scene_put(&st, "/node/a/web", "{'v':1,'scale':-1,'gen':0,'stopped':true}");
	vk_autojson *stopped = stack_of(&st, all);
	cr_expect(scene_equal(json_object_get(stopped, "backends"), "{'web':{'servers':[]}}"));
	state_release(&st);
}

Test(routes, sites_are_those_of_the_release_that_bore_them)
{
	struct state st;
	state_init(&st);
	scene_stack(&st, "a", 0,
		"{'help':{'type':'website','version':1,'born':1,'domains':['h.com']}}");
	struct routes_in in = {.st = &st, .base_domain = "t", .address = address_of};
	vk_autojson *sites = sites_build(&in);
	cr_expect(scene_equal(
		sites, "{'sites':{'h.com':{'stack':'a','node':'help','commit':'c1'}}}"));
	const char *const none[] = {NULL};
	vk_autojson *stack = stack_of(&st, none);
	cr_expect(
		scene_equal(stack, "{'backends':{},'domains':{'h.com':'help'},'sites':['help']}"));
	state_release(&st);
}

static struct stack *with_canary(struct state *st)
{
	struct stack *sk = world(st);
	scene_put(st, "/release/a/2",
		"{'v':1,'outcome':'canary','receipt':{'until_ms':1,'watch_ms':1},'nodes':{"
		"'web':{'version':2,'born':2,'scale':1,'port':80,'domains':['new.com']},"
		"'more':{'version':1,'born':2,'scale':1,'port':80}}}");
	scene_put(st, "/canary/a", "{'v':1,'n':2,'percent':30,'nodes':['web','more']}");
	return sk;
}

Test(routes, a_canary_gets_its_part)
{
	struct state st;
	with_canary(&st);
	static const char *const all[] = {"a-web-1-1=10.0.0.1", "a-web-1-2=10.0.0.2",
		"a-web-2-1=10.0.0.3", "a-more-1-1=10.0.0.4", NULL};
	vk_autojson *j = stack_of(&st, all);
	cr_expect(scene_equal(json_object_get(json_object_get(j, "backends"), "web"),
		"{'canary':30,'servers':[" SERVER("a-web-1-1", "10.0.0.1", "ready") "," SERVER(
			"a-web-1-2", "10.0.0.2", "ready") "," SERVER("a-web-2-1", "10.0.0.3",
			"canary") "]}"));
	cr_expect(scene_equal(json_object_get(j, "domains"),
			  "{'a.com':{'to':'web','policy':{'canary':true}}}"),
		"its domains wait for the promotion");
	cr_expect_eq(vk_json_int(j, "watch", 0), 2);
	static const char *const alone[] = {
		"a-web-1-1!10.0.0.1", "a-web-1-2!10.0.0.2", "a-web-2-1=10.0.0.3", NULL};
	vk_autojson *k = stack_of(&st, alone);
	cr_expect(scene_equal(json_object_get(json_object_get(k, "backends"), "web"),
			  "{'servers':[" SERVER("a-web-1-1", "10.0.0.1", "drain") "," SERVER(
				  "a-web-1-2", "10.0.0.2", "drain") "," SERVER("a-web-2-1",
				  "10.0.0.3", "ready") "]}"),
		"who else is there gets all");
	state_release(&st);
}

/* What each end of a trial makes of its instances, and of those that serve. */
Test(routes, a_trial_ends)
{
	struct state st;
	struct stack *sk = with_canary(&st);
	struct op op = {.running = true, .overlay = {.switched = true, .abort = true}};
	static const char *const both[] = {"a-web-1-1=10.0.0.1", "a-web-2-1=10.0.0.3", NULL};
	sk->busy = &op;
	vk_autojson *aborted = stack_of(&st, both);
	cr_expect(scene_equal(json_object_get(json_object_get(aborted, "backends"), "web"),
		"{'servers':[" SERVER("a-web-1-1", "10.0.0.1", "ready") "," SERVER(
			"a-web-2-1", "10.0.0.3", "drain") "]}"));
	op.overlay.abort = false;
	op.overlay.release = stack_canary(sk);
	vk_autojson *promoted = stack_of(&st, both);
	cr_expect(scene_equal(json_object_get(json_object_get(promoted, "backends"), "web"),
		"{'servers':[" SERVER("a-web-1-1", "10.0.0.1", "drain") "," SERVER(
			"a-web-2-1", "10.0.0.3", "ready") "]}"));
	cr_expect(json_object_get(json_object_get(promoted, "domains"), "new.com") != NULL);
	op.overlay.trial = scene_json("{'n':3,'percent':5,'nodes':['web']}");
	vk_autojson *another = stack_of(&st, both);
	cr_expect(scene_equal(json_object_get(json_object_get(another, "backends"), "web"),
			  "{'servers':[" SERVER("a-web-1-1", "10.0.0.1", "ready") "," SERVER(
				  "a-web-2-1", "10.0.0.3", "drain") "]}"),
		"another canary takes the place of the first alone");
	overlay_release(&op.overlay);
	sk->busy = NULL;
	state_release(&st);
}

Test(routes, tcp_services_http2_and_pages)
{
	struct state st;
	state_init(&st);
	scene_stack(&st, "a", 0,
		"{'db':{'version':1,'born':1,'scale':1,'port':80,'h2':[80],'pages':{'503':'x'},"
		"'tcp':[{'front':5432,'port':9000}]}}");
	static const char *const there[] = {"a-db-1-1=10.0.0.1", NULL};
	vk_autojson *j = stack_of(&st, there);
	cr_expect(scene_equal(json_object_get(j, "backends"),
		"{'db':{'h2':true,'pages':{'503':'x'},'servers':[" SERVER("a-db-1-1", "10.0.0.1",
			"ready") "]},'db@5432':{'servers':[{'id':'a-db-1-1','addr':'10.0.0.1','"
				 "port':9000,'state':'ready'}]}}"));
	state_release(&st);
}

#define FAR "'host':'h2','far':{'addr':'100.64.0.9','port':20001},"

Test(routes, in_a_cluster_a_server_says_where_it_is)
{
	struct state st;
	world(&st);
	const char *const far[] = {"a-web-1-1=10.0.0.2@h2", NULL},
			  *const near[] = {"a-web-1-1=10.0.0.2@-h2", NULL};
	vk_autojson *one = stack_of(&st, far), *two = stack_of(&st, near);
	cr_expect(scene_equal(json_object_get(one, "backends"),
		"{'web':{'servers':[{'id':'a-web-1-1'," FAR
		"'addr':'10.0.0.2','port':80,'state':'ready'}]}}"));
	cr_expect(scene_equal(json_object_get(two, "backends"),
			  "{'web':{'servers':[{'id':'a-web-1-1','host':'h2',"
			  "'addr':'10.0.0.2','port':80,'state':'ready'}]}}"),
		"it has no port for the others");
	state_release(&st);
}

Test(routes, what_a_silent_host_runs_is_the_last_choice)
{
	struct state st;
	world(&st);
	const char *const one[] = {"a-web-1-1=10.0.0.2@h2?", "a-web-1-2=10.0.0.3", NULL},
			  *const all[] = {"a-web-1-1=10.0.0.2@h2?", "a-web-1-2=10.0.0.3@h2?", NULL};
	vk_autojson *some = stack_of(&st, one), *none = stack_of(&st, all);
	cr_expect(scene_equal(json_object_get(some, "backends"),
		"{'web':{'servers':[{'id':'a-web-1-1'," FAR
		"'addr':'10.0.0.2','port':80,'state':'drain'}," SERVER(
			"a-web-1-2", "10.0.0.3", "ready") "]}}"));
	cr_expect(
		scene_equal(json_object_get(none, "backends"),
			"{'web':{'servers':[{'id':'a-web-1-1'," FAR
			"'addr':'10.0.0.2','port':80,'state':'ready'},"
			"{'id':'a-web-1-2'," FAR "'addr':'10.0.0.3','port':80,'state':'ready'}]}}"),
		"better than none");
	state_release(&st);
}

/* ---- what is kept from pass to pass ---- */

static json_t *domains_kept(const struct state *st, const char *stack, json_t **memo)
{
	static const char *const none[] = {NULL};
	struct routes_in in = {.st = st,
		.base_domain = "t",
		.address = address_of,
		.arg = (void *)(uintptr_t)none,
		.memo = memo};
	vk_autojson *kept = routes_build(&in);
	in.memo = NULL;
	vk_autojson *anew = routes_build(&in);
	cr_expect(json_equal(kept, anew));
	return json_incref(json_object_get(
		json_object_get(json_object_get(kept, "stacks"), stack), "domains"));
}

Test(routes, domains_are_kept_until_something_they_come_from_changes)
{
	struct state st;
	struct stack *sk = world(&st);
	json_t *memo = NULL;
	struct op op = {.running = true};
	static const char *const changes[][2] = {
		{"/domain/x.com", "{'v':1,'stack':'a','node':'web'}"},
		{"/traffic/a", "{'v':1,'maintenance':'soon'}"},
	};
	vk_autojson *first = domains_kept(&st, "a", &memo), *second = domains_kept(&st, "a", &memo);
	cr_expect_eq(first, second, "nothing changed");
	for (size_t i = 0; i < VK_COUNT(changes); i++) {
		scene_put(&st, changes[i][0], changes[i][1]);
		vk_autojson *now = domains_kept(&st, "a", &memo);
		cr_expect(!json_equal(now, first), "%s", changes[i][0]);
	}
	scene_del(&st, "/domain/x.com");
	scene_del(&st, "/traffic/a");
	vk_autojson *back = domains_kept(&st, "a", &memo);
	cr_expect(json_equal(back, first));
	scene_put(&st, "/release/a/2",
		"{'v':1,'kind':'push','outcome':'ok','nodes':{'web':{'version':1,'born':1,'port':"
		"80,"
		"'domains':['b.com'],'traffic':{'hold_ms':1000}}}}");
	scene_put(&st, "/current/a", "{'v':1,'n':2}");
	vk_autojson *deployed = domains_kept(&st, "a", &memo);
	cr_expect(scene_equal(deployed, "{'b.com':'web'}"));
	scene_stack(&st, "other", 1, "{'web':{'version':1,'born':1,'scale':1,'port':80}}");
	vk_autojson *beside = domains_kept(&st, "a", &memo);
	scene_put(&st, "/current/other", "{'v':1,'n':0}");
	vk_autojson *later = domains_kept(&st, "a", &memo);
	cr_expect_eq(later, beside, "another's release is about default domains alone");
	sk->busy = &op;
	vk_autojson *held = domains_kept(&st, "a", &memo);
	cr_expect(scene_equal(held, "{'b.com':{'to':'web','policy':{'hold_ms':1000}}}"));
	sk->busy = NULL;
	json_decref(memo);
	state_release(&st);
}

Test(routes, a_default_domain_yields_to_what_others_claim)
{
	static const char *const claims[] = {"d.t", "d.t/path", "*.t"};
	struct state st;
	world(&st);
	scene_stack(&st, "d", 1, "{'web':{'version':1,'born':1,'scale':1,'port':80}}");
	scene_stack(&st, "e", 2, "{'web':{'version':1,'born':1,'scale':1,'port':80}}");
	struct op op = {.running = true};
	json_t *memo = NULL;
	vk_autojson *had = domains_kept(&st, "d", &memo);
	cr_expect(scene_equal(had, "{'d.t':'web'}"));
	state_stack(&st, "a")->busy = &op;
	for (size_t i = 0; i < VK_COUNT(claims); i++) {
		op.overlay.claims = json_pack("{s:[s]}", "domains", claims[i]);
		vk_autojson *now = domains_kept(&st, "d", &memo);
		cr_expect(scene_equal(now, "{}"), "%s", claims[i]);
		overlay_release(&op.overlay);
		op.overlay = (struct overlay){0};
		vk_autojson *again = domains_kept(&st, "d", &memo);
		cr_expect(json_equal(again, had), "%s", claims[i]);
	}
	state_stack(&st, "a")->busy = NULL;
	json_decref(memo);
	state_release(&st);
}
