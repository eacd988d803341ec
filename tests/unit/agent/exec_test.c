/* What the engine says of a command it cannot start, as a shell would say it. */
#include <criterion/criterion.h>
#include <string.h>

#include "session.h"

static int refusal(const char *text, char line[1024])
{
	return exec_refusal(text, line, 1024);
}

Test(exec, what_is_not_there_is_127)
{
	char line[1024];
	cr_assert_eq(
		refusal("OCI runtime exec failed: exec failed: unable to start container process: "
			"exec: \"nosuch\": executable file not found in $PATH: unknown\r\n",
			line),
		127);
	cr_assert_str_eq(line, "viking: cannot run \"nosuch\": executable file not found in $PATH");
	cr_assert_eq(
		refusal("OCI runtime exec failed: exec failed: container_linux.go:380: starting "
			"container process caused: exec: \"/a\": stat /a: no such file or "
			"directory: "
			"unknown\n",
			line),
		127);
	cr_assert_str_eq(line, "viking: cannot run \"/a\": stat /a: no such file or directory");
}

Test(exec, what_cannot_be_run_is_126)
{
	char line[1024];
	cr_assert_eq(refusal("OCI runtime exec failed: exec: \"/etc\": permission denied: unknown",
			     line),
		126);
	cr_assert_str_eq(line, "viking: cannot run \"/etc\": permission denied");
}

Test(exec, any_text_makes_one_printable_line)
{
	char line[1024], text[1024];
	cr_assert_eq(refusal("", line), 126);
	cr_assert_str_eq(line, "viking: cannot run ");
	cr_assert_eq(refusal("OCI runtime exec failed: \x1b[2J\nsecond", line), 126);
	cr_assert_null(strpbrk(line, "\x1b\n"));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	cr_assert_eq(exec_refusal(text, line, 64), 126);
	cr_assert_lt(strlen(line), 64);
}
