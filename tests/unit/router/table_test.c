#include <criterion/criterion.h>
#include <viking/json.h>
#include <viking/str.h>

#include "table.h"

static struct table *parse(const char *text, struct faults *f)
{
	vk_autojson *j = NULL;
	struct table *t = NULL;
	struct vk_err err = {0};
	cr_assert_eq(vk_json_parse(text, strlen(text), &j, &err), 0, "%s", err.msg);
	cr_assert_eq(table_parse(j, "uno", &t, f, &err), 0, "%s", err.msg);
	return t;
}

Test(table, reads_a_table)
{
	struct faults f = {0};
	struct table *t = parse("{\"rev\":31,\"stacks\":{\"ragnar\":{\"backends\":{\"web\":{"
				"\"servers\":[{\"id\":\"ragnar-web-3-1\","
				"\"addr\":\"10.210.3.2\",\"port\":80,\"state\":\"ready\"},{\"id\":"
				"\"ragnar-web-2-1\",\"addr\":\"fd00::0:1\","
				"\"port\":81,\"state\":\"drain\"}]}},\"domains\":{\"A.com.\":"
				"\"web\",\"*.b.com\":\"help\",\"c.com\":\"idle\"},"
				"\"sites\":[\"help\"]},\"bjorn\":{}}}",
		&f);
	cr_assert_eq(f.n, 0);
	cr_assert_eq(t->rev, 31);
	cr_assert_eq(t->n, 2);
	cr_assert_str_eq(t->stacks[0].name, "bjorn");
	struct table_stack *s = table_find(t, "ragnar");
	cr_assert_eq(s->n_nodes, 3, "web, help and the node that has a domain only");
	cr_assert_str_eq(s->nodes[0].servers[1].addr, "fd00::1");
	cr_assert(s->nodes[0].servers[1].state == SERVER_DRAIN &&
		s->nodes[0].servers[0].state == SERVER_READY);
	cr_assert_eq(s->n_domains, 3);
	bool wild = false, exact = false;
	for (size_t i = 0; i < s->n_domains; i++) {
		wild = wild ||
			(vk_streq(s->domains[i].key, ".b.com") &&
				s->nodes[s->domains[i].node].site);
		exact = exact || vk_streq(s->domains[i].key, "a.com");
	}
	cr_assert(wild && exact);
	table_free(t);
	faults_release(&f);
}

Test(table, servers_of_other_hosts_are_where_their_host_gives_them)
{
#define AT(id, host, far) \
	"{\"id\":\"" id "\",\"addr\":\"10.210.3.2\",\"port\":80,\"host\":\"" host "\"" far "}"
	struct faults f = {0};
	struct table *t = parse(
		"{\"rev\":1,\"stacks\":{\"a\":{\"backends\":{\"web\":{\"servers\":[" AT("near",
			"uno", ",\"far\":{\"addr\":\"100.64.0.1\",\"port\":20000}") "," AT("far",
			"due", ",\"far\":{\"addr\":\"100.64.0.2\",\"port\":20001}") "," AT("closed",
			"due", "") "]}}}}}",
		&f);
	cr_assert_eq(f.n, 0);
	const struct table_node *node = &table_find(t, "a")->nodes[0];
	cr_assert_eq(node->n, 2, "what cannot be reached is no server");
	cr_expect(vk_streq(node->servers[0].addr, "10.210.3.2") && node->servers[0].port == 80);
	cr_expect(vk_streq(node->servers[1].addr, "100.64.0.2") && node->servers[1].port == 20001);
	table_free(t);
	faults_release(&f);
}

static void refuses(const char *entry)
{
	struct faults f = {0};
	vk_autofree char *text = vk_asprintf(
		"{\"rev\":1,\"stacks\":{\"bad\":%s,\"good\":{\"domains\":{\"g.com\":\"web\"}}}}",
		entry);
	struct table *t = parse(text, &f);
	table_settle(t, NULL, &f);
	cr_assert_eq(f.n, 1, "%s", entry);
	cr_assert_str_eq(f.v[0].stack, "bad");
	cr_assert(f.v[0].message[0] != '\0');
	cr_assert_null(table_find(t, "bad"), "%s", entry);
	cr_assert_not_null(table_find(t, "good"));
	table_free(t);
	faults_release(&f);
}

