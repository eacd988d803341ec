#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "store_conformance.h"

static struct fixture fx;

static void open_sqlite(struct fixture *f)
{
	struct vk_err err = {0};
	cr_assert_eq(vk_store_sqlite_open(f->loop, f->path, &f->store, &err), 0, "%s", err.msg);
}

static void open_memory(struct fixture *f)
{
	cr_assert_eq(vk_store_memory_open(f->loop, NULL, &f->store, NULL), 0);
}

static void open_shuffled(struct fixture *f)
{
	const struct vk_store_faults faults = {.seed = 42, .delay_passes_max = 5, .reorder = true};
	cr_assert_eq(vk_store_memory_open(f->loop, &faults, &f->store, NULL), 0);
}

static void setup_sqlite(void)
{
	fixture_init(&fx, "/tmp", open_sqlite);
}
static void setup_memory(void)
{
	fixture_init(&fx, "/tmp", open_memory);
}
static void setup_shuffled(void)
{
	fixture_init(&fx, "/tmp", open_shuffled);
}
static void teardown(void)
{
	fixture_release(&fx);
}

TestSuite(store_sqlite, .init = setup_sqlite, .fini = teardown, .timeout = 60);
TestSuite(store_memory, .init = setup_memory, .fini = teardown, .timeout = 60);
TestSuite(store_shuffled, .init = setup_shuffled, .fini = teardown, .timeout = 60);
#define INSTANTIATE(name) \
	Test(store_sqlite, name) \
	{ \
		conform_##name(&fx); \
	} \
	Test(store_memory, name) \
	{ \
		conform_##name(&fx); \
	} \
	Test(store_shuffled, name) \
	{ \
		conform_##name(&fx); \
	}
CONFORMANCE_CASES(INSTANTIATE)

/* ---- faults of the memory back end ---- */

static struct done put_with(const struct vk_store_faults *faults, const char *key)
{
	fixture_close(&fx);
	cr_assert_eq(vk_store_memory_open(fx.loop, faults, &fx.store, NULL), 0);
	struct done last = {0};
	for (unsigned i = 1; i <= faults->fail_nth; i++)
		last = store_put(&fx, key, "x");
	return last;
}

Test(store_memory, the_nth_operation_fails_unapplied)
{
	for (unsigned n = 1; n <= 5; n++) {
		const struct vk_store_faults faults = {.fail_nth = n};
		struct done d = put_with(&faults, "/a");
		cr_assert(d.code == VK_UNAVAILABLE && !d.committed);
		cr_assert_eq(store_get(&fx, "/a").mod_rev, n - 1);
	}
}

Test(store_memory, the_nth_operation_fails_after_it_was_applied)
{
	for (unsigned n = 1; n <= 5; n++) {
		const struct vk_store_faults faults = {.fail_nth = n, .fail_after_commit = true};
		struct done d = put_with(&faults, "/a");
		cr_assert(d.code == VK_UNAVAILABLE && !d.committed);
		cr_assert_eq(store_get(&fx, "/a").mod_rev, n);
	}
}

static void note_order(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	unsigned char *order = arg;
	(void)err, (void)committed;
	order[++order[0]] = (unsigned char)rev;
}

Test(store_shuffled, completions_do_come_out_of_order)
{
	unsigned char order[41] = {0};
	for (int i = 0; i < 40; i++) {
		const struct vk_op op = {.key = "/a", .value = "x", .len = 1};
		fx.store->ops->txn(fx.store, NULL, 0, &op, 1, note_order, order);
	}
	while (order[0] < 40)
		vk_loop_once(fx.loop, -1);
	bool sorted = true;
	for (int i = 2; i <= 40; i++)
		sorted &= order[i] > order[i - 1];
	cr_assert(!sorted);
}

/* ---- persistence ---- */

static void reopen(void)
{
	fixture_close(&fx);
	open_sqlite(&fx);
}

