#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <viking/err.h>

static const int all_codes[] = {VK_INVALID, VK_NOTFOUND, VK_EXISTS, VK_DENIED, VK_LIMIT,
	VK_UNAVAILABLE, VK_TIMEOUT, VK_CANCELLED, VK_CONFLICT, VK_INTERNAL, VK_USAGE, VK_FAILED};

Test(err, set_fills_and_clears)
{
	struct vk_err e = {.code = VK_LIMIT, .hint = "old"};
	cr_assert_eq(vk_err_set(&e, VK_NOTFOUND, "no stack %s", "x"), VK_NOTFOUND);
	cr_assert_eq(e.code, VK_NOTFOUND);
	cr_assert_str_eq(e.msg, "no stack x");
	cr_assert_str_eq(e.hint, "");
}

Test(err, null_is_fine)
{
	cr_assert_eq(vk_err_set(NULL, VK_LIMIT, "x"), VK_LIMIT);
	cr_assert_eq(vk_err_errno(NULL, ENOENT, "x"), VK_NOTFOUND);
	vk_err_wrap(NULL, "x");
	vk_err_hint(NULL, "x");
}

Test(err, wrap_keeps_code_and_hint)
{
	struct vk_err e = {0};
	vk_err_set(&e, VK_DENIED, "inner");
	vk_err_hint(&e, "type %s", "this");
	cr_assert_eq(vk_err_wrap(&e, "outer %d", 1), VK_DENIED);
	cr_assert_str_eq(e.msg, "outer 1: inner");
	cr_assert_str_eq(e.hint, "type this");
}

Test(err, arguments_may_be_the_error_itself)
{
	struct vk_err e = {0};
	vk_err_set(&e, VK_INVALID, "inner");
	vk_err_set(&e, VK_INVALID, "outer (%s)", e.msg);
	cr_assert_str_eq(e.msg, "outer (inner)");
	vk_err_hint(&e, "h");
	vk_err_hint(&e, "%s2", e.hint);
	cr_assert_str_eq(e.hint, "h2");
}

Test(err, errno_gives_code_and_text)
{
	static const struct {
		int errnum, code;
	} rows[] = {{ENOENT, VK_NOTFOUND}, {EACCES, VK_DENIED}, {EPERM, VK_DENIED},
		{ENOSPC, VK_LIMIT}, {EDQUOT, VK_LIMIT}, {ECONNREFUSED, VK_UNAVAILABLE},
		{EIO, VK_INTERNAL}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vk_err e = {0};
		cr_assert_eq(vk_err_errno(&e, rows[i].errnum, "f"), rows[i].code);
		cr_assert_eq(strncmp(e.msg, "f: ", 3), 0);
		cr_assert_str_eq(e.msg + 3, strerror(rows[i].errnum));
	}
}

Test(err, one_line_whatever_comes)
{
	struct vk_err e = {0};
	vk_err_set(&e, VK_INVALID, "a\nb\x1b[2J\tc\n\n");
	cr_assert_str_eq(e.msg, "a b?[2J c");
	vk_err_wrap(&e, "x\ny");
	cr_assert_str_eq(e.msg, "x y: a b?[2J c");
	vk_err_hint(&e, "do\nthat");
	cr_assert_str_eq(e.hint, "do that");
}

Test(err, cutting_leaves_whole_characters)
{
	struct vk_err e = {0};
	char text[2000];
	/* two-byte characters: for one of the two offsets the cut falls into a character */
	for (int offset = 0; offset < 2; offset++) {
		size_t n = 0;
		if (offset)
			text[n++] = 'x';
		while (n + 2 < sizeof(text)) {
			text[n++] = (char)0xc3;
			text[n++] = (char)0xa9;
		}
		text[n] = '\0';
		vk_err_set(&e, VK_INVALID, "%s", text);
		size_t len = strlen(e.msg);
		cr_assert_gt(len, sizeof(e.msg) - 4);
		cr_assert_eq((unsigned char)e.msg[len - 1], 0xa9);
	}
}

Test(err, names_go_both_ways)
{
	for (size_t i = 0; i < sizeof(all_codes) / sizeof(all_codes[0]); i++)
		cr_assert_eq(vk_err_from_name(vk_err_name(all_codes[i])), all_codes[i]);
	cr_assert_eq(vk_err_from_name("NOPE"), VK_INTERNAL);
	cr_assert_eq(vk_err_from_name(NULL), VK_INTERNAL);
	cr_assert_str_eq(vk_err_name(-99), "INTERNAL");
}

Test(err, http_status_goes_both_ways_but_for_the_shared_one)
{
	for (size_t i = 0; i < sizeof(all_codes) / sizeof(all_codes[0]); i++) {
		int back = vk_err_from_http(vk_err_http(all_codes[i]));
		cr_assert_eq(back, all_codes[i] == VK_EXISTS ? VK_CONFLICT : all_codes[i]);
	}
	cr_assert_eq(vk_err_from_http(200), 0);
	cr_assert_eq(vk_err_from_http(204), 0);
	cr_assert_eq(vk_err_from_http(401), VK_DENIED);
	cr_assert_eq(vk_err_from_http(405), VK_INVALID);
	cr_assert_eq(vk_err_from_http(408), VK_TIMEOUT);
	cr_assert_eq(vk_err_from_http(429), VK_LIMIT);
	cr_assert_eq(vk_err_from_http(502), VK_UNAVAILABLE);
	cr_assert_eq(vk_err_from_http(505), VK_INTERNAL);
	cr_assert_eq(vk_err_from_http(301), VK_INTERNAL);
}

Test(err, exit_statuses_are_those_of_the_manual)
{
	static const struct {
		int code, status;
	} rows[] = {{VK_OK, 0}, {VK_INVALID, 1}, {VK_USAGE, 2}, {VK_NOTFOUND, 3}, {VK_DENIED, 4},
		{VK_EXISTS, 5}, {VK_CONFLICT, 5}, {VK_UNAVAILABLE, 6}, {VK_TIMEOUT, 7},
		{VK_FAILED, 1}, {VK_LIMIT, 1}, {VK_CANCELLED, 1}, {VK_INTERNAL, 1}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq(vk_err_exit(rows[i].code), rows[i].status);
}
