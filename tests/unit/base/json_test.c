#include <criterion/criterion.h>
#include <viking/json.h>
#include <viking/str.h>

static int parse(const char *text, json_t **ret, struct vk_err *err)
{
	return vk_json_parse(text, strlen(text), ret, err);
}

static int code_of(const char *text)
{
	vk_autojson *j = NULL;
	return parse(text, &j, NULL);
}

Test(json, parses_values_of_every_kind)
{
	static const char *const good[] = {
		"{}", "[]", "null", "1", "\"x\"", " {\"a\": [1, -2.5e3, true, null]}\n"};
	for (size_t i = 0; i < VK_COUNT(good); i++)
		cr_assert_eq(code_of(good[i]), 0, "%s", good[i]);
}

Test(json, refuses_what_is_not_json)
{
	static const char *const bad[] = {"", " ", "{", "{'a':1}", "{\"a\":1,}", "[1 2]",
		"{\"a\":1,\"a\":2}", "nul", "\"\\u0000\"", "\"\xff\"", "\"\xc0\x80\"", "1 2",
		"{} x", "01", "+1", "NaN"};
	for (size_t i = 0; i < VK_COUNT(bad); i++)
		cr_assert_eq(code_of(bad[i]), VK_INVALID, "%s", bad[i]);
	struct vk_err err = {0};
	json_t *j;
	parse("{\"a\":\n  oops}", &j, &err);
	cr_assert_not_null(strstr(err.msg, "2:"), "the place is named: %s", err.msg);
}

Test(json, depth_is_limited_outside_of_strings)
{
	char text[200] = {0};
	memset(text, '[', 32);
	memset(text + 32, ']', 32);
	cr_assert_eq(code_of(text), 0);
	memset(text, '[', 33);
	memset(text + 33, ']', 33);
	cr_assert_eq(code_of(text), VK_LIMIT);
	memset(text, '[', 100);
	text[0] = '"';
	text[50] = '\\';
	text[51] = '"';
	text[99] = '"';
	text[100] = '\0';
	cr_assert_eq(code_of(text), 0);
	cr_assert_eq(code_of("[[[[[[[[[[]],[[[[[]]]],[[[[]]]]]]]]]]]]"), VK_INVALID,
		"unbalanced, not too deep");
}

Test(json, size_is_limited)
{
	vk_autojson *j = NULL;
	cr_assert_eq(vk_json_parse_max("[1,2,3]", 7, 7, &j, NULL), 0);
	cr_assert_eq(vk_json_parse_max("[1,2,3]", 7, 6, &j, NULL), VK_LIMIT);
	size_t n = (1u << 20) + 1;
	char *text = vk_alloc(n);
	memset(text, ' ', n);
	text[0] = '1';
	cr_assert_eq(vk_json_parse(text, n, &j, NULL), VK_LIMIT);
	free(text);
}

Test(json, canonical_text_is_the_same_for_the_same_value)
{
	vk_autojson *a = NULL, *b = NULL;
	cr_assert_eq(parse("{\"b\": 1, \"a\": [true, {\"y\":2,\"x\":1}]}", &a, NULL), 0);
	cr_assert_eq(parse("{\"a\":[true,{\"x\":1,\"y\":2}],\"b\":1}", &b, NULL), 0);
	vk_autofree char *ta = vk_json_text(a), *tb = vk_json_text(b), *pretty = vk_json_pretty(a);
	cr_assert_str_eq(ta, "{\"a\":[true,{\"x\":1,\"y\":2}],\"b\":1}");
	cr_assert_str_eq(ta, tb);
	cr_assert(vk_starts(pretty, "{\n  \"b\": 1,"), "%s", pretty);
	char ha[65], hb[65];
	vk_json_hash(a, ha);
	vk_json_hash(b, hb);
	cr_assert_str_eq(ha, hb);
	json_object_set_new(b, "b", json_integer(2));
	vk_json_hash(b, hb);
	cr_assert_str_neq(ha, hb);
}

/* ---- field tables ---- */

