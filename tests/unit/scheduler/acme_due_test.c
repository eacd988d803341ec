#include <criterion/criterion.h>

#include "acme_due.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)

static void between(int64_t value, int64_t low, int64_t high)
{
	cr_assert(low <= value && value <= high, "%lld is not in %lld .. %lld", (long long)value,
		(long long)low, (long long)high);
}

Test(acme_due, renewal_is_two_thirds_through_or_30_days_before_the_end)
{
	between(acme_renew_ms(0, 90 * DAY, "a.com"), 57 * DAY, 60 * DAY);
	between(acme_renew_ms(0, 6 * DAY, "a.com"), 4 * DAY - 6 * DAY / 40, 4 * DAY);
	between(acme_renew_ms(0, 365 * DAY, "a.com"), 325 * DAY, 335 * DAY);
	cr_assert_eq(acme_renew_ms(5, 5, "a.com"), 5, "no life at all");
	cr_assert_eq(acme_renew_ms(9, 5, "a.com"), 9, "a life that ends before it begins");
}

Test(acme_due, names_spread_and_stay_where_they_are)
{
	cr_assert_eq(acme_renew_ms(0, 90 * DAY, "a.com"), acme_renew_ms(0, 90 * DAY, "a.com"));
	cr_assert_neq(acme_renew_ms(0, 90 * DAY, "a.com"), acme_renew_ms(0, 90 * DAY, "b.com"));
}

Test(acme_due, waits_double_to_a_day)
{
	int64_t first = 600000;
	between(acme_wait_ms(first, 0, "a.com"), first, first * 5 / 4);
	between(acme_wait_ms(first, 1, "a.com"), first, first * 5 / 4);
	between(acme_wait_ms(first, 3, "a.com"), 4 * first, 5 * first);
	between(acme_wait_ms(first, 60, "a.com"), DAY, DAY * 5 / 4);
	between(acme_wait_ms(first, UINT64_MAX, "a.com"), DAY, DAY * 5 / 4);
	/* in an hour: no more than Let's Encrypt's 5 failures of a name */
	int64_t at = 0, n = 1;
	for (; at < HOUR; n++)
		at += acme_wait_ms(first, (uint64_t)n, "a.com");
	cr_assert_leq(n, 5);
}
