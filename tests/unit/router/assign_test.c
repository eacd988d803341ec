#include <criterion/criterion.h>
#include <viking/json.h>
#include <viking/str.h>

#include "assign.h"

static struct table *parse(const char *text)
{
	vk_autojson *j = NULL;
	struct table *t = NULL;
	struct faults f = {0};
	cr_assert_eq(vk_json_parse(text, strlen(text), &j, NULL), 0, "%s", text);
	cr_assert_eq(table_parse(j, "uno", &t, &f, NULL), 0);
	cr_assert_eq(f.n, 0);
	return t;
}

/* A table with one stack and the servers named, space-separated; "-x" drains. */
static struct table *stack_with(const char *stack, const char *ids)
{
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	vk_autostrv words = {0};
	vk_shell_split(ids, &words, NULL);
	vk_buf_addf(&b,
		"{\"rev\":1,\"stacks\":{\"%s\":{\"domains\":{\"%s.com\":\"web\"},\"backends\":{"
		"\"web\":{\"servers\":[",
		stack, stack);
	for (size_t i = 0; i < words.n; i++)
		vk_buf_addf(&b,
			"%s{\"id\":\"%s\",\"addr\":\"10.0.0.%zu\",\"port\":80,\"state\":\"%s\"}",
			i ? "," : "", words.v[i] + (words.v[i][0] == '-'), i + 1,
			words.v[i][0] == '-' ? "drain" : "ready");
	vk_buf_adds(&b, "]}}}}}");
	return parse(vk_buf_str(&b));
}

static void update(struct assign *a, struct table *t)
{
	assign_update(a, t);
	table_free(t);
}

static unsigned slot_of(const struct assign *a, unsigned backend, const char *id)
{
	for (unsigned s = 1; assign_id(a, backend, s) != NULL || s <= a->rows[backend - 1].n; s++)
		if (vk_streq(assign_id(a, backend, s), id))
			return s;
	return 0;
}

Test(assign, slots_are_stable_over_a_deploy)
{
	struct assign a;
	assign_init(&a);
	update(&a, stack_with("ragnar", "v1"));
	cr_assert_eq(slot_of(&a, 1, "v1"), 1);
	update(&a, stack_with("ragnar", "v1 v2"));
	cr_assert_eq(slot_of(&a, 1, "v1"), 1);
	cr_assert_eq(slot_of(&a, 1, "v2"), 2);
	update(&a, stack_with("ragnar", "-v1 v2"));
	update(&a, stack_with("ragnar", "v2"));
	cr_assert_eq(slot_of(&a, 1, "v1"), 0);
	cr_assert_eq(slot_of(&a, 1, "v2"), 2);
	update(&a, stack_with("ragnar", "v2 v3"));
	cr_assert_eq(slot_of(&a, 1, "v3"), 1);
	cr_assert_eq(a.n, ASSIGN_POOL + ASSIGN_H2);
	assign_release(&a);
}

Test(assign, a_new_server_never_takes_a_slot_that_is_just_given_up)
{
	struct assign a;
	assign_init(&a);
	update(&a, stack_with("ragnar", "v1"));
	update(&a, stack_with("ragnar", "v2"));
	cr_assert_eq(slot_of(&a, 1, "v2"), 2);
	update(&a, stack_with("ragnar", "v3 v4"));
	cr_assert_eq(slot_of(&a, 1, "v3"), 1);
	cr_assert_eq(slot_of(&a, 1, "v4"), 3, "slot 2 was v2's until now");
	assign_release(&a);
}

Test(assign, slots_grow_with_the_scale)
{
	struct assign a;
	assign_init(&a);
	update(&a, stack_with("ragnar", "a b c d e f g"));
	cr_assert_eq(a.rows[0].n, 7);
	for (unsigned s = 1; s <= 7; s++)
		cr_assert_not_null(assign_id(&a, 1, s));
	cr_assert_null(assign_id(&a, 1, 8));
	cr_assert_null(assign_id(&a, 99, 1));
	assign_release(&a);
}

Test(assign, who_waits_longest_is_taken_first)
{
	struct assign a;
	assign_init(&a);
	update(&a, stack_with("one", "x"));
	update(&a, stack_with("two", "x"));
	cr_assert_str_eq(a.rows[1].stack, "two");
	cr_assert_null(a.rows[0].stack);
	update(&a, stack_with("three", "x"));
	cr_assert_str_eq(a.rows[2].stack, "three", "a fresh one, not the one that was given back");
	for (unsigned i = 3; i < ASSIGN_POOL; i++) {
		vk_autofree char *name = vk_asprintf("n%u", i);
		update(&a, stack_with(name, "x"));
		cr_assert_str_eq(a.rows[i].stack, name);
	}
	update(&a, stack_with("again", "x"));
	cr_assert_str_eq(a.rows[0].stack, "again", "the first that was given back");
	assign_release(&a);
}

