#include <criterion/criterion.h>

#include "patched.h"

#define STEPS 3000
#define STACKS \
	"{\"a\":{\"backends\":{\"web\":{}},\"domains\":{\"a.com\":\"web\"%s}}," \
	"\"b\":{\"backends\":{\"web\":{}},\"domains\":{\"b.com\":\"web\"%s}}}"

Test(change, any_row_of_patches_comes_to_the_state_of_the_whole_table)
{
	struct patched p;
	unsigned seed = 11;
	patched_init(&p);
	for (unsigned i = 0; i < STEPS; i++) {
		uint8_t bytes[256];
		for (size_t k = 0; k < sizeof(bytes); k++) {
			seed = seed * 1103515245 + 12345;
			bytes[k] = (uint8_t)(seed >> 16);
		}
		struct input in = {bytes, sizeof(bytes)};
		cr_assert(patched_step(&p, patched_next(p.doc, &in)), "step %u", i);
	}
	cr_assert_gt(p.changes, STEPS / 10, "the short way is hardly tried: %u", p.changes);
	patched_release(&p);
}

/* To whom it goes is for the whole table to say. */
Test(change, a_domain_that_two_stacks_gain_at_once_goes_the_long_way)
{
	static const struct {
		const char *a, *b;
		bool quick;
	} steps[] = {{"", "", false}, {",\"x.com\":\"web\"", ",\"y.com\":\"web\"", true},
		{"", "", true}, {",\"x.com\":\"web\"", ",\"x.com\":\"web\"", false},
		{"", "", false}, {",\"x.com\":\"web\"", "", true},
		{"", ",\"x.com\":\"web\"", false}};
	struct patched p;
	patched_init(&p);
	for (size_t i = 0; i < VK_COUNT(steps); i++) {
		unsigned before = p.changes;
		vk_autofree char *text = vk_asprintf(STACKS, steps[i].a, steps[i].b);
		json_t *doc = NULL;
		cr_assert_eq(vk_json_parse(text, strlen(text), &doc, NULL), 0);
		cr_assert(patched_step(&p, json_pack("{s:o}", "stacks", doc)));
		cr_assert_eq(p.changes - before, steps[i].quick, "step %zu", i);
	}
	patched_release(&p);
}
