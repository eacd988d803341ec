#include <criterion/criterion.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <viking/str.h>

Test(str, compare)
{
	cr_assert(vk_streq(NULL, NULL));
	cr_assert_not(vk_streq(NULL, ""));
	cr_assert_not(vk_streq("", NULL));
	cr_assert(vk_streq("a", "a"));
	cr_assert(vk_starts("abc", "ab"));
	cr_assert(vk_starts("abc", ""));
	cr_assert_not(vk_starts("ab", "abc"));
	cr_assert(vk_ends("abc", "bc"));
	cr_assert_not(vk_ends("c", "bc"));
}

Test(str, u64_takes_plain_decimals_only)
{
	static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", "a",
		"1a", "18446744073709551616", "99999999999999999999999", NULL};
	uint64_t v = 7;
	for (int i = 0; bad[i] != NULL; i++)
		cr_assert_eq(vk_parse_u64(bad[i], 0, UINT64_MAX, &v), VK_INVALID, "%s", bad[i]);
	cr_assert_eq(vk_parse_u64(NULL, 0, 1, &v), VK_INVALID);
	cr_assert_eq(vk_parse_u64("5", 6, 9, &v), VK_INVALID);
	cr_assert_eq(vk_parse_u64("10", 6, 9, &v), VK_INVALID);
	cr_assert_eq(v, 7);
	cr_assert_eq(vk_parse_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
	cr_assert_eq(v, UINT64_MAX);
	cr_assert_eq(vk_parse_u64("007", 0, 9, &v), 0);
	cr_assert_eq(v, 7);
}

Test(str, i64_reaches_both_ends)
{
	int64_t v = 0;
	cr_assert_eq(vk_parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &v), 0);
	cr_assert_eq(v, INT64_MIN);
	cr_assert_eq(vk_parse_i64("9223372036854775807", INT64_MIN, INT64_MAX, &v), 0);
	cr_assert_eq(v, INT64_MAX);
	cr_assert_eq(vk_parse_i64("9223372036854775808", INT64_MIN, INT64_MAX, &v), VK_INVALID);
	cr_assert_eq(vk_parse_i64("-9223372036854775809", INT64_MIN, INT64_MAX, &v), VK_INVALID);
	cr_assert_eq(vk_parse_i64("--1", -9, 9, &v), VK_INVALID);
	cr_assert_eq(vk_parse_i64("-", -9, 9, &v), VK_INVALID);
	cr_assert_eq(vk_parse_i64("-3", -2, 9, &v), VK_INVALID);
	cr_assert_eq(vk_parse_i64("-2", -2, 9, &v), 0);
	cr_assert_eq(v, -2);
}

Test(str, sizes)
{
	static const struct {
		const char *text;
		uint64_t v;
	} good[] = {{"0", 0}, {"100", 100}, {"100B", 100}, {"64KiB", 65536}, {"64k", 65536},
		{"64KB", 65536}, {"512M", 512ull << 20}, {"2G", 2ull << 30}, {"2GiB", 2ull << 30},
		{"16T", 16ull << 40}};
	static const char *const bad[] = {"", "G", "1.5G", "-1", "1X", "1GG", "1iB", "1 G",
		"16777216T", "99999999999999999999", NULL};
	uint64_t v;
	for (size_t i = 0; i < VK_COUNT(good); i++) {
		cr_assert_eq(vk_parse_size(good[i].text, &v), 0, "%s", good[i].text);
		cr_assert_eq(v, good[i].v, "%s", good[i].text);
	}
	for (int i = 0; bad[i] != NULL; i++)
		cr_assert_eq(vk_parse_size(bad[i], &v), VK_INVALID, "%s", bad[i]);
}

Test(str, durations)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {{"30", 30000}, {"5s", 5000}, {"200ms", 200}, {"10m", 600000}, {"2h", 7200000},
		{"1d", 86400000}, {"0", 0}};
	static const char *const bad[] = {"", "s", "1.5s", "-1s", "1 s", "1w", "1sm",
		"9223372036854775807s", "106751991168d", NULL};
	int64_t v;
	for (size_t i = 0; i < VK_COUNT(good); i++) {
		cr_assert_eq(vk_parse_duration_ms(good[i].text, &v), 0, "%s", good[i].text);
		cr_assert_eq(v, good[i].ms);
	}
	for (int i = 0; bad[i] != NULL; i++)
		cr_assert_eq(vk_parse_duration_ms(bad[i], &v), VK_INVALID, "%s", bad[i]);
}

