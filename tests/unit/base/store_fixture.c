/* Fixture and blocking helpers of the store's tests. */
#include "store_conformance.h"

#include <criterion/criterion.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#define DEADLINE_MS 20000
#define HISTORY     3000

static uint64_t rev0; /* of the store at fixture_init */

uint64_t store_rev(uint64_t rev)
{
	return rev != 0 ? rev + rev0 : 0;
}

static uint64_t since_rev0(uint64_t rev)
{
	return rev > rev0 ? rev - rev0 : 0;
}

void fixture_init(struct fixture *f, const char *where, void (*open)(struct fixture *f))
{
	struct vk_err err = {0};
	*f = (struct fixture){.open = open, .history = HISTORY};
	snprintf(f->dir, sizeof(f->dir), "%s/viking-store-XXXXXX", where);
	cr_assert_not_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/db", f->dir);
	cr_assert_eq(vk_loop_new(&f->loop, &err), 0, "%s", err.msg);
	rev0 = 0;
	open(f);
	rev0 = store_range(f, "").rev;
}

void fixture_close(struct fixture *f)
{
	if (f->store != NULL)
		f->store->ops->close(f->store);
	f->store = NULL;
}

void fixture_release(struct fixture *f)
{
	fixture_close(f);
	vk_loop_free(f->loop);
	vk_fs_remove_tree(f->dir, NULL);
}

static void set_flag(void *arg)
{
	*(bool *)arg = true;
}

void wait_until(struct fixture *f, const bool *flag)
{
	bool late = false;
	struct vk_timer *t = vk_timer_new(f->loop, set_flag, &late);
	vk_timer_set(t, DEADLINE_MS);
	while (!*flag && !late)
		vk_loop_once(f->loop, -1);
	vk_timer_free(t);
	cr_assert(*flag, "it did not happen within %d ms", DEADLINE_MS);
}

void fixture_settle(struct fixture *f)
{
	for (int i = 0; i < 64; i++)
		vk_loop_once(f->loop, 0);
}

void got_fn(void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct waiting *w = arg;
	w->done = true;
	w->got = (struct got){.code = err->code, .n = n, .rev = since_rev0(rev)};
	for (size_t i = 0; i < n; i++) {
		size_t used = strlen(w->got.keys);
		snprintf(w->got.keys + used, sizeof(w->got.keys) - used, "%s%s", i ? " " : "",
			kvs[i].key);
	}
	if (n != 1)
		return;
	w->got.len = kvs[0].len;
	w->got.create_rev = since_rev0(kvs[0].create_rev);
	w->got.mod_rev = since_rev0(kvs[0].mod_rev);
	size_t shown = kvs[0].len < sizeof(w->got.value) ? kvs[0].len : sizeof(w->got.value) - 1;
	memcpy(w->got.value, kvs[0].value, shown);
}

struct got store_get(struct fixture *f, const char *key)
{
	struct waiting w = {0};
	f->store->ops->get(f->store, key, got_fn, &w);
	cr_assert(!w.done, "completed inside the submit");
	wait_until(f, &w.done);
	return w.got;
}

struct got store_range(struct fixture *f, const char *prefix)
{
	struct waiting w = {0};
	f->store->ops->range(f->store, prefix, got_fn, &w);
	wait_until(f, &w.done);
	return w.got;
}

void txn_fn(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct waiting *w = arg;
	w->done = true;
	w->txn = (struct done){.code = err->code, .committed = committed, .rev = since_rev0(rev)};
	snprintf(w->txn.msg, sizeof(w->txn.msg), "%.250s", err->msg);
}

struct done store_txn(
	struct fixture *f, const struct vk_cmp *cmps, size_t nc, const struct vk_op *ops, size_t no)
{
	struct waiting w = {0};
	struct vk_cmp own[8];
	cr_assert_leq(nc, VK_COUNT(own));
	for (size_t i = 0; i < nc; i++) {
		own[i] = cmps[i];
		own[i].rev = store_rev(cmps[i].rev);
	}
	f->store->ops->txn(f->store, own, nc, ops, no, txn_fn, &w);
	wait_until(f, &w.done);
	return w.txn;
}

struct done store_put(struct fixture *f, const char *key, const char *value)
{
	return store_txn(
		f, NULL, 0, &(struct vk_op){.key = key, .value = value, .len = strlen(value)}, 1);
}

struct done store_del(struct fixture *f, const char *key)
{
	return store_txn(f, NULL, 0, &(struct vk_op){.key = key, .del = true}, 1);
}

void lease_fn(void *arg, const struct vk_err *err, uint64_t lease)
{
	struct waiting *w = arg;
	w->done = true;
	w->code = err->code;
	w->lease = lease;
}

int store_grant(struct fixture *f, int64_t ttl_ms, uint64_t *ret)
{
	struct waiting w = {0};
	f->store->ops->lease_grant(f->store, ttl_ms, lease_fn, &w);
	wait_until(f, &w.done);
	*ret = w.lease;
	return w.code;
}

int store_keep(struct fixture *f, uint64_t lease)
{
	struct waiting w = {0};
	f->store->ops->lease_keep(f->store, lease, lease_fn, &w);
	wait_until(f, &w.done);
	return w.code;
}

int store_revoke(struct fixture *f, uint64_t lease)
{
	struct waiting w = {0};
	f->store->ops->lease_revoke(f->store, lease, lease_fn, &w);
	wait_until(f, &w.done);
	return w.code;
}

void watched_fn(void *arg, const struct vk_event *ev, size_t n, uint64_t rev, bool compacted)
{
	struct watched *w = arg;
	w->calls++;
	w->compacted |= compacted;
	rev = since_rev0(rev);
	cr_assert(compacted || rev > w->last_rev, "events out of order");
	w->last_rev = rev;
	for (size_t i = 0; i < n; i++) {
		size_t used = strlen(w->text);
		cr_assert_eq(since_rev0(ev[i].kv.mod_rev), rev);
		if (ev[i].del)
			snprintf(w->text + used, sizeof(w->text) - used, "-%s@%d ", ev[i].kv.key,
				(int)rev);
		else
			snprintf(w->text + used, sizeof(w->text) - used, "+%s=%.*s@%d ",
				ev[i].kv.key, (int)ev[i].kv.len, (const char *)ev[i].kv.value,
				(int)rev);
	}
	size_t used = strlen(w->text);
	snprintf(w->text + used, sizeof(w->text) - used, "| ");
}

void wait_text(struct fixture *f, const struct watched *w, const char *text)
{
	bool late = false;
	struct vk_timer *t = vk_timer_new(f->loop, set_flag, &late);
	vk_timer_set(t, DEADLINE_MS);
	while (strcmp(w->text, text) != 0 && !late)
		vk_loop_once(f->loop, -1);
	vk_timer_free(t);
	cr_assert_str_eq(w->text, text);
}
