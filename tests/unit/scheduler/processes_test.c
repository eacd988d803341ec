#include "processes.h"
#include "resolve.h"
#include "scene.h"

#define DOC              "{'file':'','nodes':{'web':{'boat':'web','scale':1,'run':null,'release':null}}}"
#define BOATS(launch)    "{'web':{'ref':'r@1','launch':" launch "}}"
#define PACKS(processes) "{'entrypoint':true,'processes':" processes "}"

static int expand(const char *doc, const char *boats, json_t **ret, struct vk_err *err)
{
	vk_autojson *b = scene_json(boats);
	*ret = scene_json(doc);
	return processes_expand(*ret, b, err);
}

static int64_t scale(const json_t *doc, const char *node)
{
	return vk_json_int(json_object_get(json_object_get(doc, "nodes"), node), "scale", -1);
}

static json_t *resolved(const json_t *doc, const char *boats, const char *node)
{
	vk_autojson *b = scene_json(boats);
	struct resolve_in in = {.stack = "s", .doc = doc, .boats = b};
	json_t *def = NULL;
	struct vk_err err = {0};
	cr_assert_eq(resolve_node(&in, node, &def, &err), 0, "%s", err.msg);
	return def;
}

static void expect_at(const json_t *def, const char *key, const char *want)
{
	cr_expect(scene_equal(json_object_get(def, key), want), "%s", key);
}

Test(processes, each_type_is_a_node_and_web_has_one_instance)
{
	const char *boats =
		BOATS(PACKS("{'web':'npm start','Worker':'node w.js','release':'migrate --all'}"));
	vk_autojson *doc = NULL;
	cr_assert_eq(expand(DOC, boats, &doc, NULL), 0);
	cr_expect_eq(json_object_size(json_object_get(doc, "nodes")), 2);
	cr_expect_eq(scale(doc, "web"), 1);
	cr_expect_eq(scale(doc, "worker"), 0);
	vk_autojson *web = resolved(doc, boats, "web"), *worker = resolved(doc, boats, "worker");
	expect_at(web, "cmd", "['-c','npm start']");
	expect_at(web, "release", "['-c','migrate --all']");
	expect_at(web, "env", "{'PORT':'8080'}");
	expect_at(web, "enter", "['/opt/viking/bin/exec']");
	cr_expect_eq(vk_json_int(web, "port", 0), 8080);
	cr_expect_null(json_object_get(web, "entrypoint"));
	expect_at(worker, "cmd", "['-c','node w.js']");
	expect_at(worker, "release", "null");
	expect_at(worker, "env", "{}");
	cr_expect_eq(vk_json_int(worker, "port", 1), 0);
}

Test(processes, without_web_nothing_is_routed_and_a_single_type_runs)
{
	vk_autojson *one = NULL, *two = NULL;
	cr_assert_eq(expand(DOC, BOATS(PACKS("{'worker':'w','release':'r'}")), &one, NULL), 0);
	cr_expect_eq(scale(one, "worker"), 1);
	cr_expect_null(resolve_web_node(one));
	vk_autojson *def = resolved(one, BOATS(PACKS("{'worker':'w','release':'r'}")), "worker");
	expect_at(def, "release", "['-c','r']");
	cr_assert_eq(expand(DOC, BOATS(PACKS("{'clock':'c','worker':'w'}")), &two, NULL), 0);
	cr_expect_eq(scale(two, "worker"), 0);
	cr_expect_eq(scale(two, "clock"), 0);
}

Test(processes, a_rebuild_makes_the_nodes_anew)
{
	vk_autojson *doc = NULL, *now = scene_json(BOATS(PACKS("{'web':'b','clock':'c'}"))),
		    *file = scene_json("{'web':{'ref':'r@2'}}"), *before = NULL;
	cr_assert_eq(expand(DOC, BOATS(PACKS("{'worker':'w'}")), &doc, NULL), 0);
	cr_assert_eq(processes_expand(doc, now, NULL), 0);
	expect_at(doc, "template", "{'boat':'web','scale':1,'run':null,'release':null}");
	before = json_deep_copy(doc);
	cr_expect_eq(json_object_size(json_object_get(doc, "nodes")), 2);
	cr_assert_eq(processes_expand(doc, now, NULL), 0);
	cr_expect(json_equal(before, doc), "twice is once");
	cr_assert_eq(processes_expand(doc, file, NULL), 0);
	vk_autojson *plain = scene_json(DOC);
	cr_expect(json_equal(doc, plain), "a Dockerfile has the node as it was");
}

