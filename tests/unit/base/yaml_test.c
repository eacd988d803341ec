#include <criterion/criterion.h>
#include <string.h>
#include <viking/str.h>
#include <viking/yaml.h>

static void yaml_freep(struct vk_yaml **y)
{
	vk_yaml_free(*y);
}
#define autoyaml __attribute__((cleanup(yaml_freep))) struct vk_yaml *

static struct vk_yaml *parsed(const char *text)
{
	struct vk_yaml *y = NULL;
	struct vk_err e = {0};
	cr_assert_eq(vk_yaml_parse(text, strlen(text), "f.yml", &y, &e), 0, "%s: %s", text, e.msg);
	return y;
}

static void refused_n(const char *text, size_t n, const char *place, const char *what)
{
	struct vk_yaml *y = NULL;
	struct vk_err e = {0};
	int rc = vk_yaml_parse(text, n, "f.yml", &y, &e);
	cr_assert_eq(rc, VK_INVALID, "%s", text);
	cr_assert_null(y);
	cr_assert(vk_starts(e.msg, place), "%s", e.msg);
	cr_assert_not_null(strstr(e.msg, what), "%s", e.msg);
}

static void refused(const char *text, const char *place, const char *what)
{
	refused_n(text, strlen(text), place, what);
}

Test(yaml, tree_with_places)
{
	autoyaml y = parsed("viking:\n  name: ragnar\ndeploy:\n  web:\n    expose: [80, \"81\"]\n  "
			    "  run: |\n      a\n      b\n");
	cr_assert_eq(y->type, VK_YAML_MAP);
	cr_assert_eq(y->n, 2);
	cr_assert_str_eq(y->keys[1].name, "deploy");
	cr_assert_eq(y->keys[1].line, 3);
	cr_assert_eq(y->keys[1].col, 1);
	const struct vk_yaml *name = vk_yaml_get(vk_yaml_get(y, "viking"), "name");
	cr_assert_str_eq(name->text, "ragnar");
	cr_assert_eq(name->line, 2);
	cr_assert_eq(name->col, 9);
	cr_assert(name->plain);
	const struct vk_yaml *web = vk_yaml_get(vk_yaml_get(y, "deploy"), "web");
	const struct vk_yaml *expose = vk_yaml_get(web, "expose");
	cr_assert_eq(expose->type, VK_YAML_LIST);
	cr_assert_eq(expose->n, 2);
	cr_assert(expose->items[0]->plain);
	cr_assert_not(expose->items[1]->plain);
	cr_assert_eq(expose->items[1]->col, 18);
	const struct vk_yaml *run = vk_yaml_get(web, "run");
	cr_assert_str_eq(run->text, "a\nb\n");
	cr_assert_eq(run->len, 4);
	cr_assert_null(vk_yaml_get(web, "nope"));
	cr_assert_null(vk_yaml_get(expose, "nope"));
	cr_assert_null(vk_yaml_get(NULL, "nope"));
}

Test(yaml, empty_documents_are_empty_maps)
{
	static const char *const texts[] = {
		"", "\n", "# only a comment\n", "---\n", "---\n...\n", NULL};
	for (int i = 0; texts[i] != NULL; i++) {
		autoyaml y = parsed(texts[i]);
		cr_assert_eq(y->type, VK_YAML_MAP);
		cr_assert_eq(y->n, 0);
	}
	autoyaml quoted = parsed("\"\"");
	cr_assert_eq(quoted->type, VK_YAML_SCALAR);
}

Test(yaml, json_is_yaml)
{
	autoyaml y = parsed("{\"a\": [1, {\"b\": null}], \"c\": \"\\u00e9\"}");
	cr_assert_str_eq(vk_yaml_get(y, "c")->text, "\xc3\xa9");
	cr_assert_eq(vk_yaml_get(y, "a")->items[1]->type, VK_YAML_MAP);
}

Test(yaml, a_key_without_value_has_an_empty_plain_one)
{
	autoyaml y = parsed("a:\nb: ''\n");
	cr_assert_eq(vk_yaml_get(y, "a")->len, 0);
	cr_assert(vk_yaml_get(y, "a")->plain);
	cr_assert_not(vk_yaml_get(y, "b")->plain);
}