static struct table *many(unsigned n)
{
	vk_autobuf b = VK_BUF_INIT(1 << 22);
	vk_buf_adds(&b, "{\"rev\":1,\"stacks\":{");
	for (unsigned i = 0; i < n; i++)
		vk_buf_addf(&b,
			"%s\"s-%u\":{\"backends\":{\"web\":{\"servers\":[]},\"b\":{}},\"sites\":["
			"\"help\"]}",
			i ? "," : "", i);
	vk_buf_adds(&b, "}}");
	return parse(vk_buf_str(&b));
}

Test(assign, the_pool_grows)
{
	struct assign a;
	assign_init(&a);
	update(&a, many(ASSIGN_POOL / 2));
	cr_assert_eq(a.n, ASSIGN_POOL + ASSIGN_H2, "websites need no backend");
	update(&a, many(ASSIGN_POOL / 2 + 2));
	cr_assert_eq(a.n, 2 * (ASSIGN_POOL / 2 + 2) + ASSIGN_POOL);
	update(&a, many(1000));
	cr_assert_eq(a.n, 2000 + 2000 / 16);
	update(&a, many(1));
	cr_assert_eq(a.n, 2000 + 2000 / 16, "it does not shrink");
	assign_release(&a);
}

Test(assign, json_and_back)
{
	struct assign a, b;
	struct vk_err err = {0};
	assign_init(&a);
	update(&a, stack_with("one", "x y z"));
	update(&a, stack_with("two", "v1"));
	snprintf(a.boot, sizeof(a.boot), "0000-1111");
	a.reload = true;
	vk_autojson *j = assign_json(&a);
	cr_assert_eq(assign_parse(j, &b, &err), 0, "%s", err.msg);
	vk_autojson *k = assign_json(&b);
	cr_assert(json_equal(j, k));
	cr_assert_str_eq(b.boot, "0000-1111");
	cr_assert(b.reload);
	cr_assert_eq(b.rows[0].freed, a.rows[0].freed);
	assign_release(&a);
	assign_release(&b);
}

Test(assign, bad_json_is_refused)
{
	static const char *const bad[] = {"{}", "[]",
		"{\"v\":2,\"backends\":[{\"slots\":[null,null]}]}", "{\"v\":1,\"backends\":[]}",
		"{\"v\":1,\"backends\":[{\"slots\":[]}]}",
		"{\"v\":1,\"backends\":[{\"slots\":[null,null],\"stack\":\"a;b\",\"node\":\"web\"}]"
		"}",
		"{\"v\":1,\"backends\":[{\"slots\":[null,null],\"stack\":\"a\"}]}"};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		vk_autojson *j = NULL;
		struct assign a = {0};
		struct vk_err err = {0};
		cr_assert_eq(vk_json_parse(bad[i], strlen(bad[i]), &j, NULL), 0);
		cr_assert_lt(assign_parse(j, &a, &err), 0, "%s", bad[i]);
		cr_assert_eq(a.n, 0);
	}
}

Test(assign, the_model_of_a_table)
{
	struct assign a;
	struct model m;
	struct table *t =
		parse("{\"rev\":1,\"stacks\":{\"ragnar\":{\"backends\":{\"web\":{\"servers\":["
		      "{\"id\":\"v1\",\"addr\":\"10.0.0.1\",\"port\":80,\"state\":\"drain\"},{"
		      "\"id\":\"v2\",\"addr\":\"10.0.0.2\",\"port\":81}]}},"
		      "\"domains\":{\"z.com\":\"web\",\"a.com\":\"help\",\"*.b.com\":\"web\",\"*.x."
		      "b.com\":\"help\"},\"sites\":[\"help\"]}}}");
	assign_init(&a);
	assign_update(&a, t);
	assign_model(&a, t, &m);
	cr_assert_eq(m.n, ASSIGN_POOL + ASSIGN_H2);
	cr_assert_str_eq(m.backends[0].label, "ragnar/web");
	cr_assert_eq(m.backends[0].slots[0].state, SLOT_DRAIN);
	cr_assert_eq(m.backends[0].slots[1].state, SLOT_READY);
	cr_assert_str_eq(m.backends[0].slots[1].addr, "10.0.0.2");
	cr_assert_eq(m.backends[1].slots[0].state, SLOT_FREE);
	cr_assert_str_eq(m.maps[MAP_HOSTS].v[0].key, "a.com");
	cr_assert_str_eq(m.maps[MAP_HOSTS].v[0].value, "sites");
	cr_assert_str_eq(m.maps[MAP_HOSTS].v[1].value, "b0001");
	cr_assert_str_eq(m.maps[MAP_SUFFIXES].v[0].key, ".x.b.com");
	model_release(&m);
	assign_model(&a, NULL, &m);
	cr_assert_eq(m.backends[0].slots[1].state, SLOT_FREE);
	cr_assert_eq(m.maps[MAP_HOSTS].n, 0);
	model_release(&m);
	table_free(t);
	assign_release(&a);
}

