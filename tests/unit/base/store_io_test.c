/*
 * The SQLite store on a disk that fails: a VFS under it (the default one for this process) refuses the
 * n-th write or sync, for every n, once or from then on. Whatever happens, what was acknowledged is
 * there when the disk works again, and nothing is there that nobody wrote.
 */
#include <criterion/criterion.h>
#include <sqlite3.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "store_conformance.h"

static struct {
	int countdown;
	bool sticky, fired;
	int code;
} fault;

/* ---- the VFS ---- */

struct shim {
	sqlite3_file base;
	sqlite3_file *real;
};
static sqlite3_vfs *unix_vfs;

static sqlite3_file *real(sqlite3_file *f)
{
	return ((struct shim *)f)->real;
}

static bool fails(void)
{
	if (fault.fired && fault.sticky)
		return true;
	if (fault.countdown <= 0 || --fault.countdown > 0)
		return false;
	return fault.fired = true;
}

static int shim_close(sqlite3_file *f)
{
	int rc = real(f)->pMethods != NULL ? real(f)->pMethods->xClose(real(f)) : SQLITE_OK;
	sqlite3_free(real(f));
	return rc;
}

static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (!fails())
		return real(f)->pMethods->xWrite(real(f), p, n, at);
	real(f)->pMethods->xWrite(real(f), p, n / 2, at); /* torn */
	return fault.code;
}

static int shim_sync(sqlite3_file *f, int flags)
{
	return fails() ? SQLITE_IOERR_FSYNC : real(f)->pMethods->xSync(real(f), flags);
}

static int shim_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return fails() ? SQLITE_IOERR_TRUNCATE : real(f)->pMethods->xTruncate(real(f), n);
}

static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real(f)->pMethods->xRead(real(f), p, n, at);
}

static int shim_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return real(f)->pMethods->xFileSize(real(f), n);
}

static int shim_lock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xLock(real(f), level);
}

static int shim_unlock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xUnlock(real(f), level);
}

