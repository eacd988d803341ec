#include "resolve.h"
#include "scene.h"

static json_t *resolved(const char *doc, const char *boats, const char *config, const char *node)
{
	vk_autojson *d = scene_json(doc), *b = scene_json(boats), *c = scene_json(config);
	struct resolve_in in = {.stack = "ragnar",
		.doc = d,
		.boats = b,
		.config = c,
		.default_memory = 1000,
		.default_pids = 50};
	json_t *def = NULL;
	struct vk_err err = {0};
	cr_assert_eq(resolve_node(&in, node, &def, &err), 0, "%s", err.msg);
	return def;
}

static void expect_at(const json_t *def, const char *key, const char *want)
{
	cr_expect(scene_equal(json_object_get(def, key), want), "%s", key);
}

Test(resolve, environment_later_wins)
{
	vk_autojson *def = resolved("{'env':{'A':'doc','B':'doc','C':'doc'},'nodes':{'web':{'image'"
				    ":'i','env':{'B':'node','C':'node'},"
				    "'expose':[{'port':80}]}}}",
		"{}", "{'C':'config'}", "web");
	expect_at(def, "env", "{'A':'doc','B':'node','C':'config'}");
}

Test(resolve, the_routed_node_gets_a_port_and_a_probe)
{
	vk_autojson *one = resolved("{'nodes':{'web':{'boat':'src'}}}",
		"{'src':{'ref':'r@1','expose':['3000/tcp']}}", "{}", "web");
	cr_expect_eq(vk_json_int(one, "port", 0), 3000);
	cr_expect_str_eq(vk_json_str(one, "image", ""), "r@1");
	expect_at(one, "env", "{}");
	expect_at(one, "health", "{'type':'http','port':3000,'below':500}");
	vk_autojson *none =
		resolved("{'nodes':{'web':{'boat':'src'}}}", "{'src':{'ref':'r@1'}}", "{}", "web");
	cr_expect_eq(vk_json_int(none, "port", 0), PORT_DEFAULT);
	expect_at(none, "env", "{'PORT':'8080'}");
	vk_autojson *two = resolved("{'nodes':{'web':{'boat':'src'}}}",
		"{'src':{'ref':'r','expose':['1/tcp','2/tcp']}}", "{}", "web");
	cr_expect_eq(vk_json_int(two, "port", 0), PORT_DEFAULT, "several say nothing");
	vk_autojson *udp = resolved("{'nodes':{'web':{'boat':'src'}}}",
		"{'src':{'ref':'r','expose':['53/udp']}}", "{}", "web");
	cr_expect_eq(vk_json_int(udp, "port", 0), PORT_DEFAULT);
	vk_autojson *own = resolved(
		"{'nodes':{'web':{'boat':'src'}}}", "{'src':{'ref':'r'}}", "{'PORT':'9'}", "web");
	expect_at(own, "env", "{'PORT':'9'}");
}

Test(resolve, what_is_not_routed_is_probed_by_its_port_or_by_living)
{
	const char *doc = "{'nodes':{'web':{'image':'i','expose':[{'port':80}]},'db':{'image':'p','"
			  "expose':[{'port':5432}]},"
			  "'job':{'image':'j'}}}";
	vk_autojson *db = resolved(doc, "{}", "{}", "db"), *job = resolved(doc, "{}", "{}", "job");
	cr_expect_str_eq(vk_json_str(json_object_get(db, "health"), "type", ""), "tcp");
	cr_expect_str_eq(vk_json_str(json_object_get(job, "health"), "type", ""), "none");
	cr_expect_eq(vk_json_int(job, "port", 1), 0);
	expect_at(job, "env", "{}");
}

Test(resolve, the_default_web_node)
{
	static const struct {
		const char *nodes, *web;
	} cases[] = {
		{"{'web':{},'x':{'expose':[{'port':1}]}}", "web"},
		{"{'x':{'expose':[{'port':1}]},'y':{}}", "x"},
		{"{'x':{'expose':[{'port':1}]},'y':{'expose':[{'port':1}]}}", NULL},
		{"{'x':{'expose':[{'port':1,'proto':'udp'}]}}", NULL},
		{"{'help':{'type':'website'}}", "help"},
		{"{}", NULL},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		vk_autofree char *text = vk_asprintf("{'nodes':%s}", cases[i].nodes);
		vk_autojson *doc = scene_json(text);
		const char *web = resolve_web_node(doc);
		if (cases[i].web == NULL)
			cr_expect_null(web, "%s", cases[i].nodes);
		else
			cr_expect_str_eq(web, cases[i].web, "%s", cases[i].nodes);
	}
}

Test(resolve, volumes_have_names_of_their_own_until_a_rename)
{
	vk_autojson *doc = scene_json("{'nodes':{'db':{'image':'p','volumes':[{'path':'/"
				      "data'},{'path':'/x','name':'shared'},"
				      "{'path':'/h','host':'/srv'}]}}}");
	vk_autojson *kept = scene_json("{'db:/data':'viking-old-db-0'}");
	struct resolve_in in = {.stack = "ragnar", .doc = doc};
	vk_autojson *def = NULL, *after = NULL;
	cr_assert_eq(resolve_node(&in, "db", &def, NULL), 0);
	const json_t *mounts = json_object_get(def, "mounts");
	const char *name = vk_json_str(json_array_get(mounts, 0), "volume", "");
	cr_expect(strncmp(name, "viking-ragnar-db-", 17) == 0 && strlen(name) == 25, "%s", name);
	cr_expect(scene_equal(
		json_array_get(mounts, 1), "{'volume':'viking-ragnar-vol-shared','path':'/x'}"));
	cr_expect(scene_equal(json_array_get(mounts, 2), "{'host':'/srv','path':'/h'}"));
	in.volumes = kept;
	cr_assert_eq(resolve_node(&in, "db", &after, NULL), 0);
	cr_expect_str_eq(
		vk_json_str(json_array_get(json_object_get(after, "mounts"), 0), "volume", ""),
		"viking-old-db-0");
}

Test(resolve, a_missing_image_is_named)
{
	vk_autojson *doc = scene_json("{'nodes':{'web':{'boat':'src'},'b':{'from':'other/x'}}}"),
		    *boats = scene_json("{}");
	struct resolve_in in = {.stack = "a", .doc = doc, .boats = boats};
	struct vk_err err = {0};
	json_t *def = NULL;
	cr_expect_eq(resolve_node(&in, "web", &def, &err), VK_NOTFOUND);
	cr_expect(strstr(err.msg, "src") != NULL);
	cr_expect_eq(resolve_node(&in, "b", &def, &err), VK_NOTFOUND);
	cr_expect(strstr(err.msg, "other/x") != NULL);
	cr_expect_eq(resolve_node(&in, "none", &def, &err), VK_NOTFOUND);
	cr_expect_null(def);
}

Test(resolve, equal_nodes_have_equal_definitions_whatever_else_the_document_says)
{
	vk_autojson *a = resolved("{'commit':'1','nodes':{'web':{'boat':'src','scale':1}}}",
		"{'src':{'ref':'r'}}", "{}", "web");
	vk_autojson *b =
		resolved("{'commit':'2','x':{'x-o':1},'nodes':{'web':{'boat':'src','scale':7}}}",
			"{'src':{'ref':'r'}}", "{}", "web");
	vk_autojson *c = resolved("{'commit':'1','nodes':{'web':{'boat':'src'}}}",
		"{'src':{'ref':'r2'}}", "{}", "web");
	cr_expect(json_equal(a, b));
	cr_expect(!json_equal(a, c));
}
