#include <viking/pack_name.h>

#include "packs.h"
#include "scene.h"

static char urls[] = "https://", empty[] = "", cnb[] = "builder:1", trusted[] = "acme/*";

struct setup {
	const char *doc, *list, *url;
	bool cnb;
};

static int choose(const struct setup *s, struct packs_choice *ret, struct vk_err *err)
{
	vk_autojson *doc = scene_json(s->doc), *list = s->list != NULL ? scene_json(s->list) : NULL;
	struct vk_config cfg = {.policy_pack_urls = urls,
		.policy_pack_paths = empty,
		.builder_cnb = s->cnb ? cnb : empty,
		.policy_cnb_builders = trusted};
	struct packs_in in = {
		.cfg = &cfg, .stack = "ragnar", .doc = doc, .list = list, .url = s->url};
	return packs_choose(&in, "web", ret, err);
}

#define SIGNALS(dockerfile, project, packs, inl, own) \
	"'signals':{'dockerfile':" dockerfile ",'project_toml':" project ",'buildpacks':" packs \
	",'inline':" inl ",'own':'" own \
	"','procfile':null,'looked_for':['Dockerfile','Procfile']}"
#define AUTO(signals) \
	"{'file':'','boats':{'web':{'dockerfile':null,'builder':{'type':'auto'}}}," signals "}"
#define DOCKERFILE(signals) \
	"{'file':'Dockerfile','boats':{'web':{'dockerfile':'Dockerfile'}}," signals "}"
#define MANIFEST(builder) "{'file':'vikingfile','boats':{'web':{'builder':" builder "}}}"
#define A                 "'https://a.org/a'"
#define PACKS_A           "{'type':'packs','packs':[" A "]}"

Test(packs, the_first_that_is_there_counts)
{
	static const struct {
		struct setup s;
		const char *builder, *why; /* builder "": the Dockerfile */
	} cases[] = {
		{{AUTO(SIGNALS("true", "true", "[" A "]", "true", "node")), "['node']",
			 "https://b.org/b", true},
			"{'type':'packs','packs':['https://b.org/b']}", "BUILDPACK_URL"},
		{{AUTO(SIGNALS("true", "true", "[" A "]", "true", "node")), "['own:node']", NULL,
			 true},
			"{'type':'own','pack':'node'}", "buildpacks:clear ragnar"},
		{{AUTO(SIGNALS("true", "true", "[" A "]", "true", "node")), NULL, NULL, true}, "",
			"its Dockerfile comes first"},
		{{AUTO(SIGNALS("false", "true", "[" A "]", "true", "node")), NULL, NULL, true},
			"{'type':'cnb','image':'builder:1'}", "project.toml"},
		{{AUTO(SIGNALS("false", "true", "[" A "]", "true", "node")), NULL, NULL, false},
			PACKS_A, ".buildpacks; other: viking buildpacks:set ragnar"},
		{{AUTO(SIGNALS("false", "false", "[]", "true", "node")), NULL, NULL, false},
			"{'type':'packs','packs':['inline']}", "bin/detect"},
		{{AUTO(SIGNALS("false", "false", "[]", "false", "node")), NULL, NULL, false},
			"{'type':'own','pack':'node'}", "its files; other: "},
		{{DOCKERFILE(SIGNALS("true", "false", "[]", "false", "")), NULL, NULL, false}, "",
			NULL},
		{{DOCKERFILE(SIGNALS("true", "false", "[]", "false", "node")), NULL, NULL, false},
			"", "viking buildpacks:set ragnar node"},
		{{DOCKERFILE(SIGNALS("true", "false", "[]", "false", "")), "['node'," A "]", NULL,
			 false},
			"{'type':'packs','packs':['own:node'," A "]}", "buildpacks:set"},
		{{MANIFEST("{'type':'own','pack':'go'}"), "['node']", "https://b.org/b", false},
			"{'type':'own','pack':'go'}", "builder: of vikingfile"},
		{{MANIFEST("{'type':'packs','packs':['python']}"), NULL, NULL, false},
			"{'type':'packs','packs':['own:python']}", "vikingfile"},
		{{AUTO(SIGNALS("false", "false", "['own:go']", "false", "")), NULL, NULL, false},
			"{'type':'own','pack':'go'}", ".buildpacks"},
		{{MANIFEST("{'type':'cnb','image':'acme/b:2'}"), NULL, NULL, false},
			"{'type':'cnb','image':'acme/b:2'}", "vikingfile"},
		{{MANIFEST("null"), "['node']", "https://b.org/b", false}, "", NULL},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		struct packs_choice c = {0};
		struct vk_err err = {0};
		cr_assert_eq(choose(&cases[i].s, &c, &err), 0, "%zu: %s", i, err.msg);
		if (cases[i].builder[0] == '\0')
			cr_expect_null(c.builder, "%zu", i);
		else
			cr_expect(scene_equal(c.builder, cases[i].builder), "%zu", i);
		if (cases[i].why == NULL)
			cr_expect_null(c.why, "%zu: %s", i, c.why);
		else
			cr_expect(c.why != NULL && strstr(c.why, cases[i].why) != NULL, "%zu: %s",
				i, c.why);
		cr_expect_not_null(c.what);
		packs_choice_release(&c);
	}
}

Test(packs, what_cannot_be_built_is_said_with_the_next_step)
{
	static const struct {
		struct setup s;
		int code;
		const char *msg, *hint;
	} cases[] = {
		{{AUTO(SIGNALS("false", "true", "[]", "false", "")), NULL, NULL, false}, VK_INVALID,
			"Dockerfile, Procfile", "Procfile (web: COMMAND)"},
		{{AUTO(SIGNALS("false", "false", "['ext::x']", "false", "node")), NULL, NULL,
			 false},
			VK_INVALID, ".buildpacks: buildpack \"ext::x\"", "https://"},
		{{AUTO(SIGNALS("false", "false", "[]", "false", "node")), NULL, "http://b.org/b",
			 false},
			VK_DENIED, "config BUILDPACK_URL: ", "policy.pack_urls"},
		{{MANIFEST("{'type':'cnb','image':'evil/b'}"), NULL, NULL, true}, VK_DENIED,
			"evil/b", "policy.cnb_builders"},
		{{MANIFEST("{'type':'packs','packs':[]}"), NULL, NULL, false}, VK_INVALID,
			"unknown", ""},
		{{MANIFEST("{'type':'own','pack':'rust'}"), NULL, NULL, false}, VK_INVALID,
			"unknown", ""},
		{{MANIFEST("{'type':'new'}"), NULL, NULL, false}, VK_INVALID, "unknown", ""},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		struct packs_choice c = {0};
		struct vk_err err = {0};
		cr_expect_eq(choose(&cases[i].s, &c, &err), cases[i].code, "%zu", i);
		cr_expect(strstr(err.msg, cases[i].msg) != NULL, "%zu: %s", i, err.msg);
		cr_expect(strstr(err.hint, cases[i].hint) != NULL, "%zu: %s", i, err.hint);
		cr_expect(c.builder == NULL && c.what == NULL && c.why == NULL);
	}
}

Test(packs, a_list_has_an_end)
{
	vk_autojson *list = json_array();
	for (int i = 0; i <= VK_PACKS_MAX; i++)
		json_array_append_new(list, json_sprintf("https://a.org/%d", i));
	vk_autofree char *text = vk_json_text(list);
	struct setup s = {AUTO(SIGNALS("false", "false", "[]", "false", "")), text, NULL, false};
	struct packs_choice c = {0};
	cr_expect_eq(choose(&s, &c, NULL), VK_LIMIT);
}