Test(processes, with_a_manifest_nodes_find_their_type)
{
	const char *boats = BOATS(PACKS("{'web':'w','mail':'m','release':'r'}"));
	vk_autojson *doc = scene_json("{'file':'vikingfile','nodes':{'mail':{'boat':'web'},"
				      "'api':{'boat':'web','expose':[{'port':3000}]},"
				      "'own':{'boat':'web','run':['a','b']},"
				      "'rel':{'boat':'web','release':['x']}}}");
	vk_autojson *was = json_deep_copy(doc), *b = scene_json(boats);
	cr_assert_eq(processes_expand(doc, b, NULL), 0);
	cr_expect(json_equal(was, doc), "a manifest is as it is written");
	vk_autojson *mail = resolved(doc, boats, "mail"), *api = resolved(doc, boats, "api");
	vk_autojson *own = resolved(doc, boats, "own"), *rel = resolved(doc, boats, "rel");
	expect_at(mail, "cmd", "['-c','m']");
	expect_at(api, "cmd", "['-c','w']");
	expect_at(api, "env", "{'PORT':'3000'}");
	expect_at(api, "release", "['-c','r']");
	expect_at(mail, "release", "null");
	expect_at(own, "cmd", "['a','b']");
	expect_at(rel, "release", "['x']");
}

Test(processes, a_cloud_native_image_has_a_program_for_each_type)
{
	const char *boats = BOATS("{'entrypoint':'cnb','processes':{'web':'','release':'x'}}");
	vk_autojson *doc = scene_json("{'file':'vikingfile','nodes':{'web':{'boat':'web'},"
				      "'job':{'boat':'web','run':['a'],'release':['y']}}}");
	vk_autojson *b =
		scene_json(BOATS("{'entrypoint':'cnb','processes':{'web':'w','release':'x'}}"));
	struct resolve_in in = {.stack = "s", .doc = doc, .boats = b};
	vk_autojson *web = NULL, *job = NULL, *none = scene_json(boats);
	cr_assert_eq(resolve_node(&in, "web", &web, NULL), 0);
	expect_at(web, "entrypoint", "['/cnb/process/web']");
	expect_at(web, "cmd", "[]");
	expect_at(web, "release_entrypoint", "['/cnb/process/release']");
	expect_at(web, "enter", "['/cnb/lifecycle/launcher']");
	cr_assert_eq(resolve_node(&in, "job", &job, NULL), 0);
	expect_at(job, "entrypoint", "['/cnb/lifecycle/launcher']");
	expect_at(job, "cmd", "['a']");
	expect_at(job, "release_entrypoint", "['/cnb/lifecycle/launcher']");
	in.boats = none;
	vk_autojson *no = NULL;
	cr_expect_eq(resolve_node(&in, "web", &no, NULL), VK_INVALID);
}

Test(processes, what_is_missing_or_wrong_is_named)
{
	static const struct {
		const char *processes, *msg, *hint;
	} cases[] = {
		{"null", "neither a Procfile", "web: COMMAND"},
		{"{}", "neither a Procfile", "web: COMMAND"},
		{"{'release':'r'}", "only process type is release", "web: COMMAND"},
		{"{'web':' '}", "web has no command", "web: COMMAND"},
		{"{'web':'w','release':''}", "release has no command", "Procfile"},
		{"{'-x':'c'}", "process type -x", "rename"},
		{"{'web':'c','Web':'d'}", "twice", ""},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		vk_autofree char *launch =
			vk_asprintf("{'web':{'launch':{'entrypoint':true,'processes':%s}}}",
				cases[i].processes);
		vk_autojson *doc = NULL, *same = scene_json(DOC);
		struct vk_err err = {0};
		cr_expect_lt(expand(DOC, launch, &doc, &err), 0, "%s", cases[i].processes);
		cr_expect(strstr(err.msg, cases[i].msg) != NULL, "%s", err.msg);
		cr_expect(strstr(err.hint, cases[i].hint) != NULL, "%s", err.hint);
		cr_expect(json_equal(doc, same), "nothing was changed");
	}
	vk_autojson *boats = scene_json(BOATS(PACKS("{'clock':'c','worker':'w'}")));
	vk_autojson *doc = scene_json("{'file':'vikingfile','nodes':{'api':{'boat':'web'}}}");
	struct resolve_in in = {.stack = "s", .doc = doc, .boats = boats};
	struct vk_err err = {0};
	json_t *def = NULL;
	cr_expect_eq(resolve_node(&in, "api", &def, &err), VK_NOTFOUND);
	cr_expect_str_eq(err.msg,
		"node api: its image has no process type api and no web (there is clock, worker)");
	cr_expect_null(def);
}

Test(processes, a_dockerfile_has_none)
{
	vk_autojson *done = scene_json("{'ref':'r','processes':null}");
	cr_expect_null(launch_take(done));
	vk_autojson *packs = scene_json("{'entrypoint':true,'processes':{'web':'w'},'packs':['x'],"
					"'stack_image':'sha256:1','ref':'r'}");
	vk_autojson *launch = launch_take(packs);
	cr_expect(scene_equal(launch,
		"{'entrypoint':true,'processes':{'web':'w'},'packs':['x'],"
		"'stack_image':'sha256:1'}"));
}