#define SERVER(fields) "{\"backends\":{\"web\":{\"servers\":[{" fields "}]}}}"

Test(table, refuses_a_stack_with_one_bad_value)
{
	refuses("1");
	refuses("{\"backends\":{\"web\":{\"servers\":[" AT(
		"x", "due", ",\"far\":{\"addr\":\"h2\",\"port\":1}") "]}}}");
	refuses("{\"backends\":[]}");
	refuses("{\"domains\":[]}");
	refuses("{\"sites\":{}}");
	refuses("{\"sites\":[1]}");
	refuses("{\"backends\":{\"w b\":{}}}");
	refuses("{\"backends\":{\"web\":{\"servers\":{}}}}");
	refuses(SERVER("\"addr\":\"10.0.0.1\",\"port\":80"));
	refuses(SERVER("\"id\":\"a b\",\"addr\":\"10.0.0.1\",\"port\":80"));
	refuses(SERVER("\"id\":\"a\",\"addr\":\"10.0.0.1;x\",\"port\":80"));
	refuses(SERVER("\"id\":\"a\",\"addr\":\"host\",\"port\":80"));
	refuses(SERVER("\"id\":\"a\",\"addr\":\"0.0.0.0\",\"port\":80"));
	refuses(SERVER("\"id\":\"a\",\"addr\":\"224.0.0.1\",\"port\":80"));
	refuses(SERVER("\"id\":\"a\",\"addr\":\"255.255.255.255\",\"port\":80"));
	refuses(SERVER("\"id\":\"a\",\"addr\":\"::\",\"port\":80"));
	refuses(SERVER("\"id\":\"a\",\"addr\":\"10.0.0.1\",\"port\":0"));
	refuses(SERVER("\"id\":\"a\",\"addr\":\"10.0.0.1\",\"port\":65536"));
	refuses(SERVER("\"id\":\"a\",\"addr\":\"10.0.0.1\",\"port\":80,\"state\":\"up\""));
	refuses("{\"backends\":{\"web\":{\"servers\":[{\"id\":\"a\",\"addr\":\"10.0.0.1\",\"port\":"
		"80},"
		"{\"id\":\"a\",\"addr\":\"10.0.0.2\",\"port\":80}]}}}");
	refuses("{\"domains\":{\"a.com b.com\":\"web\"}}");
	refuses("{\"domains\":{\"a.com;add map x\":\"web\"}}");
	refuses("{\"domains\":{\"a.com\\nbackend x\":\"web\"}}");
	refuses("{\"domains\":{\"${HOME}.x\":\"web\"}}");
	refuses("{\"domains\":{\"-f /etc/passwd\":\"web\"}}");
	refuses("{\"domains\":{\"10.0.0.1\":\"web\"}}");
	refuses("{\"domains\":{\"*.*.com\":\"web\"}}");
	refuses("{\"domains\":{\"a.com\":\"we b\"}}");
	refuses("{\"domains\":{\"a.com\":1}}");
	refuses("{\"domains\":{\"a.com\":\"web\",\"A.com\":\"web\"}}");
}

Test(table, refuses_hostile_stack_names)
{
	struct faults f = {0};
	struct table *t =
		parse("{\"rev\":1,\"stacks\":{\"a;b\":{},\"..\":{},\"12\":{},\"ok\":{}}}", &f);
	cr_assert_eq(f.n, 3);
	cr_assert_eq(t->n, 1);
	table_free(t);
	faults_release(&f);
}

