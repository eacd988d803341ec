/* What a failed instance is said to have died of, without saying it twice. */
#include <criterion/criterion.h>

#include "hosts.h"

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

Test(why, says_nothing_twice)
{
	struct inst_status st = {
		.exited = true, .exit = 127, .reason = text("exited with status 127")};
	cr_expect_null(inst_why(&st));
	st.reason = text("out of memory (limit 64 MiB)");
	cr_expect_str_eq(inst_why(&st), "out of memory (limit 64 MiB)");
	st.reason = text("exited with status 12");
	cr_expect_str_eq(inst_why(&st), "exited with status 12", "another life's");
	st = (struct inst_status){.reason = text("cannot start: no such file")};
	cr_expect_str_eq(inst_why(&st), "no such file");
	st = (struct inst_status){.probe = text("GET / answers 500")};
	cr_expect_str_eq(inst_why(&st), "GET / answers 500");
	st = (struct inst_status){0};
	cr_expect_null(inst_why(&st));
}