Test(yaml, what_is_refused_and_where)
{
	refused("a: 1\nb: 2\na: 3\n", "f.yml:3:1: ", "\"a\" is here twice (first in line 1)");
	refused("a:\n  b: 1\n  c: 1\n  b: 1\n", "f.yml:4:3: ", "twice");
	refused("{a: 1, \"a\": 2}", "f.yml:1:8: ", "twice");
	refused("a: &x 1\n", "f.yml:1:4: ", "anchors");
	refused("a: &x [1]\n", "f.yml:1:4: ", "anchors");
	refused("&x a: 1\n", "f.yml:1:1: ", "anchors");
	refused("a: *x\n", "f.yml:1:4: ", "aliases");
	refused("a: !!str 1\n", "f.yml:1:4: ", "tags");
	refused("a: ! 1\n", "f.yml:1:4: ", "tags");
	refused("a: !x {}\n", "f.yml:1:4: ", "tags");
	refused("a: 1\n---\nb: 1\n", "f.yml:2:1: ", "one document");
	refused("%YAML 1.1\n---\na: 1\n", "f.yml:1:1: ", "directives");
	refused("%TAG ! tag:x,2000:\n---\na: 1\n", "f.yml:1:1: ", "directives");
	refused("[a]: 1\n", "f.yml:1:1: ", "key");
	refused("? {a: b}\n: 1\n", "f.yml:1:3: ", "key");
	refused("a: \"x\\0y\"\n", "f.yml:1:4: ", "NUL");
	refused("\"x\\0y\": 1\n", "f.yml:1:1: ", "NUL");
	refused("a: b: c\n", "f.yml:1:5: ", "mapping values");
	refused("a:\n\t- 1\n", "f.yml:2:1: ", "token");
	refused("a: [1\n", "f.yml:2:1: ", "");
	refused("a: 'x\n", "f.yml:2:1: ", "");
	refused("ok: 1\nbad: \xff\n", "f.yml:2:6: ", "UTF-8");
	refused_n("a: \0b", 5, "f.yml:1:4: ", "UTF-8");
	refused_n("\xff\xfe"
		  "a\0:\0 \0b\0",
		10, "f.yml:1:", "UTF-8");
}

static char *nested(int depth, char c)
{
	char *text = vk_alloc((size_t)depth + 1);
	memset(text, c, (size_t)depth);
	return text;
}

Test(yaml, depth)
{
	vk_autofree char *open = nested(32, '['), *close = nested(32, ']');
	vk_autofree char *good = vk_asprintf("%s%s", open, close);
	vk_autofree char *bad = vk_asprintf("[%s%s]", open, close);
	autoyaml y = parsed(good);
	cr_assert_eq(y->type, VK_YAML_LIST);
	refused(bad, "f.yml:1:33: ", "deep");
}

Test(yaml, size)
{
	vk_autofree char *text = nested(VK_YAML_MAX_BYTES + 1, 'a');
	struct vk_yaml *y = NULL;
	struct vk_err e = {0};
	cr_assert_eq(vk_yaml_parse(text, VK_YAML_MAX_BYTES + 1, "f.yml", &y, &e), VK_LIMIT);
	cr_assert_not_null(strstr(e.msg, "64 KiB"));
	text[VK_YAML_MAX_BYTES] = '\0';
	vk_yaml_free(parsed(text));
}

/* Each fills the whole size, with a number for '@'; the loader of libyaml needs seconds for the first. */
static void bomb(const char *unit, const char *start)
{
	vk_autobuf b = VK_BUF_INIT(VK_YAML_MAX_BYTES);
	struct vk_yaml *y = NULL;
	int n = 0;
	vk_buf_adds(&b, start);
	for (int rc = 0; rc == 0; n++)
		for (const char *c = unit; *c != '\0' && rc == 0; c++)
			rc = *c == '@' ? vk_buf_addf(&b, "%d", n) : vk_buf_addc(&b, *c);
	int64_t before = vk_mono_ms();
	vk_yaml_parse(vk_buf_str(&b), b.len, "f.yml", &y, NULL);
	cr_assert_lt(vk_mono_ms() - before, 1000, "%s", unit); /* sanitizers included */
	vk_yaml_free(y);
}

Test(yaml, bombs)
{
	static const char *const units[] = {"[", "{", "- ", "a@: &a@ x\n", "k@: 1\n", "? ", "\"",
		"|\n ", "{a: ", "[],", "!", "&a", "*a ", "%", "a: ", ",", "-\n", "\n", "#", NULL};
	for (int i = 0; units[i] != NULL; i++)
		bomb(units[i], "");
	bomb("@,", "[");
	bomb("k@,", "{");
	bomb("k@: ,", "{");
}

Test(yaml, many_keys)
{
	vk_autobuf b = VK_BUF_INIT(VK_YAML_MAX_BYTES);
	for (int i = 0; vk_buf_addf(&b, "%d:\n", i) == 0; i++)
		;
	autoyaml y = parsed(vk_buf_str(&b));
	cr_assert_gt(y->n, 8000);
	cr_assert_not_null(vk_yaml_get(y, "8000"));
}

Test(yaml, error_helper)
{
	autoyaml y = parsed("\n  a: 1\n");
	struct vk_err e = {0};
	cr_assert_eq(vk_yaml_error(&e, "x", vk_yaml_get(y, "a"), "bad %s", "thing"), VK_INVALID);
	cr_assert_str_eq(e.msg, "x:2:6: bad thing");
	cr_assert_eq(vk_yaml_parse("a: [", 4, "f", &y, NULL), VK_INVALID);
	vk_yaml_free(NULL);
}