Test(store_sqlite, keeps_what_it_has_over_a_reopen)
{
	store_put(&fx, "/a", "1");
	store_put(&fx, "/b", "2");
	store_del(&fx, "/a");
	reopen();
	cr_assert_str_eq(store_range(&fx, "").keys, "/b");
	cr_assert_eq(store_get(&fx, "/b").mod_rev, 2);
	cr_assert_eq(store_range(&fx, "").rev, 3);
	cr_assert_eq(store_put(&fx, "/c", "x").rev, 4);
	struct stat st;
	cr_assert_eq(stat(fx.path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
}

Test(store_sqlite, a_watch_from_before_the_reopen_is_compacted)
{
	store_put(&fx, "/a", "1");
	store_put(&fx, "/a", "2");
	reopen();
	struct watched old = {0}, next = {0};
	fx.store->ops->watch(fx.store, "/", 2, watched_fn, &old);
	fx.store->ops->watch(fx.store, "/", 3, watched_fn, &next);
	store_put(&fx, "/a", "3");
	wait_text(&fx, &next, "+/a=3@3 | ");
	cr_assert(old.compacted && !next.compacted);
}

Test(store_sqlite, leases_live_on_over_a_reopen_and_then_expire)
{
	uint64_t lease;
	store_grant(&fx, 200, &lease);
	const struct vk_op op = {.key = "/l", .value = "x", .len = 1, .lease = lease};
	cr_assert(store_txn(&fx, NULL, 0, &op, 1).committed);
	reopen();
	cr_assert_eq(store_get(&fx, "/l").n, 1);
	cr_assert_eq(store_keep(&fx, lease), 0);
	struct watched w = {0};
	fx.store->ops->watch(fx.store, "/", 0, watched_fn, &w);
	wait_text(&fx, &w, "-/l@2 | ");
}

Test(store_sqlite, a_second_process_is_kept_out)
{
	struct vk_store *second;
	struct vk_err err = {0};
	store_put(&fx, "/a", "1");
	cr_assert_eq(
		vk_store_sqlite_open(fx.loop, fx.path, &second, &err), VK_CONFLICT, "%s", err.msg);
	cr_assert_not_null(strstr(err.msg, "another process"));
}

static int open_code(struct vk_err *err)
{
	struct vk_store *s;
	*err = (struct vk_err){0};
	int rc = vk_store_sqlite_open(fx.loop, fx.path, &s, err);
	if (rc == 0)
		fx.store = s;
	return rc;
}

static void change_file(const char *statement)
{
	sqlite3 *db;
	cr_assert_eq(sqlite3_open(fx.path, &db), SQLITE_OK);
	cr_assert_eq(
		sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

Test(store_sqlite, refuses_a_newer_schema)
{
	struct vk_err err;
	store_put(&fx, "/a", "1");
	fixture_close(&fx);
	change_file("PRAGMA user_version = 2");
	cr_assert_eq(open_code(&err), VK_INVALID);
	cr_assert_not_null(
		strstr(err.msg, "newer viking (schema 2, this one knows 1)"), "%s", err.msg);
	cr_assert_neq(err.hint[0], '\0');
	change_file("PRAGMA user_version = 1");
	cr_assert_eq(open_code(&err), 0);
	cr_assert_str_eq(store_get(&fx, "/a").value, "1");
}

Test(store_sqlite, refuses_a_file_of_something_else)
{
	struct vk_err err;
	fixture_close(&fx);
	cr_assert_eq(unlink(fx.path), 0);
	change_file("CREATE TABLE t(x)");
	cr_assert_eq(open_code(&err), VK_INVALID);
	cr_assert_not_null(strstr(err.msg, "not a state file of viking"), "%s", err.msg);
	vk_fs_write_atomic(fx.path,
		"this is plain text, long enough to be read as a head ..............", 66, 0600,
		NULL);
	cr_assert_eq(open_code(&err), VK_INVALID);
	cr_assert_not_null(strstr(err.msg, "damaged"), "%s", err.msg);
	unlink(fx.path);
	mkdir(fx.path, 0700);
	cr_assert_neq(open_code(&err), 0);
	rmdir(fx.path);
}

/* Overwrites a page in the middle with rubbish. */
static void damage(off_t at)
{
	char rubbish[512];
	memset(rubbish, 0xa5, sizeof(rubbish));
	int fd = open(fx.path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, rubbish, sizeof(rubbish), at), (ssize_t)sizeof(rubbish));
	close(fd);
}

Test(store_sqlite, refuses_a_damaged_file)
{
	struct vk_err err;
	for (int i = 0; i < 300; i++) {
		char key[32];
		snprintf(key, sizeof(key), "/key/%d", i);
		store_put(&fx, key,
			"a value of some length, so that there are several pages of them");
	}
	fixture_close(&fx);
	struct stat st;
	cr_assert_eq(stat(fx.path, &st), 0);
	cr_assert_gt(st.st_size, 16384);
	damage(st.st_size / 2 & ~4095);
	cr_assert_eq(open_code(&err), VK_INVALID, "%s", err.msg);
	cr_assert_not_null(strstr(err.msg, "damaged"), "%s", err.msg);
	cr_assert_not_null(strstr(err.hint, "restore"), "%s", err.hint);
}

/* ---- kill -9 in the middle of commits ---- */

struct writer {
	struct fixture *f;
	int fd;
	uint64_t next;
};
static void write_next(struct writer *w);

static void written(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct writer *w = arg;
	(void)rev;
	if (err->code != 0 || !committed ||
		write(w->fd, &w->next, sizeof(w->next)) != sizeof(w->next))
		_exit(3);
	w->next++;
	write_next(w);
}

static void write_next(struct writer *w)
{
	char key[32], value[600];
	snprintf(key, sizeof(key), "/n/%d", (int)(w->next % 50));
	memset(value, 'v', sizeof(value));
	snprintf(value, sizeof(value), "%d", (int)w->next);
	const struct vk_op ops[] = {{.key = key, .value = value, .len = sizeof(value)},
		{.key = "/last", .value = value, .len = strlen(value) + 1}};
	w->f->store->ops->txn(w->f->store, NULL, 0, ops, 2, written, w);
}

/* The child commits and acknowledges through the pipe until it is killed. */
static void commit_for_ever(int fd)
{
	struct fixture child = {.open = open_sqlite};
	snprintf(child.path, sizeof(child.path), "%s", fx.path);
	if (vk_loop_new(&child.loop, NULL) != 0 ||
		vk_store_sqlite_open(child.loop, child.path, &child.store, NULL) != 0)
		_exit(4);
	uint64_t last = 0;
	struct got g = store_get(&child, "/last");
	if (g.n > 0 && vk_parse_u64(g.value, 0, UINT64_MAX, &last) != 0)
		_exit(5);
	struct writer w = {.f = &child, .fd = fd, .next = last + 1};
	write_next(&w);
	vk_loop_run(child.loop);
	_exit(6);
}

/* Lets a child acknowledge `acks` commits and a part of a millisecond, kills it, gives the last one. */
static uint64_t kill_after(int acks, unsigned spin)
{
	int p[2];
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	fflush(NULL);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		alarm(20);
		commit_for_ever(p[1]);
	}
	close(p[1]);
	uint64_t last = 0, n;
	for (int i = 0; i < acks; i++)
		if (read(p[0], &n, sizeof(n)) == sizeof(n))
			last = n;
	for (volatile unsigned i = 0; i < spin; i++)
		;
	kill(pid, SIGKILL);
	while (read(p[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	close(p[0]);
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		"the child ended by itself: 0x%x", status);
	return last;
}

Test(store_sqlite, what_was_acknowledged_survives_kill_9)
{
	fixture_close(&fx);
	uint64_t last = 0;
	for (unsigned round = 0; round < 15; round++) {
		uint64_t acked = kill_after(1 + (int)round * 7, round * 9973 % 60000);
		cr_assert_geq(acked, last);
		struct vk_err err;
		cr_assert_eq(open_code(&err), 0, "%s", err.msg);
		cr_assert_eq(vk_parse_u64(store_get(&fx, "/last").value, 0, UINT64_MAX, &last), 0);
		cr_assert(last == acked || last == acked + 1, "acknowledged %d, found %d",
			(int)acked, (int)last);
		struct got all = store_range(&fx, "/last");
		cr_assert_eq(all.rev, last, "one revision a commit");
		fixture_close(&fx);
	}
}
