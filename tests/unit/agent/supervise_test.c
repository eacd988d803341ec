#include <criterion/criterion.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "supervise.h"

static const struct supervise_rule service = {.restart_count = -1};
static int64_t wait_ms;

static enum supervise_next quick(struct supervise *s, const struct supervise_rule *rule)
{
	return supervise_ended(s, rule, 1, 200, false, &wait_ms);
}

Test(supervise, backs_off_doubling_and_fails_at_five)
{
	struct supervise s = {0};
	supervise_reset(&s, "h");
	static const int64_t waits[] = {1000, 2000, 4000, 8000};
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(quick(&s, &service), SUPERVISE_AGAIN);
		cr_assert_eq(wait_ms, waits[i], "%u: %lld", i, (long long)wait_ms);
		cr_assert_eq(s.failures, i + 1);
		cr_assert_not(s.failed);
	}
	cr_assert_eq(quick(&s, &service), SUPERVISE_FAILED);
	cr_assert(s.failed && s.has_exit && s.exit_code == 1);
	cr_assert_eq(supervise_backoff_ms(0), 0);
	cr_assert_eq(supervise_backoff_ms(5), 16000);
	cr_assert_eq(supervise_backoff_ms(4000000000u), 16000);
}

Test(supervise, restart_count_is_the_limit)
{
	static const struct {
		int64_t count;
		unsigned starts;
	} rows[] = {{0, 1}, {1, 2}, {3, 4}, {20, 21}};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct supervise s = {0};
		const struct supervise_rule rule = {.restart_count = rows[i].count};
		unsigned starts = 1;
		supervise_reset(&s, "h");
		while (quick(&s, &rule) == SUPERVISE_AGAIN)
			starts++;
		cr_expect_eq(starts, rows[i].starts, "%lld: %u", (long long)rows[i].count, starts);
	}
	struct supervise s = {0};
	const struct supervise_rule huge = {.restart_count = UINT32_MAX};
	cr_assert_eq(quick(&s, &huge), SUPERVISE_AGAIN, "a limit that is too large is none");
}

Test(supervise, an_exit_after_ten_seconds_is_no_failure)
{
	struct supervise s = {0};
	for (int i = 0; i < 20; i++)
		cr_assert_eq(supervise_ended(&s, &service, 1, SUPERVISE_QUICK_MS, false, &wait_ms),
			SUPERVISE_AGAIN);
	cr_assert_eq(s.failures, 0);
	cr_assert_eq(supervise_ended(&s, &service, 1, SUPERVISE_QUICK_MS - 1, false, &wait_ms),
		SUPERVISE_AGAIN);
	cr_assert_eq(s.failures, 1);
}

Test(supervise, what_others_stopped_starts_again_at_once)
{
	struct supervise s = {0};
	const struct supervise_rule never = {.never = true, .restart_count = -1},
				    once = {.restart_count = 0};
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(
			supervise_ended(&s, &service, 137, 5, true, &wait_ms), SUPERVISE_AGAIN);
		cr_assert_eq(wait_ms, 0);
	}
	cr_assert_eq(s.failures, 0);
	cr_assert_eq(supervise_ended(&s, &never, 137, 5, true, &wait_ms), SUPERVISE_AGAIN);
	cr_assert_eq(supervise_ended(&s, &once, 137, 5, true, &wait_ms), SUPERVISE_AGAIN);
}

Test(supervise, tasks_run_once)
{
	struct supervise s = {0};
	const struct supervise_rule task = {.task = true, .restart_count = -1};
	cr_assert_eq(supervise_ended(&s, &task, 3, 5, false, &wait_ms), SUPERVISE_DONE);
	cr_assert(s.done && !s.failed && s.exit_code == 3);
	supervise_reset(&s, "h");
	cr_assert_eq(supervise_ended(&s, &task, 137, 5, true, &wait_ms), SUPERVISE_DONE);
	supervise_reset(&s, "h");
	cr_assert_eq(supervise_ended(&s, &task, -1, 0, false, &wait_ms), SUPERVISE_FAILED);
	cr_assert(s.failed && !s.done && !s.has_exit);
}

Test(supervise, restart_never_ends_with_the_first_exit)
{
	struct supervise s = {0};
	const struct supervise_rule never = {.never = true, .restart_count = -1};
	cr_assert_eq(supervise_ended(&s, &never, 0, 5, false, &wait_ms), SUPERVISE_DONE);
	cr_assert(s.done);
}

Test(supervise, counts_survive_a_restart_but_not_a_new_definition)
{
	struct supervise s = {0}, t = {0};
	supervise_reset(&s, "abc");
	quick(&s, &service);
	quick(&s, &service);
	s.started = true;
	s.restarts = 2;
	snprintf(s.reason, sizeof(s.reason), "exited with status 1");
	s.tail = json_pack("[s]", "last words");
	vk_autojson *record = supervise_save(&s);
	cr_assert(supervise_load(&t, record, "abc"));
	cr_assert(
		t.failures == 2 && t.restarts == 2 && t.started && t.has_exit && t.exit_code == 1);
	cr_assert_str_eq(t.reason, "exited with status 1");
	cr_assert_str_eq(json_string_value(json_array_get(t.tail, 0)), "last words");
	supervise_release(&t);
	cr_assert_not(supervise_load(&t, record, "abd"));
	cr_assert(t.failures == 0 && !t.started && t.tail == NULL);
	cr_assert_str_eq(t.hash, "abd");
	cr_assert_not(supervise_load(&t, NULL, "abd"));
	supervise_release(&s);
}

Test(supervise, what_is_unhealthy_counts_however_long_it_lived)
{
	struct supervise s = {0};
	const struct supervise_rule twice = {.restart_count = 1},
				    never = {.never = true, .restart_count = -1};
	int64_t wait = -1;
	supervise_reset(&s, "h");
	cr_expect_eq(supervise_unwell(&s, &twice, false, &wait), SUPERVISE_AGAIN);
	cr_expect_eq(wait, 1000);
	cr_expect_eq(supervise_unwell(&s, &twice, false, &wait), SUPERVISE_FAILED);
	cr_expect(s.failed);
	supervise_reset(&s, "h");
	cr_expect_eq(supervise_unwell(&s, &twice, true, &wait), SUPERVISE_FAILED, "kill");
	supervise_reset(&s, "h");
	cr_expect_eq(supervise_unwell(&s, &never, false, &wait), SUPERVISE_FAILED);
	supervise_release(&s);
}
