/* The store in one SQLite file. Statements are prepared once; all errors of SQLite pass through fail(). */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "store_front.h"

#define SCHEMA         1
#define APPLICATION_ID 0x76696b67 /* "vikg" */
#define BUSY_MS        1000

enum {
	BEGIN,
	COMMIT,
	ROLLBACK,
	GET,
	PREFIX,
	BY_LEASE,
	PUT,
	DEL,
	SAVE_REV,
	LEASE_PUT,
	LEASE_DEL,
	STATEMENTS
};

#define ROW "SELECT key, value, create_rev, mod_rev, lease FROM kv "
static const char *const sql[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[GET] = ROW "WHERE key = ?1",
	[PREFIX] = ROW "WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) ORDER BY key",
	[BY_LEASE] = ROW "WHERE lease = ?1 AND lease <> 0 ORDER BY key",
	[PUT] = ("INSERT INTO kv(key, value, create_rev, mod_rev, lease) VALUES (?1, ?2, ?3, ?4, "
		 "?5) "
		 "ON CONFLICT(key) DO UPDATE SET value = ?2, create_rev = ?3, mod_rev = ?4, lease "
		 "= ?5"),
	[DEL] = "DELETE FROM kv WHERE key = ?1",
	[SAVE_REV] = "UPDATE meta SET rev = ?1",
	[LEASE_PUT] = "INSERT OR REPLACE INTO lease(id, ttl_ms) VALUES (?1, ?2)",
	[LEASE_DEL] = "DELETE FROM lease WHERE id = ?1",
};

