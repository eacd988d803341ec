#include "domains.h"

#include <viking/str.h>

#include "certs.h"
#include "op.h"
#include "scene.h"

Test(domains, clashes)
{
	cr_expect(domains_clash("a.com", "a.com"));
	cr_expect(domains_clash("*.a.com", "x.a.com"));
	cr_expect(domains_clash("x.y.a.com", "*.a.com"));
	cr_expect(domains_clash("*.x.a.com", "*.a.com"));
	cr_expect(!domains_clash("*.a.com", "a.com"));
	cr_expect(!domains_clash("*.a.com", "xa.com"));
	cr_expect(!domains_clash("a.com", "b.com"));
}

static void world(struct state *st)
{
	state_init(st);
	scene_stack(st, "one", 0,
		"{'web':{'version':1,'type':'app','port':80,'domains':['one.com','*.w.com']}}");
	scene_stack(st, "two", 1, "{'web':{'version':1,'type':'app','port':80,'domains':[]}}");
	scene_put(st, "/domain/extra.org", "{'v':1,'stack':'two','node':'web'}");
}

Test(domains, come_from_manifest_command_and_name)
{
	struct state st;
	world(&st);
	vk_autojson *one = domains_of(&st, state_stack(&st, "one"), NULL, "apps.test");
	cr_expect(scene_equal(one,
		"{'one.com':{'node':'web','from':'manifest'},'*.w.com':{'node':'web','from':'"
		"manifest'}}"));
	vk_autojson *two = domains_of(&st, state_stack(&st, "two"), NULL, "apps.test");
	cr_expect(scene_equal(two,
		"{'extra.org':{'node':'web','from':'command'},'two.apps.test':{'node':'web','from':"
		"'default'}}"));
	vk_autojson *local = domains_of(&st, state_stack(&st, "two"), NULL, "");
	cr_expect_not_null(json_object_get(local, "two.localhost"));
	state_release(&st);
}

Test(domains, have_one_owner)
{
	struct state st;
	world(&st);
	cr_expect_str_eq(domains_owner(&st, "new", "one.com", "apps.test"), "one");
	cr_expect_str_eq(domains_owner(&st, "new", "deep.down.w.com", "apps.test"), "one");
	cr_expect_str_eq(domains_owner(&st, "new", "*.com", "apps.test"), "one");
	cr_expect_str_eq(domains_owner(&st, "new", "extra.org", "apps.test"), "two");
	cr_expect_str_eq(domains_owner(&st, "new", "two.apps.test", "apps.test"), "two",
		"the default counts too");
	cr_expect_null(domains_owner(&st, "one", "one.com", "apps.test"));
	cr_expect_null(domains_owner(&st, "new", "free.com", "apps.test"));
	state_release(&st);
}

Test(domains, below_the_base_belong_to_the_stack_of_that_name)
{
	static const struct {
		const char *domain, *base, *stack;
	} rows[] = {
		{"api.apps.test", "apps.test", "api"},
		{"*.api.apps.test", "apps.test", "api"},
		{"a.b.api.apps.test", "apps.test", "api"},
		{"apps.test", "apps.test", ""},
		{"*.apps.test", "apps.test", ""},
		{"xapps.test", "apps.test", NULL},
		{"test", "apps.test", NULL},
		{"api.localhost", "apps.test", NULL},
		{"api.localhost", "", "api"},
		{"api.localhost", NULL, "api"},
		{"localhost", "", ""},
	};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		vk_autofree char *stack = domains_namesake(rows[i].domain, rows[i].base);
		cr_expect(vk_streq(stack, rows[i].stack), "%s below %s: %s", rows[i].domain,
			rows[i].base != NULL ? rows[i].base : "nothing",
			stack != NULL ? stack : "nobody");
	}
}

Test(domains, a_default_yields_to_another_stacks_word)
{
	struct state st;
	world(&st);
	scene_put(&st, "/domain/*.apps.test", "{'v':1,'stack':'one','node':'web'}");
	vk_autojson *two = domains_of(&st, state_stack(&st, "two"), NULL, "apps.test");
	cr_expect_null(json_object_get(two, "two.apps.test"));
	state_release(&st);
}

