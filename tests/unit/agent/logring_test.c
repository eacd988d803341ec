#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/json.h>
#include <viking/str.h>

#include "../base/tmpdir.h"
#include "logring.h"

#define SECOND 1000000000LL

static void add(
	struct logset *s, const char *stack, const char *container, int64_t t, const char *text)
{
	const struct logline l = {.time_ns = t,
		.instance = "x-web-1-1",
		.node = "web",
		.container = container,
		.stream = 1,
		.text = text,
		.len = strlen(text)};
	cr_assert_eq(logset_add(s, stack, &l, NULL), 0);
}

struct want {
	json_t *lines; /* newest first */
	size_t max;
};

static bool take(void *arg, const char *raw, size_t n)
{
	struct want *w = arg;
	json_t *j = NULL;
	cr_assert_eq(vk_json_parse(raw, n, &j, NULL), 0, "a torn line: %.*s", (int)n, raw);
	if (json_object_get(j, "l") != NULL)
		json_array_append(w->lines, j);
	json_decref(j);
	return w->max != 0 && json_array_size(w->lines) >= w->max;
}

static json_t *newest(struct logset *s, const char *stack, size_t max)
{
	struct want w = {json_array(), max};
	struct logscan *c = logscan_new(s, stack);
	while (logscan_step(c, take, &w))
		;
	logscan_free(c);
	return w.lines;
}

static const char *text_at(const json_t *lines, size_t i)
{
	return vk_json_str(json_array_get(lines, i), "l", "");
}

static uint64_t bytes_in(const char *dir)
{
	uint64_t sum = 0;
	DIR *d = opendir(dir);
	cr_assert_not_null(d);
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		struct stat st;
		if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, 0) == 0)
			sum += (uint64_t)st.st_size;
	}
	closedir(d);
	return sum;
}

Test(logring, keeps_within_its_budget_and_loses_the_oldest_only)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *ring = vk_asprintf("%s/ragnar", dir);
	struct logset *s = logset_new(dir, 1 << 20);
	char text[201];
	memset(text, 'y', 200);
	text[200] = '\0';
	const int total = 20000; /* about 6 MB */
	for (int i = 0; i < total; i++) {
		vk_autofree char *line = vk_asprintf("%d %s", i, text);
		add(s, "ragnar", "c1", (i + 1) * 1000, line);
	}
	cr_assert_eq(logset_flush(s, "ragnar", NULL), 0);
	uint64_t size = bytes_in(ring);
	cr_assert_leq(size, 1u << 20, "%llu", (unsigned long long)size);
	cr_assert_geq(size, 3u << 18, "%llu", (unsigned long long)size);
	vk_autojson *lines = newest(s, "ragnar", 0);
	cr_assert_gt(json_array_size(lines), 2000);
	for (size_t i = 0; i < json_array_size(lines); i++) {
		vk_autofree char *head = vk_asprintf("%d ", total - 1 - (int)i);
		cr_assert(vk_starts(text_at(lines, i), head), "%zu: %.12s", i, text_at(lines, i));
	}
	logset_free(s);
}

Test(logring, survives_a_reopen_without_gap_or_repetition)
{
	autotmp dir = tmpdir_new();
	for (int life = 0; life < 20; life++) {
		struct logset *s = logset_new(dir, 1 << 20);
		/* a follower asks for what comes after the cursor: here the lines are numbered by their time */
		int64_t from = logset_cursor(s, "ragnar", "c1");
		cr_assert_eq(from, life * 50);
		for (int64_t t = from + 1; t <= from + 50; t++) {
			vk_autofree char *line = vk_asprintf("line %lld", (long long)t);
			add(s, "ragnar", "c1", t, line);
		}
		logset_free(s);
	}
	struct logset *s = logset_new(dir, 1 << 20);
	vk_autojson *lines = newest(s, "ragnar", 0);
	cr_assert_eq(json_array_size(lines), 1000);
	for (int i = 0; i < 1000; i++) {
		vk_autofree char *want = vk_asprintf("line %d", 1000 - i);
		cr_assert_str_eq(text_at(lines, (size_t)i), want);
	}
	cr_assert_eq(logset_cursor(s, "ragnar", "other"), 0);
	logset_drop_cursor(s, "ragnar", "c1");
	cr_assert_eq(logset_cursor(s, "ragnar", "c1"), 0);
	logset_free(s);
}

Test(logring, a_quiet_containers_cursor_is_carried_from_segment_to_segment)
{
	autotmp dir = tmpdir_new();
	struct logset *s = logset_new(dir, 1 << 20);
	vk_autofree char *text = vk_alloc(4001);
	memset(text, 'z', 4000);
	add(s, "ragnar", "quiet", 7 * SECOND + 123456789, "only line");
	for (int i = 0; i < 600; i++)
		add(s, "ragnar", "loud", (i + 100) * SECOND, text);
	logset_free(s);
	s = logset_new(dir, 1 << 20);
	cr_assert_eq(logset_cursor(s, "ragnar", "quiet"), 7 * SECOND + 123456789);
	cr_assert_eq(logset_cursor(s, "ragnar", "loud"), 699 * SECOND);
	logset_free(s);
}