static const char schema[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE kv(key TEXT PRIMARY KEY, value BLOB NOT NULL, create_rev INTEGER NOT NULL,"
	" mod_rev INTEGER NOT NULL, lease INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX kv_lease ON kv(lease) WHERE lease <> 0;"
	"CREATE TABLE lease(id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL);"
	"CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK (one = 1), rev INTEGER NOT NULL);"
	"INSERT INTO meta(one, rev) VALUES (1, 0);"
	"PRAGMA application_id = 1986620263;"
	"PRAGMA user_version = 1;"
	"COMMIT;";

struct file {
	sqlite3 *db;
	char *path;
	sqlite3_stmt *st[STATEMENTS];
};

/* ---- errors ---- */

static int damaged(const struct file *f, const char *what, struct vk_err *err)
{
	char found[160];
	vk_str_printable(what, strlen(what), found, sizeof(found));
	vk_err_set(err, VK_INVALID, "the state file %s is damaged (%s)", f->path, found);
	vk_err_hint(err, "move it away and bring back a backup: viking restore FILE");
	return VK_INVALID;
}

static int fail(struct file *f, struct vk_err *err)
{
	int code = sqlite3_extended_errcode(f->db);
	switch (code & 0xff) {
	case SQLITE_FULL:
		vk_err_set(err, VK_LIMIT, "no space left for the state file %s", f->path);
		vk_err_hint(
			err, "free space on its file system: viking doctor shows what takes it");
		return VK_LIMIT;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return damaged(f, sqlite3_errmsg(f->db), err);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return vk_err_set(
			err, VK_CONFLICT, "another process has the state file %s open", f->path);
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return vk_err_set(err, VK_DENIED, "the state file %s cannot be written (%s)",
			f->path, sqlite3_errmsg(f->db));
	default:
		return vk_err_set(err, VK_UNAVAILABLE, "the state file %s failed: %s (%d)", f->path,
			sqlite3_errmsg(f->db), code);
	}
}

/* ---- statements ---- */

static int prepare(struct file *f, int which, struct vk_err *err)
{
	int rc = sqlite3_prepare_v3(
		f->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &f->st[which], NULL);
	return rc == SQLITE_OK ? 0 : fail(f, err);
}

/* Steps a statement that gives no rows, and makes it ready for its next use. */
static int step(struct file *f, int which, struct vk_err *err)
{
	sqlite3_stmt *st = f->st[which];
	int rc = sqlite3_step(st) == SQLITE_DONE ? 0 : fail(f, err);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc;
}

static int step_rows(struct file *f, int which, vk_row_fn *fn, void *arg, struct vk_err *err)
{
	sqlite3_stmt *st = f->st[which];
	int rc = 0, got;
	while ((got = sqlite3_step(st)) == SQLITE_ROW && rc == 0) {
		const struct vk_row row = {
			.key = (const char *)sqlite3_column_text(st, 0),
			.value = sqlite3_column_blob(st, 1),
			.len = (size_t)sqlite3_column_bytes(st, 1),
			.create_rev = (uint64_t)sqlite3_column_int64(st, 2),
			.mod_rev = (uint64_t)sqlite3_column_int64(st, 3),
			.lease = (uint64_t)sqlite3_column_int64(st, 4),
		};
		rc = fn(arg, &row, err);
	}
	if (rc == 0 && got != SQLITE_DONE)
		rc = fail(f, err);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc;
}

static void bind_text(struct file *f, int which, int at, const char *s)
{
	sqlite3_bind_text(f->st[which], at, s, -1, SQLITE_TRANSIENT);
}

static void bind_u64(struct file *f, int which, int at, uint64_t v)
{
	sqlite3_bind_int64(f->st[which], at, (sqlite3_int64)v);
}

/* ---- the back end ---- */

static int begin(void *b, struct vk_err *err)
{
	return step(b, BEGIN, err);
}

static int commit(void *b, struct vk_err *err)
{
	return step(b, COMMIT, err);
}

static void rollback(void *b)
{
	struct file *f = b;
	if (!sqlite3_get_autocommit(f->db)) /* SQLite itself rolls back after some errors */
		step(f, ROLLBACK, NULL);
}

/* The first string behind every one that starts with prefix; NULL when there is none. */
static char *prefix_end(const char *prefix)
{
	char *end = vk_strdup(prefix);
	for (size_t n = strlen(end); n > 0; n--) {
		if ((unsigned char)end[n - 1] < 0xff) {
			end[n - 1] = (char)((unsigned char)end[n - 1] + 1);
			end[n] = '\0';
			return end;
		}
	}
	free(end);
	return NULL;
}

static int scan(void *b, const char *key, bool prefix, vk_row_fn *fn, void *arg, struct vk_err *err)
{
	struct file *f = b;
	int which = prefix ? PREFIX : GET;
	bind_text(f, which, 1, key);
	if (prefix) {
		vk_autofree char *end = prefix_end(key);
		bind_text(f, which, 2, end); /* NULL binds NULL */
	}
	return step_rows(f, which, fn, arg, err);
}

static int scan_lease(void *b, uint64_t lease, vk_row_fn *fn, void *arg, struct vk_err *err)
{
	bind_u64(b, BY_LEASE, 1, lease);
	return step_rows(b, BY_LEASE, fn, arg, err);
}

static int put(void *b, const struct vk_row *row, struct vk_err *err)
{
	struct file *f = b;
	bind_text(f, PUT, 1, row->key);
	sqlite3_bind_blob64(f->st[PUT], 2, row->len > 0 ? row->value : "", row->len, SQLITE_STATIC);
	bind_u64(f, PUT, 3, row->create_rev);
	bind_u64(f, PUT, 4, row->mod_rev);
	bind_u64(f, PUT, 5, row->lease);
	return step(f, PUT, err);
}

static int del(void *b, const char *key, struct vk_err *err)
{
	bind_text(b, DEL, 1, key);
	return step(b, DEL, err);
}

static int save_rev(void *b, uint64_t rev, struct vk_err *err)
{
	bind_u64(b, SAVE_REV, 1, rev);
	return step(b, SAVE_REV, err);
}

static int save_lease(void *b, uint64_t id, int64_t ttl_ms, struct vk_err *err)
{
	int which = ttl_ms < 0 ? LEASE_DEL : LEASE_PUT;
	bind_u64(b, which, 1, id);
	if (which == LEASE_PUT)
		bind_u64(b, which, 2, (uint64_t)ttl_ms);
	return step(b, which, err);
}

static void close_file(void *b)
{
	struct file *f = b;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(f->st[i]);
	sqlite3_close(f->db);
	free(f->path);
	free(f);
}

static const struct vk_store_back ops = {
	.begin = begin,
	.commit = commit,
	.rollback = rollback,
	.scan = scan,
	.scan_lease = scan_lease,
	.put = put,
	.del = del,
	.save_rev = save_rev,
	.save_lease = save_lease,
	.close = close_file,
};

/* ---- opening ---- */

static int exec(struct file *f, const char *text, struct vk_err *err)
{
	return sqlite3_exec(f->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(f, err);
}

static int read_number(struct file *f, const char *text, int64_t *ret, struct vk_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = 0;
	if (sqlite3_prepare_v2(f->db, text, -1, &st, NULL) != SQLITE_OK ||
		sqlite3_step(st) != SQLITE_ROW)
		rc = fail(f, err);
	else
		*ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc;
}

/* The file exists with the right mode and name before SQLite sees it. */
static int make_file(const char *path, struct vk_err *err)
{
	vk_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return vk_err_errno(err, errno, "the state file %s", path);
	vk_autofree char *copy = vk_strdup(path);
	vk_autoclose int dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) != 0)
		return vk_err_errno(err, errno, "the directory of %s", path);
	return 0;
}

/* Little memory: the working set is small, and rows are read through the file cache of the kernel. The
 * exclusive lock keeps a second process out and spares the shared-memory file. */
static int configure(struct file *f, struct vk_err *err)
{
	sqlite3_db_config(f->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 128, 64);
	sqlite3_db_config(f->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_busy_timeout(f->db, BUSY_MS);
	return exec(f,
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -128; PRAGMA trusted_schema "
		"= OFF;"
		"PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA journal_mode = "
		"WAL;"
		"PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 256;",
		err);
}

static int check_schema(struct file *f, struct vk_err *err)
{
	int64_t version, id, tables;
	int rc = read_number(f, "PRAGMA user_version", &version, err);
	if (rc == 0)
		rc = read_number(f, "PRAGMA application_id", &id, err);
	if (rc == 0)
		rc = read_number(f, "SELECT count(*) FROM sqlite_schema", &tables, err);
	if (rc != 0)
		return rc;
	if (tables == 0 && version == 0)
		return exec(f, schema, err);
	if (id != APPLICATION_ID)
		return vk_err_set(err, VK_INVALID, "%s is not a state file of viking", f->path);
	if (version > SCHEMA) {
		vk_err_set(err, VK_INVALID,
			"the state file %s was written by a newer viking (schema %lld, this one "
			"knows %d)",
			f->path, (long long)version, SCHEMA);
		vk_err_hint(err,
			"install that version of viking again, or restore a backup of this one");
		return VK_INVALID;
	}
	return 0;
}

static int check_integrity(struct file *f, struct vk_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = 0;
	if (sqlite3_prepare_v2(f->db, "PRAGMA integrity_check(1)", -1, &st, NULL) != SQLITE_OK ||
		sqlite3_step(st) != SQLITE_ROW) {
		rc = fail(f, err);
	} else if (strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0) {
		rc = damaged(f, (const char *)sqlite3_column_text(st, 0), err);
	}
	sqlite3_finalize(st);
	return rc;
}

static int load_leases(struct file *f, struct vk_store *s, struct vk_err *err)
{
	sqlite3_stmt *st = NULL;
	int got = sqlite3_prepare_v2(f->db, "SELECT id, ttl_ms FROM lease", -1, &st, NULL);
	while (got == SQLITE_OK || got == SQLITE_ROW) {
		got = sqlite3_step(st);
		if (got == SQLITE_ROW)
			vk_store_front_lease(s, (uint64_t)sqlite3_column_int64(st, 0),
				sqlite3_column_int64(st, 1));
	}
	sqlite3_finalize(st);
	return got == SQLITE_DONE ? 0 : fail(f, err);
}

static int open_file(struct file *f, int64_t *ret_rev, struct vk_err *err)
{
	int rc = make_file(f->path, err);
	if (rc != 0)
		return rc;
	if (sqlite3_open_v2(f->path, &f->db,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
		    NULL) != SQLITE_OK)
		return fail(f, err);
	rc = configure(f, err);
	if (rc == 0)
		rc = check_integrity(f, err);
	if (rc == 0)
		rc = check_schema(f, err);
	if (rc == 0)
		rc = read_number(f, "SELECT rev FROM meta", ret_rev, err);
	for (int i = 0; rc == 0 && i < STATEMENTS; i++)
		rc = prepare(f, i, err);
	return rc;
}

int vk_store_sqlite_open(
	struct vk_loop *l, const char *path, struct vk_store **ret, struct vk_err *err)
{
	struct file *f = vk_alloc(sizeof(*f));
	f->path = vk_strdup(path);
	int64_t rev;
	int rc = open_file(f, &rev, err);
	if (rc != 0) {
		close_file(f);
		return rc;
	}
	struct vk_store *s = vk_store_front_new(l, &ops, f, (uint64_t)rev, NULL);
	rc = load_leases(f, s, err);
	if (rc != 0) {
		s->ops->close(s);
		return rc;
	}
	*ret = s;
	return 0;
}