Test(domains, a_deploy_under_way_holds_its_claims)
{
	struct state st;
	world(&st);
	struct op op = {.running = true};
	op.overlay.claims = scene_json("{'domains':['soon.com'],'publish':['7000/tcp']}");
	state_stack(&st, "two")->busy = &op;
	cr_expect_str_eq(domains_owner(&st, "one", "soon.com", "apps.test"), "two");
	cr_expect_str_eq(publish_owner(&st, "one", "7000/tcp"), "two");
	cr_expect_null(publish_owner(&st, "one", "7000/udp"));
	overlay_release(&op.overlay);
	state_release(&st);
}

Test(domains, names_that_would_make_equal_containers_are_refused)
{
	struct state st;
	struct vk_err err = {0};
	state_init(&st);
	scene_stack(&st, "a-b", 0, "{'c':{'version':1}}");
	vk_autojson *clash = scene_json("{'nodes':{'b-c':{}}}"),
		    *fine = scene_json("{'nodes':{'bc':{}}}");
	vk_autojson *globs = scene_json("['a']");
	const struct caller admin = {.kind = CALLER_LOCAL_ADMIN},
			    key = {.kind = CALLER_KEY, .key_role = "deploy", .stacks = globs};
	cr_expect_eq(names_check(&st, &admin, "a", clash, &err), VK_CONFLICT);
	cr_expect(strstr(err.msg, "a-b") != NULL && strstr(err.msg, "b-c") != NULL, "%s", err.msg);
	cr_expect_eq(names_check(&st, &key, "a", clash, &err), VK_CONFLICT);
	cr_expect(strstr(err.msg, "a-b") == NULL && strstr(err.msg, "another stack") != NULL, "%s",
		err.msg);
	cr_expect_eq(names_check(&st, &key, "a", fine, NULL), 0);
	state_release(&st);
}

Test(domains, of_nodes_without_instances_are_served_by_nothing)
{
	struct state st;
	vk_autostrv idle = {0};
	state_init(&st);
	const struct stack *sk = scene_stack(&st, "s", 0,
		"{'web':{'type':'app','scale':0},'api':{'type':'app','scale':1},"
		"'help':{'type':'website','scale':0},'gone':{'type':'app','scale':2}}");
	scene_put(&st, "/node/s/gone", "{'v':1,'scale':0,'gen':0}");
	vk_autojson *d = scene_json("{'a.com':{'node':'web'},'b.com':{'node':'web'},"
				    "'c.com':{'node':'api'},'d.com':{'node':'help'},"
				    "'e.com':{'node':'gone'}}");
	domains_take_idle(sk, d, &idle);
	cr_expect(scene_equal(d, "{'c.com':{'node':'api'},'d.com':{'node':'help'}}"));
	cr_assert_eq(idle.n, 2);
	cr_expect(vk_strv_has(&idle, "web") && vk_strv_has(&idle, "gone"));
	state_release(&st);
}

Test(domains, urls_name_the_port_when_it_is_another_than_80)
{
	vk_autojson *d = scene_json("{'a.com':{},'*.b.com':{}}");
	vk_autostrv plain = {0}, port = {0};
	domains_urls(d, NULL, 80, 443, &plain);
	domains_urls(d, NULL, 8080, 8443, &port);
	cr_assert_eq(plain.n, 1);
	cr_expect_str_eq(plain.v[0], "http://a.com/");
	cr_expect_str_eq(port.v[0], "http://a.com:8080/");
}

Test(domains, urls_are_https_where_a_certificate_is_shown)
{
	vk_autojson *d = scene_json("{'a.com':{},'a.com/x':{},'b.com':{}}");
	vk_autojson *shown = scene_json("{'1':{'names':['c.com','a.com'],'row':'s/1'}}");
	vk_autostrv plain = {0}, port = {0}, off = {0};
	domains_urls(d, shown, 80, 443, &plain);
	domains_urls(d, shown, 8080, 8443, &port);
	domains_urls(d, shown, 80, 0, &off);
	cr_expect_str_eq(plain.v[0], "https://a.com/");
	cr_expect_str_eq(plain.v[1], "https://a.com/x/");
	cr_expect_str_eq(plain.v[2], "http://b.com/");
	cr_expect_str_eq(port.v[0], "https://a.com:8443/");
	cr_expect_str_eq(off.v[0], "http://a.com/");
}