Test(logring, a_torn_last_line_is_cut)
{
	autotmp dir = tmpdir_new();
	struct logset *s = logset_new(dir, 1 << 20);
	add(s, "ragnar", "c1", 5, "whole");
	logset_free(s);
	vk_autofree char *path = vk_asprintf("%s/ragnar/0000000001.log", dir);
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	static const char torn[] = "{\"t\":9,\"n\":0,\"c\":\"c1\",\"l\":\"ha";
	cr_assert_eq(write(fd, torn, sizeof(torn) - 1), (ssize_t)sizeof(torn) - 1);
	close(fd);
	s = logset_new(dir, 1 << 20);
	cr_assert_eq(logset_cursor(s, "ragnar", "c1"), 5);
	add(s, "ragnar", "c1", 6, "next");
	vk_autojson *lines = newest(s, "ragnar", 0);
	cr_assert_eq(json_array_size(lines), 2);
	cr_assert_str_eq(text_at(lines, 0), "next");
	cr_assert_str_eq(text_at(lines, 1), "whole");
	logset_free(s);
}

Test(logring, the_last_n_lines)
{
	autotmp dir = tmpdir_new();
	struct logset *s = logset_new(dir, 1 << 20);
	for (int i = 1; i <= 100; i++) {
		vk_autofree char *line = vk_asprintf("%d", i);
		add(s, "ragnar", "c1", i * SECOND, line);
	}
	vk_autojson *lines = newest(s, "ragnar", 3);
	cr_assert_eq(json_array_size(lines), 3, "buffered lines count");
	cr_assert_str_eq(text_at(lines, 0), "100");
	cr_assert_str_eq(text_at(lines, 2), "98");
	cr_assert_eq(vk_json_int(json_array_get(lines, 0), "t", 0), 100000);
	vk_autojson *none = newest(s, "nobody", 0);
	cr_assert_eq(json_array_size(none), 0);
	logset_free(s);
}

Test(logring, long_and_binary_lines)
{
	autotmp dir = tmpdir_new();
	struct logset *s = logset_new(dir, 1 << 20);
	const size_t n = LOGRING_LINE_MAX * 2 + 5;
	vk_autofree char *big = vk_alloc(n + 1);
	memset(big, '\1',
		n); /* six bytes each on disk: a line is longer than a block that is read */
	add(s, "ragnar", "c1", 1, "before");
	add(s, "ragnar", "c1", 2, big);
	add(s, "ragnar", "c1", 3, "\xff\xfe not utf-8");
	add(s, "ragnar", "c1", 4, "");
	vk_autojson *lines = newest(s, "ragnar", 0);
	cr_assert_eq(json_array_size(lines), 6);
	cr_assert_str_eq(text_at(lines, 0), "");
	cr_assert_not_null(strstr(text_at(lines, 1), " not utf-8"));
	cr_assert_eq(strlen(text_at(lines, 2)), 5);
	cr_assert_eq(strlen(text_at(lines, 4)), LOGRING_LINE_MAX);
	cr_assert_str_eq(text_at(lines, 5), "before");
	logset_free(s);
}

static unsigned descriptors(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");
	cr_assert_not_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

Test(logring, logs_follow_a_renamed_stack)
{
	vk_autofree char *dir = vk_asprintf("/tmp/viking-logmove-%d", (int)getpid());
	struct logset *s = logset_new(dir, 1 << 20);
	struct logline line = {.time_ns = 7,
		.instance = "a-web-1-1",
		.node = "web",
		.container = "c",
		.stream = 1,
		.text = "x",
		.len = 1};
	vk_fs_mkdir_p(dir, 0700, NULL);
	cr_assert_eq(logset_add(s, "b", &line, NULL), 0);
	line.time_ns = 9;
	cr_assert_eq(logset_add(s, "a", &line, NULL), 0);
	logset_move(s, "a", "b"); /* buffered lines go along; what b had was an earlier stack's */
	cr_expect_eq(logset_cursor(s, "b", "c"), 9);
	cr_expect_eq(logset_cursor(s, "a", "c"), 0);
	logset_move(s, "a", "b"); /* the document says it again */
	cr_expect_eq(logset_cursor(s, "b", "c"), 9);
	logset_free(s);
	vk_fs_remove_tree(dir, NULL);
}

Test(logring, many_stacks_few_descriptors_and_forgetting)
{
	autotmp dir = tmpdir_new();
	struct logset *s = logset_new(dir, 1 << 20);
	unsigned before = descriptors();
	for (int i = 0; i < 100; i++) {
		vk_autofree char *stack = vk_asprintf("s%d", i);
		add(s, stack, "c", 1, "x");
		cr_assert_eq(logset_flush(s, stack, NULL), 0);
	}
	cr_assert_leq(descriptors(), before + 32, "%u", descriptors() - before);
	add(s, "s0", "c", 2, "again");
	vk_autojson *lines = newest(s, "s0", 0);
	cr_assert_eq(json_array_size(lines), 2);
	logset_forget(s, "s0");
	vk_autofree char *gone = vk_asprintf("%s/s0", dir);
	cr_assert_neq(access(gone, F_OK), 0);
	cr_assert_eq(logset_cursor(s, "s0", "c"), 0);
	logset_free(s);
}
