/* Documents -> listeners and slots -> file and commands. */
#include <criterion/criterion.h>
#include <string.h>
#include <viking/json.h>

#include "proxy_model.h"

static struct proxy_model model(const char *servers, const struct proxy_model *have, int want)
{
	vk_autofree char *text = vk_asprintf("{'rev':1,'networks':[{'gateway':'10.1.0.1','links':[{"
					     "'port':10000,'servers':[%s]}]},"
					     "{'gateway':'bad'}]}",
		servers);
	for (char *p = text; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	vk_autojson *doc = NULL;
	struct vk_err err = {0};
	struct proxy_model m = {0};
	const struct proxy_model none = {0};
	cr_assert_eq(vk_json_parse(text, strlen(text), &doc, &err), 0, "%s", err.msg);
	cr_assert_eq(proxy_model_parse(doc, "uno", have != NULL ? have : &none, &m, &err), want,
		"%s", err.msg);
	return m;
}

#define A "{'addr':'10.1.0.2','port':80}"
#define B "{'addr':'10.1.0.3','port':80}"
#define C "{'addr':'10.1.0.4','port':80}"

Test(proxy, servers_keep_their_slots)
{
	struct proxy_model one = model(A "," B, NULL, 0), two = model(C "," B, &one, 0);
	vk_autobuf plan = VK_BUF_INIT(4096);
	cr_assert(proxy_model_same_listeners(&one, &two));
	proxy_plan(&one, &two, &plan);
	cr_assert_str_eq(vk_buf_str(&plan),
		"set server k0a010001_10000/s1 addr 10.1.0.4 port 80;set server "
		"k0a010001_10000/s1 state ready\n");
	vk_buf_clear(&plan);
	struct proxy_model three = model("", &two, 0);
	proxy_plan(&two, &three, &plan);
	cr_assert_str_eq(vk_buf_str(&plan),
		"set server k0a010001_10000/s1 state maint;set server k0a010001_10000/s2 state "
		"maint;disable frontend k0a010001_10000\n");
	vk_buf_clear(&plan);
	proxy_plan(&three, &three, &plan);
	cr_assert_eq(plan.len, 0);
	proxy_model_release(&one);
	proxy_model_release(&two);
	proxy_model_release(&three);
}

Test(proxy, a_link_without_a_server_refuses)
{
	struct proxy_model none = model("", NULL, 0), one = model(A, &none, 0), copy = none;
	vk_autobuf plan = VK_BUF_INIT(4096);
	copy.v = vk_calloc(1, sizeof(*copy.v));
	copy.v[0] = none.v[0];
	proxy_plan(&none, &one, &plan);
	cr_assert_str_eq(vk_buf_str(&plan),
		"set server k0a010001_10000/s1 addr 10.1.0.2 port 80;set server "
		"k0a010001_10000/s1 state ready;enable frontend k0a010001_10000\n");
	/* the file cannot say it: each new worker has to be told */
	vk_buf_clear(&plan);
	cr_assert(proxy_model_reloaded(&copy));
	proxy_plan(&copy, &none, &plan);
	cr_assert_str_eq(vk_buf_str(&plan), "disable frontend k0a010001_10000\n");
	cr_assert_not(proxy_model_reloaded(&one));
	free(copy.v);
	proxy_model_release(&none);
	proxy_model_release(&one);
}

Test(proxy, servers_of_other_hosts_are_where_their_host_gives_them)
{
	struct proxy_model m = model(
		"{'addr':'10.1.0.2','port':80,'host':'uno'},"
		"{'addr':'10.1.0.2','port':80,'host':'due'},"
		"{'addr':'10.1.0.2','port':80,'host':'due','far':{'addr':'10.0.0.2','port':20001}}",
		NULL, 0);
	cr_expect(m.v[0].slots[0].addr == 0x0a010002 && m.v[0].slots[0].port == 80);
	cr_expect(m.v[0].slots[1].addr == 0x0a000002 && m.v[0].slots[1].port == 20001);
	cr_expect_eq(m.v[0].slots[2].addr, 0);
	proxy_model_release(&m);
}

Test(proxy, more_servers_than_slots_is_another_structure)
{
	struct proxy_model one = model(A, NULL, 0);
	struct proxy_model two =
		model(A "," B "," C ",{'addr':'10.1.0.5','port':80},{'addr':'10.1.0.6','port':80}",
			&one, 0);
	cr_assert_eq(two.v[0].n_slots, 8);
	cr_assert_not(proxy_model_same_listeners(&one, &two));
	cr_assert_not(proxy_model_same_listeners(&two, &one));
	proxy_model_release(&one);
	proxy_model_release(&two);
}

Test(proxy, the_file_has_addresses_and_numbers)
{
	const struct proxy_paths paths = {"/r/admin", "/r/idle", "/r/hosts", 100};
	struct proxy_model m = model(A "," A, NULL, 0);
	vk_autobuf out = VK_BUF_INIT(65536), without = VK_BUF_INIT(65536);
	proxy_render(&m, &paths, &out);
	cr_assert(strstr(vk_buf_str(&out),
		"listen k0a010001_10000\n\tbind 10.1.0.1:10000 transparent\n"
		"\tserver s1 10.1.0.2:80\n\tserver s2 127.0.0.1:1 disabled\n"));
	m.v[0].blocked = true;
	proxy_render(&m, &paths, &without);
	cr_assert_null(strstr(vk_buf_str(&without), "10.1.0.1"));
	proxy_model_release(&m);
}

static int read_registry(const char *text, struct proxy_model *ret)
{
	vk_autofree char *doc = vk_asprintf("{'rev':1,'networks':[],'registry':%s}", text);
	for (char *p = doc; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	vk_autojson *j = NULL;
	cr_assert_eq(vk_json_parse(doc, strlen(doc), &j, NULL), 0);
	return proxy_model_parse(j, "uno", &(struct proxy_model){0}, ret, NULL);
}

Test(proxy, the_registry_of_another_host_is_behind_its_door)
{
	const struct proxy_paths paths = {"/r/admin", "/r/idle", "/r/hosts", 100};
	struct proxy_model h1 = {0}, h2 = {0}, none = {0};
	vk_autobuf out = VK_BUF_INIT(65536), plan = VK_BUF_INIT(4096);
	cr_assert_eq(read_registry("{'host':'uno','addr':'127.0.0.1','port':5000}", &h1), 0);
	cr_assert_eq(h1.n, 0, "it is here");
	cr_assert_eq(read_registry("{'host':'h1','addr':'127.0.0.1','port':5000}", &h1), 0);
	cr_assert_eq(read_registry("{'host':'h2','addr':'127.0.0.1','port':5000}", &h2), 0);
	proxy_render(&h1, &paths, &out);
	cr_assert_str_eq(strstr(vk_buf_str(&out), "listen registry"),
		"listen registry\n\tbind 127.0.0.1:5000\n\tserver front "
		"unix@/r/hosts/h1/registry.sock\n");
	/* where it leads is part of the file: nothing to say to a worker that has it */
	cr_assert_not(proxy_model_same_listeners(&h1, &h2));
	cr_assert_not(proxy_model_same_listeners(&h1, &none));
	proxy_plan(&h1, &h1, &plan);
	cr_assert_eq(plan.len, 0);
	proxy_model_release(&h1);
	proxy_model_release(&h2);
}

Test(proxy, a_registry_without_a_host_or_port_is_refused)
{
	struct proxy_model m = {0};
	cr_assert_eq(
		read_registry("{'host':'../x','addr':'127.0.0.1','port':5000}", &m), VK_INVALID);
	cr_assert_eq(read_registry("{'host':'','addr':'127.0.0.1','port':5000}", &m), VK_INVALID);
	cr_assert_eq(read_registry("{'host':'h1','addr':'127.0.0.1'}", &m), VK_INVALID);
	cr_assert_eq(read_registry("{'host':'h1','addr':'localhost','port':5000}", &m), VK_INVALID);
}

Test(proxy, what_is_no_address_or_port_is_refused)
{
	model("{'addr':'10.1.0.2;show','port':80}", NULL, VK_INVALID);
	model("{'addr':'10.1.0.2','port':0}", NULL, VK_INVALID);
	model("{'addr':'10.1.0.2','port':65536}", NULL, VK_INVALID);
	model("{'port':1}", NULL, VK_INVALID);
}

Test(proxy, answers)
{
	cr_assert(proxy_answer_good("\n\n"));
	cr_assert(proxy_answer_good("IP changed from '127.0.0.1' to '10.1.0.2', port changed from "
				    "'1' to '80' by 'stats socket command'\n\n"));
	cr_assert_not(proxy_answer_good("No such server.\n"));
	cr_assert_not(proxy_answer_good("\nNo such backend.\n\n"));
}