Test(str, formats)
{
	static const struct {
		uint64_t v;
		const char *text;
	} sizes[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1610612736, "1.5 GiB"},
		{(1 << 20) - 1, "1.0 MiB"}, {UINT64_MAX, "16.0 EiB"}};
	static const struct {
		int64_t ms;
		const char *text;
	} times[] = {{-5, "0.0 s"}, {300, "0.3 s"}, {59949, "59.9 s"}, {59990, "1 min 0 s"},
		{125000, "2 min 5 s"}, {3600000, "1 h 0 min"}, {90061000, "1 d 1 h"},
		{INT64_MAX, "106751991167 d 7 h"}};
	char buf[24];
	for (size_t i = 0; i < VK_COUNT(sizes); i++) {
		vk_format_size(sizes[i].v, buf);
		cr_assert_str_eq(buf, sizes[i].text);
	}
	for (size_t i = 0; i < VK_COUNT(times); i++) {
		vk_format_duration_ms(times[i].ms, buf);
		cr_assert_str_eq(buf, times[i].text);
	}
}

static void split_is(const char *line, size_t n, const char *const *words)
{
	vk_autostrv v = {0};
	struct vk_err e = {0};
	cr_assert_eq(vk_shell_split(line, &v, &e), 0, "%s: %s", line, e.msg);
	cr_assert_eq(v.n, n, "%s: %zu words", line, v.n);
	for (size_t i = 0; i < n; i++)
		cr_assert_str_eq(v.v[i], words[i]);
}

Test(str, shell_words)
{
	split_is("", 0, NULL);
	split_is(" \t ", 0, NULL);
	split_is("node index.js", 2, (const char *[]){"node", "index.js"});
	split_is("a 'b c' \"d e\"", 3, (const char *[]){"a", "b c", "d e"});
	split_is("a'b'\"c\"d", 1, (const char *[]){"abcd"});
	split_is("'' \"\"", 2, (const char *[]){"", ""});
	split_is("a\\ b \\\\ \\'", 3, (const char *[]){"a b", "\\", "'"});
	split_is("\"a\\\"b\\\\c\\nd\"", 1, (const char *[]){"a\"b\\c\\nd"});
	split_is("'a\\b'", 1, (const char *[]){"a\\b"});
	split_is("$HOME ; | `x` > *", 6, (const char *[]){"$HOME", ";", "|", "`x`", ">", "*"});
}

Test(str, shell_words_refused_leave_nothing)
{
	static const char *const bad[] = {"a 'b", "a \"b", "a \\", "\"a\\\"", NULL};
	for (int i = 0; bad[i] != NULL; i++) {
		vk_autostrv v = {0};
		struct vk_err e = {0};
		cr_assert_eq(vk_shell_split(bad[i], &v, &e), VK_INVALID, "%s", bad[i]);
		cr_assert_eq(v.n, 0);
		cr_assert_neq(e.msg[0], '\0');
	}
}

Test(str, quoting_survives_splitting)
{
	static const char *const words[] = {"", "plain", "a b", "it's", "\"", "\\", "$x", "a\nb",
		"'''", "-x=1", "\xc3\xa9", "*?[", NULL};
	vk_autobuf line = VK_BUF_INIT(4096);
	vk_autostrv v = {0};
	for (int i = 0; words[i] != NULL; i++) {
		vk_autofree char *q = vk_shell_quote(words[i]);
		vk_buf_addf(&line, "%s ", q);
	}
	cr_assert_eq(vk_shell_split(vk_buf_str(&line), &v, NULL), 0);
	for (size_t i = 0; words[i] != NULL; i++)
		cr_assert_str_eq(v.v[i], words[i]);
	vk_autofree char *plain = vk_shell_quote("a/b-c.d");
	cr_assert_str_eq(plain, "a/b-c.d");
}

Test(str, glob)
{
	static const struct {
		const char *pattern, *s;
		bool is;
	} rows[] = {{"*", "", true}, {"*", "abc", true}, {"", "", true}, {"", "a", false},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"a*c", "abbbc", true},
		{"a*c", "abbb", false}, {"*ab*cd*", "xxabyycdzz", true},
		{"*ab*cd*", "xxcdyyab", false}, {"**a", "bba", true}, {"[a]", "a", false},
		{"[a]", "[a]", true}, {"?*", "", false}, {"a*", "b", false},
		{"*aab", "aaaab", true}};
	for (size_t i = 0; i < VK_COUNT(rows); i++)
		cr_assert_eq(vk_glob(rows[i].pattern, rows[i].s), rows[i].is, "%s %s",
			rows[i].pattern, rows[i].s);
}

Test(str, glob_has_no_bad_case)
{
	char s[20001], pattern[201];
	memset(s, 'a', sizeof(s) - 1);
	s[sizeof(s) - 1] = '\0';
	for (int i = 0; i < 100; i++)
		memcpy(pattern + 2 * i, "a*", 2);
	pattern[199] = 'b';
	pattern[200] = '\0';
	int64_t start = vk_mono_ms();
	cr_assert_not(vk_glob(pattern, s));
	cr_assert_lt(vk_mono_ms() - start, 1000);
}

