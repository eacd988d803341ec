#include <criterion/criterion.h>
#include <regex.h>
#include <string.h>
#include <unistd.h>
#include <viking/log.h>

static char captured[16384];

static void capture(void (*fn)(void))
{
	int pair[2], saved = dup(STDERR_FILENO);
	cr_assert_eq(pipe(pair), 0);
	dup2(pair[1], STDERR_FILENO);
	close(pair[1]);
	fn();
	dup2(saved, STDERR_FILENO);
	close(saved);
	ssize_t n = read(pair[0], captured, sizeof(captured) - 1);
	captured[n > 0 ? n : 0] = '\0';
	close(pair[0]);
}

static bool matches(const char *pattern)
{
	regex_t re;
	cr_assert_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	bool is = regexec(&re, captured, 0, NULL, 0) == 0;
	regfree(&re);
	return is;
}

static void plain(void)
{
	vk_log_init("agent");
	vk_log(VK_INFO, "instance-started", "stack=%s n=%d", "ragnar", 3);
}

Test(log, one_line_an_event)
{
	capture(plain);
	cr_assert(matches("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z info agent "
			  "instance-started "
			  "stack=ragnar n=3\n$"),
		"%s", captured);
}

static void levels(void)
{
	setenv("VIKING_LOG_LEVEL", "warn", 1);
	vk_log_init("x");
	vk_log(VK_INFO, "no", "%s", "");
	vk_log(VK_ERROR, "yes", "%s", "");
	vk_log_level(VK_DEBUG);
	vk_log(VK_DEBUG, "also", "%s", "");
}

Test(log, level_from_the_environment_and_by_call)
{
	capture(levels);
	cr_assert_null(strstr(captured, " no"));
	cr_assert(matches("error x yes\n.* debug x also\n$"), "%s", captured);
}

static void hostile(void)
{
	struct vk_err e = {.code = VK_DENIED, .msg = "say \"no\" \\ here"};
	vk_log_init("x");
	vk_log(VK_INFO, "ev", "name=%s", "a\nfake line\x1b[2J");
	vk_log_err(VK_WARN, "failed", &e);
}

Test(log, nothing_breaks_out_of_its_line)
{
	capture(hostile);
	cr_assert(matches("ev name=a\\?fake line\\?\\[2J\n"), "%s", captured);
	cr_assert(matches("warn x failed code=DENIED msg=\"say \\\\\"no\\\\\" \\\\\\\\ here\"\n$"),
		"%s", captured);
}

static void endless(void)
{
	char text[9000];
	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	vk_log_init("x");
	vk_log(VK_INFO, "long", "v=%s", text);
}

Test(log, long_lines_are_cut_and_say_so)
{
	capture(endless);
	size_t n = strlen(captured);
	cr_assert_leq(n, 4096);
	cr_assert_gt(n, 4000);
	cr_assert_str_eq(captured + n - 4, "...\n");
}