static int shim_reserved(sqlite3_file *f, int *out)
{
	return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int shim_control(sqlite3_file *f, int op, void *arg)
{
	return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int shim_sector(sqlite3_file *f)
{
	return real(f)->pMethods->xSectorSize(real(f));
}

static int shim_device(sqlite3_file *f)
{
	return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

/* Version 1: no shared memory, which the exclusive lock makes needless (a test of that too). */
static const sqlite3_io_methods methods = {
	1,
	shim_close,
	shim_read,
	shim_write,
	shim_truncate,
	shim_sync,
	shim_size,
	shim_lock,
	shim_unlock,
	shim_reserved,
	shim_control,
	shim_sector,
	shim_device,
	NULL,
	NULL,
	NULL,
	NULL,
	NULL,
	NULL,
};

static int shim_open(sqlite3_vfs *v, const char *path, sqlite3_file *f, int flags, int *out)
{
	struct shim *s = (struct shim *)f;
	(void)v;
	s->base.pMethods = NULL;
	s->real = sqlite3_malloc(unix_vfs->szOsFile);
	memset(s->real, 0, (size_t)unix_vfs->szOsFile);
	int rc = unix_vfs->xOpen(unix_vfs, path, s->real, flags, out);
	if (rc == SQLITE_OK)
		s->base.pMethods = &methods;
	else
		sqlite3_free(s->real);
	return rc;
}

static void install(void)
{
	static sqlite3_vfs v;
	unix_vfs = sqlite3_vfs_find(NULL);
	v = *unix_vfs;
	v.szOsFile = sizeof(struct shim);
	v.zName = "failing";
	v.pNext = NULL;
	v.xOpen = shim_open;
	cr_assert_eq(sqlite3_vfs_register(&v, 1), SQLITE_OK);
}

/* ---- the runs ---- */

static struct fixture fx;

static void open_sqlite(struct fixture *f)
{
	struct vk_err err = {0};
	cr_assert_eq(vk_store_sqlite_open(f->loop, f->path, &f->store, &err), 0, "%s", err.msg);
}

static void setup(void)
{
	install();
	/* thousands of syncs that need not reach a disk */
	fixture_init(&fx, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", open_sqlite);
}

static void teardown(void)
{
	fixture_release(&fx);
}

TestSuite(store_io, .init = setup, .fini = teardown, .timeout = 120);

#define WRITES 12

/* A dozen puts of one key and a key of its own each; the number of the last acknowledged one. */
static int write_some(int *ret_failed)
{
	int acked = 0;
	for (int i = 1; i <= WRITES; i++) {
		char key[16], value[1500] = {0};
		memset(value, 'v', sizeof(value) - 1);
		snprintf(key, sizeof(key), "/k/%02d", i);
		const struct vk_op ops[] = {{.key = key, .value = value, .len = sizeof(value)},
			{.key = "/last", .value = key, .len = strlen(key) + 1}};
		struct done d = store_txn(&fx, NULL, 0, ops, 2);
		if (d.code == 0 && d.committed)
			acked = i;
		else
			(*ret_failed)++;
		cr_assert(d.code == 0 || d.msg[0] != '\0', "a failure says what it is");
	}
	return acked;
}

static void start_over(void)
{
	fault.countdown = 0;
	fault.fired = false;
	fixture_close(&fx);
	vk_fs_remove_tree(fx.dir, NULL);
	vk_fs_mkdir_p(fx.dir, 0700, NULL);
	open_sqlite(&fx);
}

/* True when the fault came: then there may be a larger n that matters. */
static bool fail_at(int n, bool sticky, int code)
{
	start_over();
	fault.countdown = n;
	fault.sticky = sticky;
	fault.code = code;
	int failed = 0, acked = write_some(&failed);
	fixture_close(&fx);
	bool fired = fault.fired;
	fault.countdown = 0;
	fault.fired = false;
	open_sqlite(&fx);
	struct got last = store_get(&fx, "/last"), keys = store_range(&fx, "/k/");
	char expected[16];
	snprintf(expected, sizeof(expected), "/k/%02d", acked);
	cr_assert(acked == 0 || (last.n == 1 && strcmp(last.value, expected) >= 0),
		"n=%d: %s was acknowledged, found %s", n, expected, last.value);
	cr_assert_geq((int)keys.n, WRITES - failed, "n=%d: an acknowledged key is gone", n);
	cr_assert_eq((int)keys.rev, (int)keys.n, "n=%d: one revision a committed transaction", n);
	return fired;
}

static int every_n(bool sticky, int code)
{
	int n = 1;
	while (fail_at(n, sticky, code))
		n++;
	return n - 1;
}

Test(store_io, survives_one_failing_write)
{
	cr_assert_gt(every_n(false, SQLITE_IOERR_WRITE), WRITES);
}

Test(store_io, survives_a_disk_that_stays_broken)
{
	cr_assert_gt(every_n(true, SQLITE_IOERR_WRITE), WRITES);
}

Test(store_io, survives_a_full_disk)
{
	cr_assert_gt(every_n(true, SQLITE_FULL), WRITES);
}

Test(store_io, a_full_disk_is_named)
{
	start_over();
	fault = (typeof(fault)){.countdown = 1, .sticky = true, .code = SQLITE_FULL};
	struct done d = store_put(&fx, "/a", "x");
	cr_assert_eq(d.code, VK_LIMIT);
	cr_assert_not_null(strstr(d.msg, "no space left"), "%s", d.msg);
	fault.fired = false;
	fault.countdown = 0;
	cr_assert(store_put(&fx, "/a", "x").committed, "and it goes on when there is space again");
}

/* The first opening fails at every write in turn; the next one finds a whole store or makes one. */
Test(store_io, an_opening_that_fails_is_repeatable)
{
	for (int n = 1;; n++) {
		fixture_close(&fx);
		vk_fs_remove_tree(fx.dir, NULL);
		vk_fs_mkdir_p(fx.dir, 0700, NULL);
		fault = (typeof(fault)){.countdown = n, .sticky = true, .code = SQLITE_IOERR_WRITE};
		struct vk_err err = {0};
		int rc = vk_store_sqlite_open(fx.loop, fx.path, &fx.store, &err);
		bool fired = fault.fired;
		if (rc != 0)
			fx.store = NULL;
		fixture_close(&fx);
		fault = (typeof(fault)){0};
		cr_assert(fired || rc == 0, "%s", err.msg);
		open_sqlite(&fx);
		cr_assert(store_put(&fx, "/a", "x").committed);
		if (!fired)
			break;
		cr_assert_lt(n, 200);
	}
}