Test(str, suggest)
{
	static const char *const words[] = {"image", "expose", "domains", "run", "cwd", NULL};
	cr_assert_str_eq(vk_suggest("imgae", words), "image");
	cr_assert_str_eq(vk_suggest("exposed", words), "expose");
	cr_assert_str_eq(vk_suggest("domian", words), "domains");
	cr_assert_str_eq(vk_suggest("runs", words), "run");
	cr_assert_null(vk_suggest("zzzzz", words));
	cr_assert_null(vk_suggest("", words));
	cr_assert_null(vk_suggest("xy", words));
	cr_assert_str_eq(vk_suggest("image", words), "image");
	char longest[200];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_assert_null(vk_suggest(longest, words));
}

static void printable_is(const char *in, size_t n, size_t max, const char *want)
{
	char out[64];
	memset(out, 'Z', sizeof(out));
	vk_str_printable(in, n, out, max);
	cr_assert_str_eq(out, want);
}

Test(str, printable)
{
	printable_is("a\tb\n\x1b[0m\x7f", 9, 64, "a\tb??[0m?");
	printable_is("a\0b", 3, 64, "a?b");
	printable_is("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, 64,
		"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	printable_is("\xc0\xaf", 2, 64, "??");           /* overlong */
	printable_is("\xe0\x80\xaf", 3, 64, "???");      /* overlong */
	printable_is("\xed\xa0\x80", 3, 64, "???");      /* surrogate */
	printable_is("\xf4\x90\x80\x80", 4, 64, "????"); /* above the last */
	printable_is("\xc3", 1, 64, "?");                /* cut */
	printable_is("\xc2\x9b", 2, 64, "??");           /* C1 control */
	printable_is("\xe2\x80\xae"
		     "x",
		4, 64, "???x");                 /* right-to-left override */
	printable_is("ab\xc3\xa9", 4, 4, "ab"); /* no half character at the end */
	printable_is("abcdef", 6, 4, "abc");
	printable_is("abc", 3, 1, "");
}

Test(str, times)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {{"1970-01-01T00:00:00Z", 0}, {"2026-11-21T04:05:06Z", 1795233906000},
		{"2024-02-29T23:59:59Z", 1709251199000}, {"1969-12-31T23:59:59Z", -1000},
		{"9999-12-31T23:59:59Z", 253402300799000},
		{"0001-01-01T00:00:00Z", -62135596800000}};
	static const char *const bad[] = {"", "2026", "2026-13-01", "2026-02-30", "2026-02-29",
		"2026-1-1", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00",
		"2026-01-01 00:00:00Z", "2026-01-01T00:00:00Zx", "20260101", "2026-00-10",
		"2026-01-00", NULL};
	char buf[32];
	int64_t v;
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		vk_format_time(rows[i].ms, buf);
		cr_assert_str_eq(buf, rows[i].text);
		cr_assert_eq(vk_parse_time(rows[i].text, &v), 0);
		cr_assert_eq(v, rows[i].ms);
	}
	cr_assert_eq(vk_parse_time("2026-11-21", &v), 0);
	cr_assert_eq(v, 1795219200000);
	for (int i = 0; bad[i] != NULL; i++)
		cr_assert_eq(vk_parse_time(bad[i], &v), VK_INVALID, "%s", bad[i]);
	cr_assert_eq(vk_parse_time(NULL, &v), VK_INVALID);
	vk_format_time(INT64_MAX, buf);
	vk_format_time(INT64_MIN, buf);
	vk_format_time(-1, buf);
	cr_assert_str_eq(buf, "1969-12-31T23:59:59Z");
}

Test(str, clocks)
{
	int64_t now = vk_now_ms(), mono = vk_mono_ms();
	cr_assert_leq(llabs((long long)(now / 1000) - (long long)time(NULL)), 1);
	cr_assert_geq(vk_mono_ms(), mono);
}

static void shortens(const char *in, size_t max, const char *want)
{
	char text[64];
	snprintf(text, sizeof(text), "%s", in);
	vk_str_shorten(text, max);
	cr_expect_str_eq(text, want);
	cr_expect_leq(strlen(text), max);
}

Test(str, shorten_cuts_behind_a_word)
{
	shortens("as it is", 8, "as it is");
	shortens("one two three four", 14, "one two...");
	shortens("one two: three four", 15, "one two...");
	shortens("aaaaaaaaaaaaaaaaaaaa", 10, "aaaaaaa...");
	shortens("a bbbbbbbbbbbbbbbbbb", 10, "a bbbbb...");
	shortens("aaaaaa\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 10, "aaaaaa...");
	shortens("", 8, "");
}
