/* The document's addresses and ports, and nothing else, come out as rules. */
#include <criterion/criterion.h>
#include <string.h>
#include <viking/json.h>

#include "rules.h"

static int render(const char *text, const char *allow, struct vk_buf *out)
{
	vk_autofree char *copy = vk_strdup(text);
	for (char *p = copy; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	vk_autojson *doc = NULL;
	struct vk_err err = {0};
	cr_assert_eq(vk_json_parse(copy, strlen(copy), &doc, &err), 0, "%s", err.msg);
	return rules_render(doc,
		&(struct rules_host){.name = "h1",
			.table = "viking_t",
			.allow = allow,
			.first = 20000,
			.last = 20999},
		out, &err);
}

static const char two[] =
	"{'rev':1,'networks':["
	"{'stack':'a','subnet':'10.1.0.0/24','gateway':'10.1.0.1','links':["
	"{'alias':'db','port':10000,'native':5432},{'alias':'old','port':10001,'native':5432},"
	"{'alias':'dns','port':10002,'native':53}]},"
	"{'stack':'b','subnet':'10.1.1.0/24','gateway':'10.1.1.1'}]}";

Test(rules, each_stack_reaches_its_own)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	cr_assert_eq(render(two, "80,8000-8100", &b), 0);
	const char *text = vk_buf_str(&b);
	cr_assert_eq(
		strncmp(text,
			"table inet viking_t\ndelete table inet viking_t\ntable inet viking_t {\n",
			69),
		0);
	cr_assert(strstr(
		text, "ip saddr vmap { 10.1.0.0/24 : goto input_0, 10.1.1.0/24 : goto input_1 }"));
	cr_assert(strstr(text, "ip daddr 10.1.0.1 tcp dport { 53, 10000, 10001, 10002 } accept"));
	cr_assert(strstr(text, "ip daddr 10.1.1.1 tcp dport { 53 } accept"));
	cr_assert(strstr(text, "tcp dport { 80,8000-8100 } accept"));
	cr_assert(strstr(text, "elements = { 10.1.0.0/24, 10.1.1.0/24 }"));
}

Test(rules, a_native_port_belongs_to_the_first_link_that_has_it)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	cr_assert_eq(render(two, "", &b), 0);
	const char *text = vk_buf_str(&b);
	cr_assert(strstr(
		text, "ip saddr 10.1.0.0/24 ip daddr 10.1.0.1 tcp dport 5432 redirect to :10000"));
	cr_assert_null(strstr(text, "redirect to :10001"));
	cr_assert_null(strstr(text, "redirect to :10002"), "names stay names");
}

Test(rules, no_stacks_no_dispatch)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	cr_assert_eq(render("{'networks':[]}", "", &b), 0);
	cr_assert_null(strstr(vk_buf_str(&b), "vmap"));
	cr_assert_null(strstr(vk_buf_str(&b), "elements"));
}

Test(rules, text_of_others_never_comes_out)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	cr_assert_eq(render("{'networks':[{'stack':'x;} flush "
			    "ruleset','subnet':'10.1.0.9/24','gateway':'10.1.0.1',"
			    "'links':[{'alias':'\\n}','port':70000,'native':-1}]}]}",
			     "", &b),
		0);
	cr_assert_null(strstr(vk_buf_str(&b), "flush"));
	cr_assert_null(strstr(vk_buf_str(&b), "70000"));
	cr_assert_null(strstr(vk_buf_str(&b), "redirect"));
	static const char *const bad[] = {"{}", "{'networks':[{}]}",
		"{'networks':[{'subnet':'10.1.0.0','gateway':'10.1.0.1'}]}",
		"{'networks':[{'subnet':'10.1.0.0/33','gateway':'10.1.0.1'}]}",
		"{'networks':[{'subnet':'10.1.0.0/24','gateway':'10.1.0.1;'}]}",
		"{'networks':[{'subnet':'10.1.0.x/24','gateway':'10.1.0.1'}]}"};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		vk_autobuf none = VK_BUF_INIT(65536);
		cr_assert_eq(render(bad[i], "", &none), VK_INVALID, "%s", bad[i]);
		cr_assert_eq(none.len, 0);
	}
}

Test(rules, what_does_not_fit_is_refused_whole)
{
	vk_autobuf b = VK_BUF_INIT(512);
	cr_assert_eq(render(two, "", &b), VK_LIMIT);
}

Test(rules, tables_of_two_roots_differ)
{
	char a[RULES_TABLE_MAX], b[RULES_TABLE_MAX];
	rules_table("/var/lib/viking", a);
	rules_table("/tmp/x/var/lib/viking", b);
	cr_assert_str_neq(a, b);
	cr_assert_eq(strlen(a), 23);
}

static const char cluster[] =
	"{'hosts':{'h1':'100.64.0.1','h2':'100.64.0.2','h6':'fd00::1'},'networks':["
	"{'stack':'a','subnet':'10.1.0.0/24','gateway':'10.1.0.1','nodes':{"
	"'web':{'instances':[{'host':'h1','far':{'addr':'100.64.0.1','vip':'198.18.0.1','ports':{'"
	"80':20000}}},"
	"{'host':'h2','far':{'addr':'100.64.0.2','vip':'198.18.0.2','ports':{'80':20001,'81':20002}"
	"}},"
	"{'host':'h2'}]},"
	"'db':{'instances':[{'host':'h2','far':{'addr':'100.64.0.2','vip':'198.18.0.3','ports':"
	"{'5432':20003,'x; drop':1,'7':70000}}}]}}},"
	"{'stack':'b','subnet':'10.1.1.0/24','gateway':'10.1.1.1'}]}";

Test(rules, hosts_of_a_cluster_reach_containers_and_nobody_else)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	cr_assert_eq(render(cluster, "", &b), 0);
	const char *text = vk_buf_str(&b);
	cr_expect(strstr(text, "elements = { 100.64.0.1, 100.64.0.2 }"));
	cr_expect(strstr(text,
		"ct state new ip daddr 100.64.0.1 tcp dport 20000-20999 ip saddr != @hosts counter "
		"drop"));
	cr_expect(strstr(text, "ip daddr @hosts tcp dport 20000-20999 counter reject"));
}

Test(rules, a_stack_reaches_its_own_on_other_hosts)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	cr_assert_eq(render(cluster, "", &b), 0);
	const char *text = vk_buf_str(&b);
	cr_expect(strstr(text,
			  "chain far_0 {\n\t\tdnat ip to ip daddr . tcp dport map { "
			  "198.18.0.2 . 80 : 100.64.0.2 . 20001, 198.18.0.2 . 81 : 100.64.0.2 . "
			  "20002, "
			  "198.18.0.3 . 5432 : 100.64.0.2 . 20003 }\n"),
		"%s", text);
	cr_expect(strstr(text, "chain far_1 {\n\t}\n"));
	cr_expect(strstr(
		text, "ip saddr vmap { 10.1.0.0/24 : goto far_0, 10.1.1.0/24 : goto far_1 }"));
}

Test(rules, one_host_alone_has_no_rules_of_a_cluster)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	cr_assert_eq(render(two, "", &b), 0);
	cr_expect_null(strstr(vk_buf_str(&b), "far"));
	cr_expect_null(strstr(vk_buf_str(&b), "hosts"));
}
