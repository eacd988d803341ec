/* Ports of links, and the variables that tell of them. */
#include "links.h"

#include "scene.h"

static json_t *place(const char *links, const char *old, const char *fresh)
{
	vk_autojson *l = scene_json(links), *o = scene_json(old), *f = scene_json(fresh);
	json_t *ret = NULL;
	struct vk_err err = {0};
	cr_assert_eq(links_place(l, o, f, &ret, &err), 0, "%s", err.msg);
	return ret;
}

#define DB   "{'name':'db','stack':'','node':'db','instance':''"
#define AUTH "{'name':'auth','stack':'shared','node':'auth','instance':''"

Test(links, first_free_ports)
{
	vk_autojson *got = place("[" DB "}," AUTH "}]", "{}", "{}");
	cr_assert(scene_equal(
		got, "[" DB ",'port':10000,'native':0}," AUTH ",'port':10001,'native':0}]"));
}

Test(links, a_target_keeps_its_port_and_no_other_gets_it)
{
	vk_autojson *got = place("[" DB "}," AUTH "}]",
		"{'web':{'links':[" AUTH ",'port':10000,'native':1}]},'gone':{'links':["
		"{'name':'x','stack':'','node':'x','instance':'','port':10001}]}}",
		"{'job':{'links':[" DB ",'port':10004}]}}");
	cr_assert(scene_equal(
		got, "[" DB ",'port':10004,'native':0}," AUTH ",'port':10000,'native':0}]"));
}

Test(links, one_instance_is_another_target)
{
	vk_autojson *got = place("[{'name':'a','stack':'','node':'db','instance':'1'}," DB "}]",
		"{}", "{'w':{'links':[" DB ",'port':10000}]}}");
	cr_assert_eq(vk_json_int(json_array_get(got, 0), "port", 0), 10001);
	cr_assert_eq(vk_json_int(json_array_get(got, 1), "port", 0), 10000);
}

Test(links, when_all_ports_are_taken)
{
	json_t *full = json_array();
	for (int port = LINK_PORT_FIRST; port <= LINK_PORT_LAST; port++)
		json_array_append_new(full,
			json_pack("{s:s,s:o,s:i}", "stack", "", "node", json_sprintf("n%d", port),
				"port", port));
	vk_autojson *old = json_pack("{s:{s:o}}", "w", "links", full),
		    *links = scene_json("[" DB "}]");
	json_t *ret = NULL;
	struct vk_err err = {0};
	cr_assert_eq(links_place(links, old, NULL, &ret, &err), VK_LIMIT);
	cr_assert_null(ret);
}

Test(links, variables_in_three_ways)
{
	vk_autojson *links =
		scene_json("[{'name':'dockerops-dns','node':'dns','port':10002,'native':53},{'name'"
			   ":'7z','stack':'other','node':'z','port':10003,'native':0}]");
	vk_autojson *env = json_object();
	links_env(links, "shop", "10.1.0.1", env);
	cr_assert(scene_equal(env,
		"{'SERVICE_DOCKEROPS_DNS_ADDR':'10.1.0.1','SERVICE_DOCKEROPS_DNS_PORT':'10002',"
		"'DOCKEROPS_DNS_PORT':'tcp://10.1.0.1:10002','DOCKEROPS_DNS_SERVICE_IP':'10.1.0.1',"
		"'DOCKEROPS_DNS_PORT_53_TCP':'tcp://"
		"10.1.0.1:10002','DOCKEROPS_DNS_PORT_53_TCP_PROTO':'tcp',"
		"'DOCKEROPS_DNS_PORT_53_TCP_ADDR':'10.1.0.1','DOCKEROPS_DNS_PORT_53_TCP_PORT':'"
		"10002',"
		"'SERVICE__7Z_ADDR':'10.1.0.1','SERVICE__7Z_PORT':'10003','_7Z_PORT':'tcp://"
		"10.1.0.1:10003',"
		"'_7Z_SERVICE_IP':'10.1.0.1','BACKENDS_10002':'dns.shop.skydns.local',"
		"'BACKENDS_10003':'z.other.skydns.local','DOKKAA_APP_NAME':'shop'}"));
}

Test(links, shared_with_whom)
{
	vk_autojson *e = scene_json("{'shared':['shop','team-*']}"), *none = scene_json("{}");
	cr_assert(links_shared(e, "shop"));
	cr_assert(links_shared(e, "team-a"));
	cr_assert_not(links_shared(e, "shopping"));
	cr_assert_not(links_shared(none, "shop"));
	cr_assert_not(links_shared(NULL, "shop"));
}
