#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "sources.h"

static struct source_id id(const char *text)
{
	struct sockaddr_storage a = {0};
	struct sockaddr_in *four = (struct sockaddr_in *)&a;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&a;
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
		a.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
		a.ss_family = AF_INET6;
	return source_of(&a);
}

static bool same(const char *a, const char *b)
{
	const struct source_id x = id(a), y = id(b);
	return x.v6 == y.v6 && memcmp(x.bytes, y.bytes, sizeof(x.bytes)) == 0;
}

Test(sources, an_address_or_a_64_is_one_source)
{
	cr_expect_not(same("10.0.0.1", "10.0.0.2"));
	cr_expect(same("10.0.0.1", "::ffff:10.0.0.1"));
	cr_expect(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
	cr_expect_not(same("2001:db8:1:2::1", "2001:db8:1:3::1"));
	cr_expect(same("::1", "127.0.0.1"));
}

Test(sources, places_are_limited_per_source_and_in_all)
{
	struct sources *s = sources_new(3, 2);
	const struct source_id a = id("10.0.0.1"), b = id("10.0.0.2");
	cr_expect_eq(sources_start(s, &a, 0), VERDICT_GO);
	cr_expect_eq(sources_start(s, &a, 0), VERDICT_GO);
	cr_expect_eq(sources_start(s, &a, 0), VERDICT_WAIT);
	cr_expect_eq(sources_start(s, &b, 0), VERDICT_GO);
	cr_expect_eq(sources_start(s, &b, 0), VERDICT_WAIT);
	cr_expect_eq(sources_starting(s), 3);
	sources_login(s, &a);
	cr_expect_eq(sources_start(s, &b, 0), VERDICT_GO);
	sources_end(s, &a, ENDING_FINE, true, 0);
	cr_expect_eq(sources_starting(s), 3, "who has logged in has given its place back already");
	sources_end(s, &b, ENDING_FINE, false, 0);
	cr_expect_eq(sources_starting(s), 2);
	sources_free(s);
}

Test(sources, penalties_add_up_and_pass)
{
	struct sources *s = sources_new(100, 10);
	const struct source_id a = id("10.0.0.1"), b = id("10.0.0.2");
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(sources_start(s, &a, 1000), VERDICT_GO);
		sources_end(s, &a, ENDING_FAILED, false, 1000);
	}
	cr_expect_eq(sources_start(s, &a, 1000), VERDICT_GO, "10 s are under the limit");
	sources_end(s, &a, ENDING_FAILED, false, 1000);
	cr_expect_eq(sources_start(s, &a, 1000), VERDICT_REFUSE);
	cr_expect_eq(sources_start(s, &b, 1000), VERDICT_GO);
	cr_expect_eq(sources_start(s, &a, 1002), VERDICT_GO, "it wears off");
	sources_free(s);
}

Test(sources, a_crash_is_worse_and_there_is_an_end_to_it)
{
	struct sources *s = sources_new(100, 10);
	const struct source_id a = id("10.0.0.1"), home = id("127.0.0.1");
	sources_end(s, &a, ENDING_CRASHED, true, 0);
	cr_expect_eq(sources_start(s, &a, 0), VERDICT_REFUSE);
	for (int i = 0; i < 50; i++)
		sources_end(s, &a, ENDING_CRASHED, true, 0);
	cr_expect_eq(sources_start(s, &a, PENALTY_MAX_MS - PENALTY_MIN_MS), VERDICT_REFUSE);
	cr_expect_eq(sources_start(s, &a, PENALTY_MAX_MS), VERDICT_GO);
	sources_end(s, &home, ENDING_CRASHED, true, 0);
	cr_expect_eq(
		sources_start(s, &home, 0), VERDICT_GO, "proxies of the host are not punished");
	sources_free(s);
}

Test(sources, memory_is_bounded)
{
	struct sources *s = sources_new(100, 10);
	for (unsigned i = 0; i < SOURCES_MAX; i++) {
		struct source_id x = {
			.bytes = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
		sources_end(s, &x, ENDING_CRASHED, true, 0);
	}
	const struct source_id fresh = id("11.0.0.1");
	cr_expect_eq(sources_start(s, &fresh, 0), VERDICT_REFUSE);
	cr_expect_eq(sources_start(s, &fresh, 90001), VERDICT_GO, "old rows make room");
	sources_free(s);
}
