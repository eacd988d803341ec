#include <criterion/criterion.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "diff.h"

#define OURS "0123456789abcdef"

static struct diff_action *acts;
static size_t n_acts;

static void run(
	const struct diff_have *have, size_t n_have, const struct diff_know *know, size_t n_know)
{
	free(acts);
	diff_containers(OURS, have, n_have, know, n_know, &acts, &n_acts);
}

Test(diff, foreign_containers_and_other_roots_are_never_touched)
{
	const struct diff_have have[] = {
		{.id = "a", .running = true},
		{.id = "b",
			.root = "fedcba9876543210",
			.instance = "ragnar-web-1-1",
			.running = true},
		{.id = "c", .root = OURS, .running = true},
		{.id = "d", .instance = "ragnar-web-1-1", .running = true},
		{.id = "e", .root = "", .instance = "ragnar-web-1-1", .running = false},
	};
	const struct diff_know know[] = {{.name = "ragnar-web-1-1"}};
	run(have, 5, know, 1);
	cr_assert_eq(n_acts, 0);
	run(have, 5, NULL, 0);
	cr_assert_eq(n_acts, 0);
}

Test(diff, an_unknown_container_of_ours_is_taken_to_be_removed)
{
	const struct diff_have have[] = {
		{.id = "a", .root = OURS, .instance = "old-web-1-1", .running = true}};
	run(have, 1, NULL, 0);
	cr_assert_eq(n_acts, 1);
	cr_assert_eq(acts[0].what, DIFF_ADOPT);
	cr_assert_eq(acts[0].have, &have[0]);
	cr_assert_null(acts[0].know);
}

Test(diff, an_instance_without_a_container_adopts_one_and_reaps_the_second)
{
	const struct diff_have have[] = {
		{.id = "a", .root = OURS, .instance = "x-web-1-1", .running = true},
		{.id = "b", .root = OURS, .instance = "x-web-1-1", .running = false},
	};
	const struct diff_know know[] = {{.name = "x-db-1-1"}, {.name = "x-web-1-1"}};
	run(have, 2, know, 2);
	cr_assert_eq(n_acts, 2);
	cr_assert_eq(acts[0].what, DIFF_ADOPT);
	cr_assert_eq(acts[0].know, &know[1]);
	cr_assert_eq(acts[1].what, DIFF_REAP);
	cr_assert_eq(acts[1].have, &have[1]);
}

Test(diff, what_holds_its_container_is_left_alone)
{
	const struct diff_have have[] = {
		{.id = "a", .root = OURS, .instance = "x-web-1-1", .running = true}};
	const struct diff_know know[] = {{.name = "x-web-1-1", .id = "a", .running = true}};
	run(have, 1, know, 1);
	cr_assert_eq(n_acts, 0);
}

Test(diff, a_missing_container_is_lost_and_a_stopped_one_dead)
{
	const struct diff_have have[] = {
		{.id = "a", .root = OURS, .instance = "x-web-1-1", .running = false}};
	const struct diff_know know[] = {
		{.name = "x-web-1-1", .id = "a", .running = true},
		{.name = "x-db-1-1", .id = "gone", .running = true},
		{.name = "x-new-1-1"},
	};
	run(have, 1, know, 3);
	cr_assert_eq(n_acts, 2);
	cr_assert_eq(acts[0].what, DIFF_DEAD);
	cr_assert_eq(acts[0].know, &know[0]);
	cr_assert_eq(acts[1].what, DIFF_LOST);
	cr_assert_eq(acts[1].know, &know[1]);
	cr_assert_null(acts[1].have);
}

Test(diff, busy_instances_wait_for_the_next_listing)
{
	const struct diff_have have[] = {
		{.id = "a", .root = OURS, .instance = "x-web-1-1", .running = false},
		{.id = "b", .root = OURS, .instance = "x-db-1-1", .running = true},
	};
	const struct diff_know know[] = {
		{.name = "x-web-1-1", .id = "a", .running = true, .busy = true},
		{.name = "x-db-1-1", .busy = true},
		{.name = "x-gone-1-1", .id = "c", .running = true, .busy = true},
	};
	run(have, 2, know, 3);
	cr_assert_eq(n_acts, 0);
}

Test(diff, a_second_container_beside_the_held_one_is_reaped)
{
	const struct diff_have have[] = {
		{.id = "b", .root = OURS, .instance = "x-web-1-1", .running = true},
		{.id = "a", .root = OURS, .instance = "x-web-1-1", .running = true},
	};
	const struct diff_know know[] = {{.name = "x-web-1-1", .id = "a", .running = true}};
	run(have, 2, know, 1);
	cr_assert_eq(n_acts, 1);
	cr_assert_eq(acts[0].what, DIFF_REAP);
	cr_assert_str_eq(acts[0].have->id, "b");
}
