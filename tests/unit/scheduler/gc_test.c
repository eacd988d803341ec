/* Which releases and images are kept. */
#include "gc.h"

#include "scene.h"

static struct state st;

static void put_stack(const char *name)
{
	vk_autofree char *key = vk_asprintf("/stack/%s", name);
	scene_put(&st, key, "{'v':1,'id':'00','subnet':0}");
}

static void put_release(const char *stack, unsigned n, const char *outcome, const char *nodes)
{
	vk_autofree char *key = vk_asprintf("/release/%s/%u", stack, n);
	vk_autofree char *row = vk_asprintf(
		"{'v':1,'outcome':'%s','doc':'{}','boats':{'src':{'ref':'r%u'}},'nodes':%s}",
		outcome, n, nodes);
	scene_put(&st, key, row);
}

static void put_current(const char *stack, unsigned n)
{
	vk_autofree char *key = vk_asprintf("/current/%s", stack);
	vk_autofree char *row = vk_asprintf("{'v':1,'n':%u}", n);
	scene_put(&st, key, row);
}

static void setup(void)
{
	state_init(&st);
}

static void teardown(void)
{
	state_release(&st);
}

TestSuite(gc, .init = setup, .fini = teardown);

static bool kept(const json_t *k, unsigned n)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", n);
	return json_object_get(k, text) != NULL;
}

Test(gc, the_newest_good_releases_and_their_origins_are_kept)
{
	put_stack("r");
	for (unsigned n = 1; n <= 12; n++) {
		vk_autofree char *nodes = vk_asprintf(
			"{'web':{'version':%u,'born':%u},'db':{'version':1,'born':1}}", n, n);
		put_release("r", n, n % 3 == 0 ? "failed" : "ok", nodes);
	}
	put_current("r", 11);
	vk_autojson *k = gc_kept(state_stack(&st, "r"), 3);
	static const unsigned yes[] = {11, 10, 8, 1}, no[] = {12, 9, 7, 6, 5, 4, 3, 2};
	for (size_t i = 0; i < VK_COUNT(yes); i++)
		cr_expect(kept(k, yes[i]), "v%u", yes[i]);
	for (size_t i = 0; i < VK_COUNT(no); i++)
		cr_expect_not(kept(k, no[i]), "v%u", no[i]);
	vk_autojson *refs = gc_refs(&st, 3);
	cr_expect_eq(json_array_size(refs), 4);
}

Test(gc, the_serving_release_is_kept_however_old)
{
	put_stack("r");
	for (unsigned n = 1; n <= 6; n++)
		put_release("r", n, "ok", "{}");
	put_current("r", 1);
	scene_put(
		&st, "/drain/r", "{'v':1,'instances':[{'node':'web','version':1,'n':1,'born':2}]}");
	vk_autojson *k = gc_kept(state_stack(&st, "r"), 2);
	cr_expect(kept(k, 1));
	cr_expect(kept(k, 2), "what drains still needs its definition");
	cr_expect(kept(k, 6) && kept(k, 5));
	cr_expect_not(kept(k, 4));
}

Test(gc, a_release_on_trial_is_kept)
{
	put_stack("t");
	for (unsigned n = 1; n <= 5; n++)
		put_release("t", n, n == 2 ? "canary" : "ok", "{}");
	put_current("t", 1);
	scene_put(&st, "/canary/t", "{'v':1,'n':2,'percent':10,'nodes':[]}");
	vk_autojson *k = gc_kept(state_stack(&st, "t"), 1);
	cr_expect(kept(k, 1) && kept(k, 2) && kept(k, 5));
	cr_expect_not(kept(k, 3));
}