struct thing {
	char *name;
	bool flag;
	uint64_t count;
	int64_t delta;
	json_t *any, *obj, *list;
};
static const struct vk_field fields[] = {
	{"name", VK_F_STR, offsetof(struct thing, name), true, 0, 8},
	{"flag", VK_F_BOOL, offsetof(struct thing, flag), false, 0, 0},
	{"count", VK_F_U64, offsetof(struct thing, count), false, 1, 10},
	{"delta", VK_F_I64, offsetof(struct thing, delta), false, (uint64_t)-5, 5},
	{"any", VK_F_JSON, offsetof(struct thing, any), false, 0, 0},
	{"obj", VK_F_OBJECT, offsetof(struct thing, obj), false, 0, 0},
	{"list", VK_F_ARRAY, offsetof(struct thing, list), false, 0, 0},
	{0},
};

static int fill(const char *text, struct thing *t, struct vk_err *err)
{
	vk_autojson *j = NULL;
	cr_assert_eq(parse(text, &j, NULL), 0, "%s", text);
	return vk_json_fields(j, fields, t, err);
}

Test(json, fields_fill_a_struct)
{
	struct thing t = {.delta = 77};
	struct vk_err err = {0};
	cr_assert_eq(fill("{\"name\":\"x\",\"flag\":true,\"count\":10,\"any\":null,\"obj\":{},"
			  "\"list\":[1]}",
			     &t, &err),
		0, "%s", err.msg);
	cr_assert_str_eq(t.name, "x");
	cr_assert(t.flag && t.count == 10 && t.delta == 77);
	cr_assert(json_is_null(t.any) && json_is_object(t.obj) && json_array_size(t.list) == 1);
	cr_assert_eq(fill("{\"name\":\"again\",\"delta\":-5,\"list\":[]}", &t, &err), 0);
	cr_assert(vk_streq(t.name, "again") && t.delta == -5 && json_array_size(t.list) == 0);
	vk_fields_release(fields, &t);
	cr_assert(t.name == NULL && t.any == NULL && t.obj == NULL && t.list == NULL);
}

Test(json, fields_refuse_what_does_not_fit)
{
	static const struct {
		const char *text;
		int code;
		const char *says;
	} bad[] = {
		{"[]", VK_INVALID, "object is expected"},
		{"{}", VK_INVALID, "name is missing"},
		{"{\"name\":1}", VK_INVALID, "name must be a string"},
		{"{\"name\":null}", VK_INVALID, "name must be a string"},
		{"{\"name\":\"123456789\"}", VK_LIMIT, "longer than 8 bytes"},
		{"{\"name\":\"x\",\"count\":0}", VK_INVALID, "count is below the limit of 1"},
		{"{\"name\":\"x\",\"count\":11}", VK_INVALID, "count is over the limit of 10"},
		{"{\"name\":\"x\",\"count\":-1}", VK_INVALID,
			"count must be a whole number from 0"},
		{"{\"name\":\"x\",\"count\":1.5}", VK_INVALID, "count must be"},
		{"{\"name\":\"x\",\"delta\":-6}", VK_INVALID, "delta is below"},
		{"{\"name\":\"x\",\"delta\":6}", VK_INVALID, "delta is over"},
		{"{\"name\":\"x\",\"flag\":1}", VK_INVALID, "flag must be true or false"},
		{"{\"name\":\"x\",\"obj\":[]}", VK_INVALID, "obj must be an object"},
		{"{\"name\":\"x\",\"list\":{}}", VK_INVALID, "list must be a list"},
		{"{\"name\":\"x\",\"cuont\":1}", VK_INVALID, "did you mean \"count\"?"},
		{"{\"name\":\"x\",\"wholly different\":1}", VK_INVALID,
			"unknown key \"wholly different\""},
	};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		struct thing t = {0};
		struct vk_err err = {0};
		cr_assert_eq(fill(bad[i].text, &t, &err), bad[i].code, "%s", bad[i].text);
		cr_assert_not_null(strstr(err.msg, bad[i].says), "%s: %s", bad[i].text, err.msg);
		vk_fields_release(fields, &t);
	}
}

