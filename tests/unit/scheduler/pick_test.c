#include <criterion/criterion.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "pick.h"
#include "view.h"

static struct state st;

static void put(const char *key, const char *text)
{
	vk_autojson *value = NULL;
	struct vk_err err = {0};
	cr_assert_eq(vk_json_parse(text, strlen(text), &value, &err), 0, "%s", err.msg);
	cr_assert_eq(state_apply(&st, key, value, &err), 0, "%s", err.msg);
}

/* A stack "s" that serves these nodes: {"name": entry}; the document has the same names. */
static struct stack *serving(const char *nodes)
{
	vk_autofree char *row =
		vk_asprintf("{\"v\":1,\"outcome\":\"ok\",\"nodes\":%s,\"doc\":\"{}\"}", nodes);
	put("/stack/s", "{\"v\":1,\"id\":\"ab\"}");
	put("/release/s/1", row);
	put("/current/s", "{\"v\":1,\"n\":1}");
	return state_stack(&st, "s");
}

static void setup(void)
{
	state_init(&st);
}

static void teardown(void)
{
	state_release(&st);
}

TestSuite(pick, .init = setup, .fini = teardown);

static const char *picked(const struct stack *sk, const char *node, int *ret_code)
{
	const char *name = NULL;
	const json_t *entry = NULL;
	struct vk_err err = {0};
	*ret_code = pick_node(sk, node, &name, &entry, &err);
	cr_expect_eq(*ret_code != 0, err.msg[0] != '\0', "an error says what it is");
	cr_expect_eq(*ret_code == 0, entry != NULL);
	return name;
}

Test(pick, the_only_node_with_containers_needs_no_name)
{
	int rc;
	const struct stack *sk =
		serving("{\"worker\":{\"type\":\"app\"},\"help\":{\"type\":\"website\"}}");
	cr_expect_str_eq(picked(sk, NULL, &rc), "worker");
	cr_expect_str_eq(picked(sk, "", &rc), "worker");
}

Test(pick, of_several_one_must_be_named)
{
	int rc;
	const struct stack *sk = serving("{\"a\":{\"type\":\"app\"},\"b\":{\"type\":\"app\"}}");
	cr_expect_null(picked(sk, NULL, &rc));
	cr_expect_eq(rc, VK_INVALID);
	cr_expect_str_eq(picked(sk, "b", &rc), "b");
}

Test(pick, what_is_not_there_is_not_found_and_a_website_is_refused)
{
	int rc;
	const struct stack *sk =
		serving("{\"a\":{\"type\":\"app\"},\"help\":{\"type\":\"website\"}}");
	cr_expect_null(picked(sk, "nope", &rc));
	cr_expect_eq(rc, VK_NOTFOUND);
	cr_expect_null(picked(sk, "help", &rc));
	cr_expect_eq(rc, VK_INVALID);
	put("/stack/new", "{\"v\":1,\"id\":\"cd\"}");
	cr_expect_null(picked(state_stack(&st, "new"), NULL, &rc));
	cr_expect_eq(rc, VK_NOTFOUND, "no release yet");
}

/* ---- what of a stored value may be shown ---- */

static char *shown(const char *key, const char *text)
{
	vk_autojson *value = NULL;
	cr_assert_eq(vk_json_parse(text, strlen(text), &value, NULL), 0);
	vk_autojson *copy = view_public(key, value);
	return vk_json_text(copy);
}

Test(view, sealed_values_and_documents_are_not_shown)
{
	vk_autofree char *config = shown("/config/s/TOKEN", "{\"v\":1,\"sealed\":\"c2VjcmV0\"}");
	cr_expect_str_eq(config, "{\"v\":1}");
	vk_autofree char *release = shown("/release/s/1",
		"{\"v\":1,\"doc\":\"{\\\"env\\\":{\\\"A\\\":\\\"b\\\"}}\",\"config\":{\"TOKEN\":"
		"\"c2VjcmV0\"},\"n\":1}");
	cr_expect_str_eq(release, "{\"config\":[\"TOKEN\"],\"n\":1,\"v\":1}");
	vk_autofree char *odd = shown("/x", "[1]");
	cr_expect_str_eq(odd, "null");
}

Test(pick, a_node_that_no_release_had_is_named_with_those_that_are)
{
	struct vk_err err = {0};
	const struct stack *sk = serving("{\"web\":{\"type\":\"app\"}}");
	put("/release/s/2",
		"{\"v\":1,\"outcome\":\"ok\",\"nodes\":{\"worker\":{\"type\":\"app\"}},"
		"\"doc\":\"{}\"}");
	put("/current/s", "{\"v\":1,\"n\":2}");
	cr_expect_eq(pick_known(sk, "worker", &err), 0);
	cr_expect_eq(pick_known(sk, "web", &err), 0, "its log lines are kept");
	cr_expect_eq(pick_known(sk, "wep", &err), VK_NOTFOUND);
	cr_expect_str_eq(err.msg, "s has no node wep (did you mean web?)");
	cr_expect_str_eq(err.hint, "-p NODE, one of: web, worker");
	put("/stack/new", "{\"v\":1,\"id\":\"cd\"}");
	cr_expect_eq(pick_known(state_stack(&st, "new"), "web", &err), VK_NOTFOUND);
	cr_expect_str_eq(err.hint, "git push ssh://viking@HOST:2222/new master");
}
