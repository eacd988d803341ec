#include <criterion/criterion.h>

#include "tally.h"

Test(tally, a_line)
{
	struct tally_line line;
	cr_assert(tally_read("7 b0012 s3 200 0 1 12\n", &line));
	cr_assert(line.watch == 7 && line.backend == 12 && line.slot == 3 && line.status == 200);
	cr_assert_eq(line.ms, 13);
	cr_assert(tally_read("7 b0012 s3 503 0 -1 -1", &line));
	cr_assert_eq(line.ms, -1);
}

Test(tally, what_is_no_line_of_a_server)
{
	static const char *const lines[] = {"", "-", "- b0001 s1 200 0 0 1",
		"7 http <NOSRV> 404 0 0 1", "7 b0001 <NOSRV> 503 0 -1 -1", "7 sites s1 200 0 0 1",
		"0 b0001 s1 200 0 0 1", "7 b0001 s1 200 0 0", "7 b0001 s1 x 0 0 1",
		"7 b0001 s1 2000 0 0 1", "7 b0001 s1 200 0 0 99999999999999999999",
		"7 b0001 s0 200 0 0 1", "7 b9999999999 s1 200 0 0 1"};
	struct tally_line line;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		cr_assert(!tally_read(lines[i], &line), "%s", lines[i]);
}

/* Every time lies in its class, no class is wider than an eighth, and they are in order. */
Test(tally, classes)
{
	cr_assert_eq(tally_class(-5), 0);
	cr_assert_eq(tally_class(INT64_MAX), TALLY_CLASSES - 1);
	for (int64_t ms = 0; ms < 120000; ms++) {
		unsigned class = tally_class(ms);
		cr_assert_leq(ms, tally_upper(class));
		cr_assert(class == 0 || ms > tally_upper(class - 1));
		cr_assert_leq(tally_upper(class), ms + ms / 8);
	}
}
