#include <criterion/criterion.h>

#include "cond.h"
#include "types.h"

Test(cond, none_match)
{
	cr_assert(cond_none_match("\"a\"", "\"a\""));
	cr_assert(cond_none_match("W/\"a\"", "\"a\""));
	cr_assert(cond_none_match("\"x\", W/\"y\" ,\"a\"", "\"a\""));
	cr_assert(cond_none_match("*", "\"a\""));
	cr_assert(cond_none_match("\"x,y\", \"a\"", "\"a\""));
	cr_assert_not(cond_none_match(NULL, "\"a\""));
	cr_assert_not(cond_none_match("", "\"a\""));
	cr_assert_not(cond_none_match("a", "\"a\""));
	cr_assert_not(cond_none_match("\"a", "\"a\""));
	cr_assert_not(cond_none_match("\"b\"", "\"a\""));
	cr_assert_not(cond_none_match("x \"a\"", "\"a\""));
}

static void part(const char *header, uint64_t size, uint64_t off, uint64_t len)
{
	uint64_t o = 0, l = 0;
	cr_assert_eq(range_parse(header, size, &o, &l), RANGE_PART, "%s", header);
	cr_assert(o == off && l == len, "%s", header);
}

static void other(const char *header, uint64_t size, enum range_kind kind)
{
	uint64_t o = 7, l = 7;
	cr_assert_eq(
		range_parse(header, size, &o, &l), kind, "%s", header != NULL ? header : "none");
	cr_assert(o == 7 && l == 7);
}

Test(cond, ranges)
{
	part("bytes=0-0", 10, 0, 1);
	part("bytes=0-9", 10, 0, 10);
	part("bytes=3-", 10, 3, 7);
	part("bytes=3-18446744073709551615", 10, 3, 7);
	part("bytes=-3", 10, 7, 3);
	part("bytes=-30", 10, 0, 10);
	other("bytes=10-", 10, RANGE_UNSATISFIABLE);
	other("bytes=0-", 0, RANGE_UNSATISFIABLE);
	other("bytes=-1", 0, RANGE_UNSATISFIABLE);
	other("bytes=-0", 10, RANGE_UNSATISFIABLE);
	other(NULL, 10, RANGE_ALL);
	other("bytes=5-3", 10, RANGE_ALL);
	other("bytes=0-1,2-3", 10, RANGE_ALL);
	other("bytes=", 10, RANGE_ALL);
	other("bytes=-", 10, RANGE_ALL);
	other("bytes=a-b", 10, RANGE_ALL);
	other("bytes= 1-2", 10, RANGE_ALL);
	other("bytes=1-2-3", 10, RANGE_ALL);
	other("bytes=99999999999999999999-", 10, RANGE_ALL);
	other("items=0-1", 10, RANGE_ALL);
}

Test(cond, types)
{
	cr_assert_str_eq(type_of("a/b.HTML"), "text/html; charset=utf-8");
	cr_assert_str_eq(type_of("x.tar.gz"), "application/gzip");
	cr_assert_str_eq(type_of("a.css/README"), "application/octet-stream");
	cr_assert_str_eq(type_of("."), "application/octet-stream");
}
