#include "place.h"
#include "scene.h"

static struct vk_err last;

static int place(const char *doc, const char *old, struct place_in *more, struct place_out *out)
{
	vk_autojson *d = scene_json(doc), *o = old != NULL ? scene_json(old) : NULL;
	vk_autojson *boats = scene_json("{'src':{'ref':'r@1'}}");
	struct place_in in = more != NULL ? *more : (struct place_in){0};
	in.resolve.stack = "ragnar";
	in.resolve.doc = d;
	if (in.resolve.boats == NULL)
		in.resolve.boats = boats;
	in.old = o;
	if (in.release == 0)
		in.release = 5;
	last = (struct vk_err){0};
	return place_stack(&in, out, &last);
}

static json_t *entries_after(const char *doc)
{
	struct place_out out;
	struct place_in in = {.release = 1};
	cr_assert_eq(place(doc, NULL, &in, &out), 0, "%s", last.msg);
	json_t *nodes = json_incref(out.nodes);
	place_out_release(&out);
	return nodes;
}

#define ONE "{'nodes':{'web':{'boat':'src'},'db':{'image':'p','service':true}}}"

Test(place, the_first_release_adds_all)
{
	struct place_out out;
	cr_assert_eq(place(ONE, NULL, NULL, &out), 0);
	cr_expect_eq(out.added.n, 2);
	const json_t *web = json_object_get(out.nodes, "web");
	cr_expect_eq(vk_json_int(web, "version", 0), 1);
	cr_expect_eq(vk_json_int(web, "born", 0), 5);
	cr_expect_not_null(json_object_get(out.defs, "web"));
	place_out_release(&out);
}

Test(place, an_equal_definition_keeps_its_version)
{
	vk_autojson *old = entries_after(ONE);
	vk_autofree char *text = vk_json_text(old);
	struct place_out out;
	cr_assert_eq(place(ONE, text, NULL, &out), 0);
	cr_expect_eq(out.unchanged.n, 2);
	cr_expect_eq(out.added.n + out.changed.n + out.removed.n + out.held.n, 0);
	cr_expect_eq(vk_json_int(json_object_get(out.nodes, "web"), "born", 0), 1);
	cr_expect(!place_has(&out, "web"));
	cr_expect_eq(json_object_size(out.defs), 0);
	place_out_release(&out);
}

Test(place, a_changed_image_makes_the_next_version_only_there)
{
	vk_autojson *old = entries_after(ONE), *boats = scene_json("{'src':{'ref':'r@2'}}");
	vk_autofree char *text = vk_json_text(old);
	struct place_in in = {.resolve.boats = boats};
	struct place_out out;
	cr_assert_eq(place(ONE, text, &in, &out), 0);
	cr_expect(vk_strv_has(&out.changed, "web") && out.changed.n == 1);
	cr_expect(vk_strv_has(&out.unchanged, "db"));
	place_out_release(&out);
}

Test(place, versions_go_on_from_the_highest_ever_used)
{
	struct state st;
	state_init(&st);
	struct stack *sk = scene_stack(&st, "ragnar", 0, "{'web':{'version':8}}");
	struct place_in in = {.nodes = &sk->nodes};
	struct place_out out;
	cr_assert_eq(place(ONE, NULL, &in, &out), 0);
	cr_expect_eq(vk_json_int(json_object_get(out.nodes, "web"), "version", 0), 9);
	place_out_release(&out);
	state_release(&st);
}

Test(place, a_service_changes_only_when_told_to)
{
	const char *changed = "{'nodes':{'web':{'boat':'src'},'db':{'image':'p2','service':true}}}";
	vk_autojson *old = entries_after(ONE);
	vk_autofree char *text = vk_json_text(old);
	struct place_out out;
	cr_assert_eq(place(changed, text, NULL, &out), 0);
	cr_expect(vk_strv_has(&out.held, "db"));
	cr_expect(json_equal(json_object_get(json_object_get(out.nodes, "db"), "hash"),
		json_object_get(json_object_get(old, "db"), "hash")));
	place_out_release(&out);
	struct place_in in = {.services = true, .force = true};
	cr_assert_eq(place(changed, text, &in, &out), 0);
	cr_expect(vk_strv_has(&out.changed, "db"));
	cr_expect(vk_strv_has(&out.changed, "web"),
		"force makes a new version of what is no service");
	place_out_release(&out);
	cr_assert_eq(place(ONE, text, &in, &out), 0);
	cr_expect(
		vk_strv_has(&out.unchanged, "db"), "an unchanged service keeps running even then");
	place_out_release(&out);
}

Test(place, only_the_named_node_changes)
{
	vk_autojson *old = entries_after("{'nodes':{'web':{'boat':'src'},'api':{'image':'a'}}}");
	vk_autofree char *text = vk_json_text(old);
	vk_autostrv only = {0};
	vk_strv_add(&only, "api");
	struct place_in in = {.force = true, .services = true, .only = &only};
	struct place_out out;
	cr_assert_eq(place("{'nodes':{'web':{'boat':'src','env':{'N':'1'}},'api':{'image':'a'}}}",
			     text, &in, &out),
		0);
	cr_expect(vk_strv_has(&out.changed, "api"));
	cr_expect(vk_strv_has(&out.held, "web"), "its change waits and is told");
	place_out_release(&out);
}

Test(place, what_the_document_no_longer_names_is_removed)
{
	vk_autojson *old = entries_after(ONE);
	vk_autofree char *text = vk_json_text(old);
	struct place_out out;
	cr_assert_eq(place("{'nodes':{'web':{'boat':'src'}}}", text, NULL, &out), 0);
	cr_expect(vk_strv_has(&out.removed, "db") && out.removed.n == 1);
	cr_expect_null(json_object_get(out.nodes, "db"));
	place_out_release(&out);
}

Test(place, a_volume_or_a_host_port_has_one_holder)
{
	static const char *const two[] = {
		"{'nodes':{'db':{'image':'p','scale':2,'volumes':[{'path':'/data'}]}}}",
		"{'nodes':{'db':{'image':'p','scale':2,'publish':[{'host':5000,'port':1}]}}}",
	};
	struct place_out out;
	for (size_t i = 0; i < VK_COUNT(two); i++) {
		cr_expect_eq(place(two[i], NULL, NULL, &out), VK_INVALID, "%s", two[i]);
		cr_expect(strstr(last.msg, "db") != NULL);
	}
	cr_assert_eq(place("{'nodes':{'db':{'image':'p','scale':2,'volumes':[{'path':'/d','host':'/"
			   "srv'}]}}}",
			     NULL, NULL, &out),
		0);
	cr_expect(!vk_json_bool(json_object_get(out.nodes, "db"), "exclusive", true));
	place_out_release(&out);
}