Test(table, keeps_the_last_good_entry)
{
	struct faults f = {0}, g = {0};
	struct table *old = parse("{\"rev\":1,\"stacks\":{\"a\":{\"domains\":{\"a.com\":\"web\","
				  "\"b.com\":\"web\"}}}}",
		&f);
	struct table *t = parse("{\"rev\":2,\"stacks\":{\"a\":{\"domains\":1},\"b\":{\"domains\":{"
				"\"b.com\":\"web\"}}}}",
		&g);
	table_settle(t, old, &g);
	cr_assert_eq(g.n, 1);
	struct table_stack *a = table_find(t, "a");
	cr_assert(a != NULL && a->kept);
	cr_assert_eq(a->n_domains, 1, "b.com is another's now");
	cr_assert_str_eq(a->domains[0].key, "a.com");
	cr_assert_eq(table_find(t, "b")->n_domains, 1);
	table_free(old);
	table_free(t);
	faults_release(&f);
	faults_release(&g);
}

Test(table, a_domain_stays_with_its_owner)
{
	struct faults f = {0}, g = {0};
	struct table *old = parse("{\"rev\":1,\"stacks\":{\"z\":{\"domains\":{\"x.com\":\"web\"}},"
				  "\"a\":{\"domains\":{\"a.com\":\"web\"}}}}",
		&f);
	struct table *t = parse("{\"rev\":2,\"stacks\":{\"z\":{\"domains\":{\"x.com\":\"web\"}},"
				"\"a\":{\"domains\":{\"a2.com\":\"web\",\"x.com\":\"web\"}},"
				"\"n\":{\"domains\":{\"x.com\":\"web\"}}}}",
		&g);
	table_settle(t, old, &g);
	cr_assert_eq(g.n, 2);
	cr_assert(faults_has(&g, "a") && faults_has(&g, "n"));
	cr_assert(strstr(g.v[0].message, "x.com belongs to stack z") != NULL, "%s", g.v[0].message);
	cr_assert_str_eq(table_find(t, "a")->domains[0].key, "a.com");
	cr_assert_null(table_find(t, "n"));
	cr_assert_eq(table_find(t, "z")->n_domains, 1);
	table_free(old);
	table_free(t);
	faults_release(&f);
	faults_release(&g);
}

Test(table, a_domain_may_move)
{
	struct faults f = {0}, g = {0};
	struct table *old = parse(
		"{\"rev\":1,\"stacks\":{\"a\":{\"domains\":{\"x.com\":\"web\"}},\"b\":{}}}", &f);
	struct table *t = parse(
		"{\"rev\":2,\"stacks\":{\"a\":{},\"b\":{\"domains\":{\"x.com\":\"web\"}}}}", &g);
	table_settle(t, old, &g);
	cr_assert_eq(g.n, 0);
	cr_assert_eq(table_find(t, "b")->n_domains, 1);
	table_free(old);
	table_free(t);
}

Test(table, revert_moves_one_stack)
{
	struct faults f = {0};
	struct table *old =
		parse("{\"rev\":1,\"stacks\":{\"b\":{\"domains\":{\"old.com\":\"web\"}}}}", &f);
	struct table *t = parse("{\"rev\":2,\"stacks\":{\"a\":{},\"b\":{\"domains\":{\"new.com\":"
				"\"web\"}},\"c\":{}}}",
		&f);
	table_revert(t, old, "b");
	cr_assert_str_eq(table_find(t, "b")->domains[0].key, "old.com");
	table_revert(t, old, "c");
	cr_assert_null(table_find(t, "c"));
	cr_assert_eq(t->n, 2);
	table_revert(t, NULL, "nobody");
	cr_assert_eq(t->n, 2);
	table_free(old);
	table_free(t);
}

Test(table, a_document_that_is_no_table)
{
	static const char *const bad[] = {
		"{}", "[]", "{\"rev\":\"1\",\"stacks\":{}}", "{\"rev\":1,\"stacks\":[]}"};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		vk_autojson *j = NULL;
		struct table *t = NULL;
		struct faults f = {0};
		struct vk_err err = {0};
		cr_assert_eq(vk_json_parse(bad[i], strlen(bad[i]), &j, NULL), 0);
		cr_assert_eq(table_parse(j, "uno", &t, &f, &err), VK_INVALID);
		cr_assert_null(t);
	}
}
