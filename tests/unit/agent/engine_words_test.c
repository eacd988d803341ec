/* What the engine and the kernel say in their own words: times, events, pids, signals. */
#include <criterion/criterion.h>
#include <signal.h>
#include <viking/json.h>

#include "agent.h"
#include "events.h"
#include "instance_fixture.h"
#include "killer.h"

static int64_t ns(const char *text)
{
	return agent_time_ns(text, strlen(text), NULL);
}

Test(engine_words, times_to_the_nanosecond)
{
	size_t used = 0;
	static const char line[] = "2026-11-21T04:05:06.123456789Z text";
	cr_expect_eq(agent_time_ns(line, sizeof(line) - 1, &used), 1795233906123456789);
	cr_expect_eq(used, 30);
	cr_expect_eq(ns("2026-11-21T04:05:06Z"), 1795233906000000000);
	cr_expect_eq(ns("2026-11-21T04:05:06.5Z"), 1795233906500000000);
}

Test(engine_words, what_is_no_time_is_zero)
{
	static const char *const bad[] = {"", "0001-01-01T00:00:00Z", "2026-11-21",
		"2026-11-21T04:05:06", "2026-11-21 04:05:06Z", "2026-13-21T04:05:06Z",
		"2026-11-21T04:05:06.12", "9999-12-31T00:00:00Z", "2026-11-21T04:05:06+01:00",
		"xxxx-11-21T04:05:06Z"};
	for (size_t i = 0; i < VK_COUNT(bad); i++)
		cr_expect_eq(ns(bad[i]), 0, "%s", bad[i]);
}

Test(engine_words, events_of_containers)
{
	struct event ev;
	vk_autojson *die = json_of(
		"{\"Type\":\"container\",\"Action\":\"die\",\"timeNano\":17,\"Actor\":{\"ID\":"
		"\"abc\",\"Attributes\":{\"exitCode\":\"137\",\"viking.instance\":\"a-b-1-1\"}}}");
	vk_autojson *net =
		json_of("{\"Type\":\"network\",\"Action\":\"connect\",\"Actor\":{\"ID\":\"n\"}}");
	vk_autojson *odd = json_of("{\"Type\":\"container\",\"Actor\":7}");
	cr_assert(event_read(die, &ev));
	cr_expect_str_eq(ev.id, "abc");
	cr_expect_str_eq(ev.action, "die");
	cr_expect_str_eq(ev.instance, "a-b-1-1");
	cr_expect_eq(ev.exit_code, 137);
	cr_expect_eq(ev.time_ns, 17);
	cr_expect_not(event_read(net, &ev));
	cr_expect_not(event_read(odd, &ev));
}

Test(engine_words, the_pid_inside_the_container)
{
	cr_expect_eq(killer_inner_pid("Name:\tsh\nNSpid:\t4711\t52\nNSpgid:\t4711\t52\n"), 52);
	cr_expect_eq(killer_inner_pid("Name:\tsh\nNSpid:\t4711\n"), 4711);
	cr_expect_eq(killer_inner_pid("Name:\tsh\nNSpid:\t\n"), 0);
	cr_expect_eq(killer_inner_pid("Name:\tNSpid: 7\n"), 0, "only at the beginning of a line");
	cr_expect_eq(killer_inner_pid(""), 0);
}

Test(engine_words, signals_by_name_only)
{
	cr_expect_eq(killer_number("TERM"), SIGTERM);
	cr_expect_eq(killer_number("SIGINT"), SIGINT);
	cr_expect_eq(killer_number("9"), 0);
	cr_expect_eq(killer_number("KILL; rm"), 0);
	cr_expect_eq(killer_number(""), 0);
}