static const struct domain_row *first_of(const struct state *st, const char *stack)
{
	return owned_at(&st->owned, owned_from(&st->owned, stack), stack);
}

Test(domains, rows_by_stack_follow_the_rows)
{
	struct state st;
	state_init(&st);
	scene_put(&st, "/domain/x.com", "{'v':1,'stack':'a','node':'web'}");
	scene_put(&st, "/domain/w.com", "{'v':1,'stack':'a-b','node':'web'}");
	cr_assert_str_eq(first_of(&st, "a")->name, "x.com");
	scene_put(&st, "/domain/x.com", "{'v':1,'stack':'a-b','node':'api'}");
	cr_assert_null(first_of(&st, "a"));
	cr_assert_eq(st.owned.n, 2);
	cr_assert_str_eq(first_of(&st, "a-b")->name, "w.com");
	scene_del(&st, "/domain/w.com");
	cr_assert_str_eq(first_of(&st, "a-b")->node, "api");
	scene_del(&st, "/domain/x.com");
	scene_del(&st, "/domain/x.com");
	cr_assert_eq(st.owned.n, 0);
	state_release(&st);
}

/* Found by looking up names, and by comparing with each. */
Test(domains, an_owner_by_command_is_found_wherever_it_stands)
{
	static const char *const hosts[] = {"a.com", "b.a.com", "*.a.com", "c.b.a.com", "*.b.a.com",
		"a.com/x", "b.a.com/x/y", "*.a.com/z", "ba.com", "com", "a-b.com", "a.com.x"};
	unsigned seed = 5;
	for (unsigned round = 0; round < 200; round++) {
		struct state st;
		state_init(&st);
		scene_put(&st, "/stack/s0", "{'v':1,'id':'00','subnet':0}");
		scene_put(&st, "/stack/s1", "{'v':1,'id':'01','subnet':1}");
		for (size_t i = 0; i < VK_COUNT(hosts); i++) {
			seed = seed * 1103515245 + 12345;
			vk_autofree char *key = vk_asprintf("/domain/%s", hosts[i]);
			if ((seed >> 16) % 4 == 0)
				scene_put(&st, key, "{'v':1,'stack':'s1','node':'web'}");
			else if ((seed >> 16) % 4 == 1)
				scene_put(&st, key, "{'v':1,'stack':'s0','node':'web'}");
		}
		for (size_t i = 0; i < VK_COUNT(hosts); i++) {
			const struct domain_row *row;
			bool clash = false;
			table_each(&st.domains, k, row) clash = clash ||
				(row->stack[1] == '1' && domains_clash(row->name, hosts[i]));
			const char *owner = domains_owner(&st, "s0", hosts[i], "t");
			cr_assert_eq(owner != NULL, clash, "%s in round %u", hosts[i], round);
		}
		state_release(&st);
	}
}

Test(domains, who_redirects_without_a_certificate_is_found)
{
	struct vk_config cfg = {.base_domain = (char[]){"t"}};
	struct sched s = {.cfg = &cfg};
	vk_autostrv missing = {0};
	state_init(&s.st);
	const struct stack *sk = scene_stack(&s.st, "s", 0,
		"{'web':{'type':'app','domains':['a.com','b.com','b.com/x','c.com'],"
		"'traffic':{'https':true},'domain_options':{'c.com':{'https':false}}},"
		"'api':{'type':'app','domains':['d.com']}}");
	scene_put(&s.st, "/cert/s/1",
		"{'v':1,'sealed':'x','names':['a.com','d.com'],'created_ms':1}");
	certs_missing(&s, sk, &missing);
	cr_assert_eq(missing.n, 1);
	cr_expect_str_eq(missing.v[0], "b.com");
	state_release(&s.st);
}