Test(assign, an_app_that_becomes_a_website_drains)
{
	struct assign a;
	struct model m;
	struct table *t =
		parse("{\"rev\":1,\"stacks\":{\"ragnar\":{\"backends\":{\"web\":{\"servers\":["
		      "{\"id\":\"v1\",\"addr\":\"10.0.0.1\",\"port\":80,\"state\":\"drain\"}]}},"
		      "\"domains\":{\"a.com\":\"web\"},\"sites\":[\"web\"]}}}");
	assign_init(&a);
	assign_update(&a, t);
	assign_model(&a, t, &m);
	cr_assert_str_eq(m.maps[MAP_HOSTS].v[0].value, "sites");
	cr_assert_eq(m.backends[0].slots[0].state, SLOT_DRAIN);
	model_release(&m);
	table_free(t);
	t = parse("{\"rev\":2,\"stacks\":{\"ragnar\":{\"domains\":{\"a.com\":\"web\"},\"sites\":["
		  "\"web\"]}}}");
	update(&a, t);
	cr_assert_null(a.rows[0].stack, "and gives its backend back");
	assign_release(&a);
}

/* A spare backend of HTTP/2 needs no reload; a listener does, when it comes and when it goes. */
static void update_with_rpcs(struct assign *a, unsigned n)
{
	vk_autobuf text = VK_BUF_INIT(4096);
	vk_buf_addf(&text, "{\"rev\": %u, \"stacks\": {\"s\": {\"backends\": {", n);
	for (unsigned i = 1; i <= n; i++)
		vk_buf_addf(&text, "%s\"rpc%u\": {\"h2\": true, \"servers\": []}",
			i > 1 ? ", " : "", i);
	vk_buf_adds(&text, "}}}}");
	struct table *t = parse(vk_buf_str(&text));
	a->reload = false;
	assign_update(a, t);
	table_free(t);
}

Test(assign, a_reload_for_http2_is_for_the_next_ones_too)
{
	struct assign a;
	assign_init(&a);
	for (unsigned n = 1; n <= 6; n++) {
		update_with_rpcs(&a, n);
		cr_assert_eq(a.reload, n == ASSIGN_H2 + 1 || n == 2 * ASSIGN_H2 + 2, "%u", n);
	}
	cr_assert_eq(a.n, ASSIGN_POOL + ASSIGN_H2);
	assign_release(&a);
}

Test(assign, kinds)
{
	struct assign a;
	assign_init(&a);
	struct table *t = parse("{\"rev\": 1, \"stacks\": {\"s\": {\"backends\": {"
				"\"rpc\": {\"h2\": true, \"servers\": []}}}}}");
	assign_update(&a, t);
	cr_assert(!a.reload);
	cr_assert_str_eq(a.rows[ASSIGN_POOL].node, "rpc");
	table_free(t);
	t = parse("{\"rev\": 2, \"stacks\": {\"s\": {\"backends\": {"
		  "\"rpc\": {\"h2\": true, \"servers\": []}, \"db@5432\": {\"servers\": []}}}}}");
	assign_update(&a, t);
	cr_assert(a.reload);
	cr_assert_eq(a.rows[0].front, 5432);
	a.reload = false;
	assign_update(&a, t);
	cr_assert(!a.reload, "it is there");
	table_free(t);
	vk_autojson *doc = assign_json(&a);
	struct assign again;
	cr_assert_eq(assign_parse(doc, &again, NULL), 0);
	cr_assert(again.rows[0].front == 5432 && again.rows[ASSIGN_POOL].h2);
	t = parse("{\"rev\": 3, \"stacks\": {}}");
	assign_update(&again, t);
	cr_assert(again.reload && again.rows[0].front == 0);
	table_free(t);
	assign_release(&a);
	assign_release(&again);
}
