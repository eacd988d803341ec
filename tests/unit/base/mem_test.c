#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <viking/err.h>
#include <viking/mem.h>

Test(mem, alloc_is_zeroed)
{
	vk_autofree char *p = vk_alloc(100);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(p[i], 0);
	vk_autofree char *none = vk_alloc(0);
	cr_assert_not_null(none);
}

#ifndef __SANITIZE_ADDRESS__
Test(mem, overflow_aborts, .signal = SIGABRT)
{
	volatile size_t n = SIZE_MAX / 2;
	free(vk_calloc(n, 8));
}

Test(mem, reallocarray_overflow_aborts, .signal = SIGABRT)
{
	volatile size_t n = SIZE_MAX / 2;
	free(vk_reallocarray(NULL, n, 8));
}
#endif

Test(mem, strdup_keeps_null)
{
	cr_assert_null(vk_strdup(NULL));
	cr_assert_null(vk_strndup(NULL, 3));
	vk_autofree char *s = vk_strndup("abcdef", 3);
	cr_assert_str_eq(s, "abc");
}

Test(mem, take_hands_over)
{
	vk_autofree char *a = vk_strdup("x");
	vk_autofree char *b = VK_TAKE(a);
	cr_assert_null(a);
	cr_assert_str_eq(b, "x");
	int fd = 7;
	cr_assert_eq(VK_TAKE_FD(fd), 7);
	cr_assert_eq(fd, -1);
}

Test(mem, autoclose_closes_and_keeps_errno)
{
	int raw = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cr_assert_geq(raw, 0);
	{
		vk_autoclose int fd = raw;
		vk_autoclose int none = -1;
		(void)fd;
		(void)none;
		errno = EXDEV;
	}
	cr_assert_eq(errno, EXDEV);
	cr_assert_eq(fcntl(raw, F_GETFD), -1);
}

Test(mem, buf_grows_to_its_maximum_and_no_further)
{
	vk_autobuf b = VK_BUF_INIT(10);
	cr_assert_str_eq(vk_buf_str(&b), "");
	cr_assert_eq(vk_buf_adds(&b, "12345678"), 0);
	cr_assert_eq(vk_buf_adds(&b, "9ab"), VK_LIMIT);
	cr_assert_str_eq(vk_buf_str(&b), "12345678");
	cr_assert_eq(vk_buf_adds(&b, "9a"), 0);
	cr_assert_eq(vk_buf_addc(&b, 'x'), VK_LIMIT);
	cr_assert_eq(vk_buf_addf(&b, "%d", 1), VK_LIMIT);
	cr_assert_eq(vk_buf_add(&b, "", 0), 0);
	cr_assert_eq(b.len, 10);
	cr_assert_eq(vk_buf_add(&b, "x", SIZE_MAX), VK_LIMIT);
}

Test(mem, buf_holds_nul_bytes)
{
	vk_autobuf b = VK_BUF_INIT(100);
	vk_buf_add(&b, "a\0b", 3);
	cr_assert_eq(b.len, 3);
	cr_assert_eq(memcmp(b.data, "a\0b", 4), 0);
}

Test(mem, buf_consume)
{
	vk_autobuf b = VK_BUF_INIT(100);
	vk_buf_consume(&b, 5);
	vk_buf_addf(&b, "%s-%d", "abc", 7);
	vk_buf_consume(&b, 2);
	cr_assert_str_eq(vk_buf_str(&b), "c-7");
	vk_buf_consume(&b, 99);
	cr_assert_str_eq(vk_buf_str(&b), "");
	cr_assert_eq(b.len, 0);
}

Test(mem, buf_take_empties)
{
	vk_autobuf b = VK_BUF_INIT(100);
	vk_autofree char *none = vk_buf_take(&b);
	cr_assert_str_eq(none, "");
	vk_buf_adds(&b, "xy");
	vk_autofree char *s = vk_buf_take(&b);
	cr_assert_str_eq(s, "xy");
	cr_assert_eq(b.len, 0);
	cr_assert_eq(b.max, 100);
	vk_buf_adds(&b, "z");
	cr_assert_str_eq(vk_buf_str(&b), "z");
}

Test(mem, buf_large)
{
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	char chunk[1000];
	memset(chunk, 'x', sizeof(chunk));
	size_t added = 0;
	while (vk_buf_add(&b, chunk, sizeof(chunk)) == 0)
		added += sizeof(chunk);
	cr_assert_eq(added, (1 << 20) / 1000 * 1000);
	cr_assert_eq(b.len, added);
}

Test(mem, strv)
{
	vk_autostrv l = {0};
	cr_assert_not(vk_strv_has(&l, "a"));
	vk_strv_sort(&l);
	for (int i = 0; i < 100; i++)
		vk_strv_addf(&l, "%02d", 99 - i);
	vk_strv_addn(&l, "00xyz", 2);
	vk_strv_take(&l, vk_strdup("z"));
	vk_strv_add(&l, "a");
	cr_assert_eq(l.n, 103);
	cr_assert_null(l.v[l.n]);
	cr_assert(vk_strv_has(&l, "57"));
	vk_strv_sort(&l);
	for (size_t i = 1; i < l.n; i++)
		cr_assert_leq(strcmp(l.v[i - 1], l.v[i]), 0);
	cr_assert_str_eq(l.v[1], "00");
	vk_strv_release(&l);
	cr_assert_eq(l.n, 0);
	vk_strv_add(&l, "again");
	cr_assert_str_eq(l.v[0], "again");
}