Test(json, typed_reads_have_defaults)
{
	vk_autojson *j = NULL;
	parse("{\"s\":\"x\",\"i\":3,\"b\":false}", &j, NULL);
	cr_assert_str_eq(vk_json_str(j, "s", "d"), "x");
	cr_assert_str_eq(vk_json_str(j, "i", "d"), "d");
	cr_assert_str_eq(vk_json_str(NULL, "s", "d"), "d");
	cr_assert_eq(vk_json_int(j, "i", 9), 3);
	cr_assert_eq(vk_json_int(j, "s", 9), 9);
	cr_assert_eq(vk_json_bool(j, "b", true), false);
	cr_assert_eq(vk_json_bool(j, "none", true), true);
}

Test(json, safe_string_replaces_what_is_not_utf8)
{
	static const struct {
		const char *in;
		size_t n;
		const char *out;
	} cases[] = {
		{"plain \xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80", 17,
			"plain \xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"a\xff"
		 "b",
			3,
			"a\xef\xbf\xbd"
			"b"},
		{"\xc0\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"cut \xe2\x82", 6, "cut \xef\xbf\xbd\xef\xbf\xbd"},
		{"a\0b", 3,
			"a\xef\xbf\xbd"
			"b"},
		{"", 0, ""},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		vk_autojson *j = vk_json_safe_string(cases[i].in, cases[i].n), *back = NULL;
		cr_assert_str_eq(json_string_value(j), cases[i].out);
		vk_autofree char *text = vk_json_text(j);
		cr_assert_eq(parse(text, &back, NULL), 0, "what we print we read");
	}
}

/* ---- lines ---- */

static int collect(void *arg, json_t *value, struct vk_err *err)
{
	struct vk_buf *out = arg;
	(void)err;
	vk_autofree char *text = vk_json_text(value);
	vk_buf_addf(out, "%s;", text);
	return vk_json_int(value, "stop", 0) ? 42 : 0;
}

Test(json, lines_are_the_same_wherever_the_stream_is_split)
{
	static const char wire[] = "{\"a\":1}\n\r\n  \n{\"b\":\"\\u0000x\"}\r\n[2]\n{\"c\":3}";
	size_t n = sizeof(wire) - 1;
	for (size_t cut = 0; cut <= n; cut++) {
		for (size_t cut2 = cut; cut2 <= n; cut2++) {
			struct vk_jsonl l;
			vk_autobuf out = VK_BUF_INIT(4096);
			vk_jsonl_init(&l, 64);
			cr_assert_eq(vk_jsonl_feed(&l, wire, cut, collect, &out, NULL), 0);
			cr_assert_eq(
				vk_jsonl_feed(&l, wire + cut, cut2 - cut, collect, &out, NULL), 0);
			cr_assert_eq(
				vk_jsonl_feed(&l, wire + cut2, n - cut2, collect, &out, NULL), 0);
			cr_assert_eq(vk_jsonl_end(&l, collect, &out, NULL), 0);
			cr_assert_str_eq(
				vk_buf_str(&out), "{\"a\":1};{\"b\":\"\\u0000x\"};[2];{\"c\":3};");
			vk_jsonl_release(&l);
		}
	}
}

Test(json, lines_have_a_longest)
{
	struct vk_jsonl l;
	struct vk_err err = {0};
	vk_autobuf out = VK_BUF_INIT(4096);
	vk_jsonl_init(&l, 16);
	cr_assert_eq(vk_jsonl_feed(&l, "{\"a\":12345678}\n", 15, collect, &out, &err), 0);
	cr_assert_eq(
		vk_jsonl_feed(&l, "{\"a\":\"12345678901\"}\n", 20, collect, &out, &err), VK_LIMIT);
	vk_jsonl_release(&l);
	vk_jsonl_init(&l, 16);
	cr_assert_eq(vk_jsonl_feed(&l, "{\"a\":\"1234567", 13, collect, &out, &err), 0);
	cr_assert_eq(vk_jsonl_feed(&l, "8901", 4, collect, &out, &err), VK_LIMIT);
	vk_jsonl_release(&l);
}

Test(json, a_line_may_stop_the_feed)
{
	struct vk_jsonl l;
	vk_autobuf out = VK_BUF_INIT(4096);
	vk_jsonl_init(&l, 64);
	cr_assert_eq(vk_jsonl_feed(&l, "{\"stop\":1}\n{\"a\":2}\n", 19, collect, &out, NULL), 42);
	cr_assert_str_eq(vk_buf_str(&out), "{\"stop\":1};");
	cr_assert_eq(vk_jsonl_feed(&l, "rubbish\n", 8, collect, &out, NULL), VK_INVALID);
	vk_jsonl_release(&l);
}

static void expect_patch(const char *from, const char *to, const char *patch)
{
	vk_autojson *a = NULL, *b = NULL;
	cr_assert_eq(parse(from, &a, NULL), 0);
	cr_assert_eq(parse(to, &b, NULL), 0);
	vk_autojson *p = vk_json_diff(a, b);
	vk_autofree char *text = p != NULL ? vk_json_text(p) : NULL;
	cr_assert(vk_streq(text, patch), "%s -> %s: %s", from, to, text);
	vk_json_merge(a, p);
	cr_assert(json_equal(a, b));
}

Test(json, a_merge_patch_says_only_what_changed)
{
	expect_patch("{\"a\":{\"b\":[1,2]}}", "{\"a\":{\"b\":[1,2]}}", NULL);
	expect_patch("{\"a\":1,\"b\":2}", "{\"b\":2}", "{\"a\":null}");
	expect_patch("{}", "{\"a\":{\"b\":{}}}", "{\"a\":{\"b\":{}}}");
	expect_patch("{\"a\":{\"x\":1,\"y\":[1]},\"c\":{}}",
		"{\"a\":{\"y\":[1,2],\"z\":2},\"c\":{}}",
		"{\"a\":{\"x\":null,\"y\":[1,2],\"z\":2}}");
	expect_patch("{\"a\":{\"x\":1}}", "{\"a\":\"web\"}", "{\"a\":\"web\"}");
	expect_patch("{\"a\":\"web\"}", "{\"a\":{\"x\":{\"y\":1}}}", "{\"a\":{\"x\":{\"y\":1}}}");
}

/* Whoever keeps parts of the document before pays for none of them. */
Test(json, shared_parts_are_equal)
{
	vk_autojson *part = json_pack("{s:f}", "n", 0.5), *a = json_pack("{s:O}", "p", part),
		    *b = json_pack("{s:O,s:i}", "p", part, "q", 1);
	vk_autojson *patch = vk_json_diff(a, b);
	vk_autofree char *text = vk_json_text(patch);
	cr_assert_str_eq(text, "{\"q\":1}");
	cr_assert(vk_json_diff(part, part) == NULL);
}

static json_t *random_document(unsigned *seed, unsigned depth)
{
	*seed = *seed * 1103515245 + 12345;
	unsigned kind = *seed >> 16 & 7;
	if (depth == 0 || kind > 4)
		return kind & 1 ? json_integer(kind) : json_pack("[i,s]", (int)kind, "x");
	json_t *o = json_object();
	for (unsigned i = 0; i < kind; i++) {
		*seed = *seed * 1103515245 + 12345;
		char key[] = {(char)('a' + (*seed >> 16) % 5), '\0'};
		json_object_set_new(o, key, random_document(seed, depth - 1));
	}
	return o;
}

Test(json, patches_in_a_row_lead_to_the_document)
{
	unsigned seed = 7;
	vk_autojson *kept = json_object();
	for (int i = 0; i < 2000; i++) {
		vk_autojson *next = json_pack("{s:o}", "doc", random_document(&seed, 4));
		vk_autojson *patch = vk_json_diff(kept, next);
		vk_json_merge(kept, patch);
		cr_assert(json_equal(kept, next), "step %d", i);
	}
}
