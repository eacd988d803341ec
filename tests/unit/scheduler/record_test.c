/* The audit log and the ring of events. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>

#include "audit.h"
#include "events.h"
#include "scene.h"

static char path[64];
static uint64_t size_max = 1 << 20;

static void setup(void)
{
	snprintf(path, sizeof(path), "/tmp/audit-test-XXXXXX");
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	close(fd);
}

static void teardown(void)
{
	unlink(path);
}

TestSuite(record, .init = setup, .fini = teardown);

static void add(unsigned n)
{
	struct audit *a;
	cr_assert_eq(audit_open(path, size_max, 2, &a, NULL), 0);
	for (unsigned i = 0; i < n; i++) {
		vk_autojson *params = json_pack("{s:i}", "i", (int)i);
		struct audit_entry e = {.who = "key:k",
			.verb = "POST /v1/x",
			.stack = "r",
			.result = "ok",
			.params = params};
		cr_assert_eq(audit_add(a, &e, i % 2 == 0, NULL), 0);
	}
	audit_close(a);
}

static uint64_t good(int want)
{
	uint64_t lines = 0;
	struct vk_err err = {0};
	cr_expect_eq(audit_verify(path, &lines, &err), want, "%s", err.msg);
	return lines;
}

static void spoil(off_t at, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, text, strlen(text), at < 0 ? lseek(fd, 0, SEEK_END) : at),
		(ssize_t)strlen(text));
	close(fd);
}

Test(record, the_chain_goes_on_over_restarts)
{
	add(3);
	add(2);
	cr_expect_eq(good(0), 5);
}

Test(record, a_changed_line_shows)
{
	add(3);
	spoil(40, "x");
	good(VK_FAILED);
}

Test(record, a_removed_line_shows)
{
	add(3);
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	cr_assert_eq(vk_fs_read(path, &b, NULL), 0);
	char *second = strchr(b.data, '\n') + 1;
	cr_assert_eq(vk_fs_write_atomic(path, second, strlen(second), 0600, NULL), 0);
	good(VK_FAILED);
}

Test(record, a_torn_line_is_cut_off)
{
	add(2);
	spoil(-1, "{\"seq\": 3, \"half");
	add(1);
	cr_expect_eq(good(0), 3);
}

Test(record, a_full_file_is_put_aside_and_the_chain_goes_on)
{
	vk_autofree char *one = vk_asprintf("%s.1", path), *two = vk_asprintf("%s.2", path),
			 *three = vk_asprintf("%s.3", path);
	size_max = 600; /* two or three lines */
	add(3);
	add(1);
	cr_expect(vk_fs_exists(one));
	cr_expect_eq(good(0), 4, "nothing dropped yet");
	cr_assert_eq(truncate(path, 0), 0); /* as if killed between the two steps */
	unlink(path);
	add(9);
	cr_expect(vk_fs_exists(two));
	cr_expect_not(vk_fs_exists(three));
	uint64_t left = good(0);
	cr_expect(left >= 3 && left < 12, "%llu", (unsigned long long)left);
	cr_assert_eq(unlink(one), 0);
	good(VK_FAILED);
	unlink(two);
}

/* ---- events ---- */

static json_t *seen[16];
static size_t n_seen;

static void see(void *arg, json_t *event)
{
	(void)arg;
	cr_assert_lt(n_seen, VK_COUNT(seen));
	seen[n_seen++] = json_incref(event);
}

static void forget(void)
{
	while (n_seen > 0)
		json_decref(seen[--n_seen]);
}

static void happen(struct events *e, const char *what)
{
	events_add(e, &(struct event){.type = "t", .stack = "r", .what = what});
}

Test(record, the_ring_keeps_the_newest)
{
	struct events *e = events_new(7, 4);
	static const char *const what[] = {"a", "b", "c", "d", "e", "f"};
	for (size_t i = 0; i < VK_COUNT(what); i++)
		happen(e, what[i]);
	forget();
	events_each(e, 0, see, NULL);
	cr_assert_eq(n_seen, 4);
	cr_expect_str_eq(vk_json_str(seen[0], "what", ""), "c");
	cr_expect_str_eq(vk_json_str(seen[3], "what", ""), "f");
	uint64_t seq = (uint64_t)vk_json_int(seen[1], "seq", 0);
	forget();
	events_each(e, seq, see, NULL);
	cr_expect_eq(n_seen, 2);
	forget();
	events_each(e, seq + 100, see, NULL);
	cr_expect_eq(n_seen, 0);
	forget();
	events_free(e);
}

Test(record, numbers_rise_with_the_epoch)
{
	struct events *old = events_new(1, 4), *new = events_new(2, 4);
	happen(old, "x");
	happen(new, "y");
	forget();
	events_each(old, 0, see, NULL);
	events_each(new, 0, see, NULL);
	cr_assert_eq(n_seen, 2);
	cr_expect_lt(vk_json_int(seen[0], "seq", 0), vk_json_int(seen[1], "seq", 0));
	forget();
	events_free(old);
	events_free(new);
}

Test(record, followers_see_what_comes_until_they_leave)
{
	struct events *e = events_new(1, 4);
	forget();
	happen(e, "before");
	struct events_follower *f = events_follow(e, see, NULL);
	happen(e, "during");
	events_unfollow(e, f);
	happen(e, "after");
	cr_assert_eq(n_seen, 1);
	cr_expect_str_eq(vk_json_str(seen[0], "what", ""), "during");
	forget();
	events_free(e);
}
