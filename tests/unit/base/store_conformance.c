#include "store_conformance.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <viking/mem.h>
#include <viking/str.h>

static uint64_t watch(struct fixture *f, const char *prefix, uint64_t from, struct watched *w)
{
	return f->store->ops->watch(f->store, prefix, store_rev(from), watched_fn, w);
}

/* ---- keys and revisions ---- */

void conform_empty(struct fixture *f)
{
	struct got g = store_get(f, "/a");
	cr_assert_eq(g.code, 0);
	cr_assert_eq(g.n, 0);
	cr_assert_eq(store_range(f, "").n, 0);
	cr_assert_eq(store_range(f, "").rev, 0);
}

void conform_put_get_del(struct fixture *f)
{
	struct done d = store_put(f, "/a", "one");
	cr_assert(d.code == 0 && d.committed);
	struct got g = store_get(f, "/a");
	cr_assert_eq(g.n, 1);
	cr_assert_str_eq(g.value, "one");
	cr_assert_eq(store_get(f, "/").n, 0);
	cr_assert_eq(store_get(f, "/aa").n, 0);
	cr_assert(store_del(f, "/a").committed);
	cr_assert_eq(store_get(f, "/a").n, 0);
}

void conform_revisions(struct fixture *f)
{
	cr_assert_eq(store_put(f, "/a", "1").rev, 1);
	cr_assert_eq(store_put(f, "/b", "1").rev, 2);
	cr_assert_eq(store_put(f, "/a", "2").rev, 3);
	struct got g = store_get(f, "/a");
	cr_assert(g.create_rev == 1 && g.mod_rev == 3 && g.rev == 3);
	cr_assert_eq(store_del(f, "/a").rev, 4);
	cr_assert_eq(store_put(f, "/a", "3").rev, 5);
	g = store_get(f, "/a");
	cr_assert(g.create_rev == 5 && g.mod_rev == 5, "a new life begins with a new create_rev");
	const struct vk_op both[] = {
		{.key = "/x", .value = "", .len = 0}, {.key = "/y", .value = "", .len = 0}};
	cr_assert_eq(store_txn(f, NULL, 0, both, 2).rev, 6);
	cr_assert_eq(store_get(f, "/x").mod_rev, 6);
	cr_assert_eq(store_get(f, "/y").mod_rev, 6);
}

void conform_range_is_ordered_and_bounded(struct fixture *f)
{
	static const char *const keys[] = {"/b", "/a/2", "/a", "/a/10", "/ab", "/a/1", "/A", "/a0"};
	for (size_t i = 0; i < VK_COUNT(keys); i++)
		store_put(f, keys[i], "x");
	cr_assert_str_eq(store_range(f, "").keys, "/A /a /a/1 /a/10 /a/2 /a0 /ab /b");
	cr_assert_str_eq(store_range(f, "/a/").keys, "/a/1 /a/10 /a/2");
	cr_assert_str_eq(store_range(f, "/a").keys, "/a /a/1 /a/10 /a/2 /a0 /ab");
	cr_assert_str_eq(store_range(f, "/c").keys, "");
}

void conform_prefix_bytes(struct fixture *f)
{
	store_put(f, "/p\xff", "x");
	store_put(f, "/p\xff\xff", "x");
	store_put(f, "/q", "x");
	store_put(f, "/p%_", "x");
	cr_assert_eq(store_range(f, "/p\xff").n, 2);
	cr_assert_eq(store_range(f, "\xff").n, 0);
	cr_assert_eq(store_range(f, "/p%").n, 1);
	cr_assert_eq(store_range(f, "/_").n, 0);
}

void conform_values_are_bytes(struct fixture *f)
{
	static const char bytes[] = {'a', 0, '\xff', 0, '\n'};
	const struct vk_op op = {.key = "/a", .value = bytes, .len = sizeof(bytes)};
	cr_assert(store_txn(f, NULL, 0, &op, 1).committed);
	struct got g = store_get(f, "/a");
	cr_assert_eq(g.len, sizeof(bytes));
	cr_assert_eq(memcmp(g.value, bytes, sizeof(bytes)), 0);
	store_put(f, "/empty", "");
	g = store_get(f, "/empty");
	cr_assert(g.n == 1 && g.len == 0);
}

/* ---- compares ---- */

static struct done put_if(
	struct fixture *f, enum vk_cmp_target target, const char *key, uint64_t rev)
{
	const struct vk_cmp c = {.key = key, .target = target, .rev = rev};
	return store_txn(f, &c, 1, &(struct vk_op){.key = "/out", .value = "x", .len = 1}, 1);
}

void conform_compare_mod_rev(struct fixture *f)
{
	store_put(f, "/a", "1");
	store_put(f, "/a", "2");
	struct done d = put_if(f, VK_CMP_MOD_REV, "/a", 1);
	cr_assert(d.code == 0 && !d.committed && d.rev == 2);
	cr_assert_eq(store_get(f, "/out").n, 0);
	cr_assert(put_if(f, VK_CMP_MOD_REV, "/a", 2).committed);
	cr_assert(put_if(f, VK_CMP_MOD_REV, "/none", 0).committed);
	cr_assert(!put_if(f, VK_CMP_MOD_REV, "/a", 0).committed);
}

void conform_compare_create_rev(struct fixture *f)
{
	store_put(f, "/a", "1");
	store_put(f, "/a", "2");
	cr_assert(put_if(f, VK_CMP_CREATE_REV, "/a", 1).committed);
	cr_assert(!put_if(f, VK_CMP_CREATE_REV, "/a", 2).committed);
	cr_assert(put_if(f, VK_CMP_CREATE_REV, "/none", 0).committed);
	cr_assert(!put_if(f, VK_CMP_CREATE_REV, "/none", 1).committed);
}

void conform_compare_several(struct fixture *f)
{
	store_put(f, "/a", "1");
	store_put(f, "/b", "1");
	const struct vk_op ops[] = {
		{.key = "/a", .del = true}, {.key = "/c", .value = "x", .len = 1}};
	const struct vk_cmp bad[] = {{"/a", VK_CMP_MOD_REV, 1}, {"/b", VK_CMP_MOD_REV, 1}};
	const struct vk_cmp good[] = {{"/a", VK_CMP_MOD_REV, 1}, {"/b", VK_CMP_MOD_REV, 2}};
	cr_assert(!store_txn(f, bad, 2, ops, 2).committed);
	cr_assert_str_eq(store_range(f, "").keys, "/a /b");
	cr_assert(store_txn(f, good, 2, ops, 2).committed);
	cr_assert_str_eq(store_range(f, "").keys, "/b /c");
}

void conform_delete_prefix(struct fixture *f)
{
	store_put(f, "/a/1", "x");
	store_put(f, "/a/2", "x");
	store_put(f, "/ab", "x");
	struct watched w = {0};
	watch(f, "/", 0, &w);
	const struct vk_op op = {.key = "/a/", .del = true, .prefix = true};
	cr_assert_eq(store_txn(f, NULL, 0, &op, 1).rev, 4);
	cr_assert_str_eq(store_range(f, "").keys, "/ab");
	wait_text(f, &w, "-/a/1@4 -/a/2@4 | ");
}

void conform_nothing_changed(struct fixture *f)
{
	store_put(f, "/a", "x");
	struct done d = store_del(f, "/none");
	cr_assert(d.committed && d.rev == 1, "a transaction without effect takes no revision");
	const struct vk_cmp c = {"/a", VK_CMP_MOD_REV, 1};
	d = store_txn(f, &c, 1, NULL, 0);
	cr_assert(d.committed && d.rev == 1);
	cr_assert_eq(store_put(f, "/a", "x").rev, 2, "a put of the same value is a change");
}

void conform_key_twice(struct fixture *f)
{
	const struct vk_op ops[] = {{.key = "/a", .value = "x", .len = 1},
		{.key = "/b", .del = true}, {.key = "/a", .del = true}};
	struct done d = store_txn(f, NULL, 0, ops, 3);
	cr_assert(d.code == VK_INVALID && !d.committed);
	cr_assert_eq(store_range(f, "").n, 0);
}

void conform_empty_key(struct fixture *f)
{
	cr_assert_eq(store_put(f, "", "x").code, VK_INVALID);
}

/* ---- asynchrony ---- */

void conform_completion_is_never_inside_submit(struct fixture *f)
{
	struct waiting w[4] = {0};
	f->store->ops->get(f->store, "/a", got_fn, &w[0]);
	f->store->ops->range(f->store, "/a", got_fn, &w[1]);
	f->store->ops->txn(f->store, NULL, 0, NULL, 0, txn_fn, &w[2]);
	f->store->ops->lease_grant(f->store, 1000, lease_fn, &w[3]);
	for (int i = 0; i < 4; i++)
		cr_assert(!w[i].done);
	for (int i = 0; i < 4; i++)
		wait_until(f, &w[i].done);
}

void conform_submits_copy(struct fixture *f)
{
	char key[] = "/k", value[] = "value", cmp_key[] = "/none";
	const struct vk_op op = {.key = key, .value = value, .len = 5};
	const struct vk_cmp c = {.key = cmp_key, .target = VK_CMP_MOD_REV, .rev = 0};
	struct waiting w = {0};
	f->store->ops->txn(f->store, &c, 1, &op, 1, txn_fn, &w);
	memset(key, 'x', 2);
	memset(value, 'x', 5);
	memset(cmp_key, 'x', 5);
	wait_until(f, &w.done);
	cr_assert_str_eq(store_get(f, "/k").value, "value");
}

/* What is submitted later sees what was submitted before, whenever the completions come. */
void conform_order_of_batch(struct fixture *f)
{
	struct waiting w[20] = {0}, r[20] = {0};
	for (int i = 0; i < 20; i++) {
		char value[8];
		snprintf(value, sizeof(value), "%d", i);
		const struct vk_op op = {.key = "/n", .value = value, .len = strlen(value)};
		f->store->ops->txn(f->store, NULL, 0, &op, 1, txn_fn, &w[i]);
		f->store->ops->get(f->store, "/n", got_fn, &r[i]);
	}
	for (int i = 0; i < 20; i++) {
		char value[8];
		snprintf(value, sizeof(value), "%d", i);
		wait_until(f, &w[i].done);
		wait_until(f, &r[i].done);
		cr_assert_eq(w[i].txn.rev, (uint64_t)i + 1);
		cr_assert_str_eq(r[i].got.value, value);
		cr_assert_eq(r[i].got.rev, (uint64_t)i + 1);
	}
}

struct chain {
	struct fixture *f;
	int left;
	bool done;
};

static void chain_fn(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct chain *c = arg;
	cr_assert(err->code == 0 && committed);
	(void)rev;
	if (c->left-- == 0) {
		c->done = true;
		return;
	}
	const struct vk_op op = {.key = "/chain", .value = "x", .len = 1};
	c->f->store->ops->txn(c->f->store, NULL, 0, &op, 1, chain_fn, c);
}

void conform_completion_may_submit(struct fixture *f)
{
	struct chain c = {.f = f, .left = 10};
	f->store->ops->txn(f->store, NULL, 0, NULL, 0, chain_fn, &c);
	wait_until(f, &c.done);
	cr_assert_eq(store_get(f, "/chain").mod_rev, 10);
}

/* ---- watches ---- */

void conform_watch_sees_transactions_whole(struct fixture *f)
{
	struct watched w = {0};
	watch(f, "", 0, &w);
	const struct vk_op ops[] = {
		{.key = "/a", .value = "1", .len = 1}, {.key = "/b", .value = "2", .len = 1}};
	const struct vk_op more[] = {
		{.key = "/a", .del = true}, {.key = "/b", .value = "3", .len = 1}};
	store_txn(f, NULL, 0, ops, 2);
	store_txn(f, NULL, 0, more, 2);
	wait_text(f, &w, "+/a=1@1 +/b=2@1 | -/a@2 +/b=3@2 | ");
	cr_assert_eq(w.calls, 2);
}

void conform_watch_from_revision(struct fixture *f)
{
	for (int i = 1; i <= 5; i++)
		store_put(f, "/a", (char[]){(char)('0' + i), 0});
	struct watched past = {0}, now = {0}, future = {0};
	watch(f, "/", 3, &past);
	watch(f, "/", 6, &now);
	watch(f, "/", 7, &future);
	wait_text(f, &past, "+/a=3@3 | +/a=4@4 | +/a=5@5 | ");
	store_put(f, "/a", "6");
	store_put(f, "/a", "7");
	wait_text(f, &past, "+/a=3@3 | +/a=4@4 | +/a=5@5 | +/a=6@6 | +/a=7@7 | ");
	wait_text(f, &now, "+/a=6@6 | +/a=7@7 | ");
	wait_text(f, &future, "+/a=7@7 | ");
}

void conform_watch_compacted(struct fixture *f)
{
	const int n = f->history;
	for (int i = 0; i < n; i += 100) {
		struct waiting w[100] = {0};
		for (int k = 0; k < 100; k++) {
			const struct vk_op op = {.key = "/a", .value = "x", .len = 1};
			f->store->ops->txn(f->store, NULL, 0, &op, 1, txn_fn, &w[k]);
		}
		for (int k = 0; k < 100; k++)
			wait_until(f, &w[k].done);
	}
	if (f->compact != NULL)
		f->compact(f, store_rev((uint64_t)n - 10));
	struct watched old = {0}, recent = {0};
	char text[96];
	watch(f, "/", 1, &old);
	watch(f, "/", (uint64_t)n - 1, &recent);
	snprintf(text, sizeof(text), "+/a=x@%d | +/a=x@%d | ", n - 1, n);
	wait_text(f, &recent, text);
	wait_text(f, &old, "| ");
	cr_assert(old.compacted);
	store_put(f, "/a", "y");
	snprintf(text, sizeof(text), "+/a=x@%d | +/a=x@%d | +/a=y@%d | ", n - 1, n, n + 1);
	wait_text(f, &recent, text);
	cr_assert_eq(old.calls, 1, "a compacted watch is over");
}

struct self {
	struct fixture *f;
	uint64_t id;
	unsigned calls;
	bool called;
};

static void unwatch_self(
	void *arg, const struct vk_event *ev, size_t n, uint64_t rev, bool compacted)
{
	struct self *s = arg;
	(void)ev, (void)n, (void)rev, (void)compacted;
	s->calls++;
	s->called = true;
	s->f->store->ops->unwatch(s->f->store, s->id);
}

void conform_watch_unwatch_inside(struct fixture *f)
{
	struct self s = {.f = f};
	struct watched w = {0};
	s.id = f->store->ops->watch(f->store, "/", 0, unwatch_self, &s);
	uint64_t id = watch(f, "/", 0, &w);
	store_put(f, "/a", "1");
	store_put(f, "/a", "2");
	wait_text(f, &w, "+/a=1@1 | +/a=2@2 | ");
	wait_until(f, &s.called); /* the order of two watches is nobody's promise */
	f->store->ops->unwatch(f->store, id);
	store_put(f, "/a", "3");
	fixture_settle(f);
	cr_assert_eq(s.calls, 1);
	cr_assert_eq(w.calls, 2);
	f->store->ops->unwatch(f->store, 999);
}

void conform_watch_prefix_only(struct fixture *f)
{
	struct watched w = {0};
	watch(f, "/a/", 0, &w);
	store_put(f, "/a", "1");
	store_put(f, "/b/x", "1");
	const struct vk_op ops[] = {
		{.key = "/a/1", .value = "1", .len = 1}, {.key = "/b/1", .value = "2", .len = 1}};
	store_txn(f, NULL, 0, ops, 2);
	wait_text(f, &w, "+/a/1=1@3 | ");
}

/* ---- leases ---- */

static struct done put_leased(struct fixture *f, const char *key, uint64_t lease)
{
	return store_txn(
		f, NULL, 0, &(struct vk_op){.key = key, .value = "x", .len = 1, .lease = lease}, 1);
}

void conform_lease_expires(struct fixture *f)
{
	uint64_t lease;
	struct watched w = {0};
	cr_assert_eq(store_grant(f, 150, &lease), 0);
	cr_assert_neq(lease, 0);
	cr_assert(put_leased(f, "/l/1", lease).committed);
	cr_assert(put_leased(f, "/l/2", lease).committed);
	store_put(f, "/other", "x");
	watch(f, "/", 0, &w);
	int64_t t0 = vk_mono_ms();
	wait_text(f, &w, "-/l/1@4 -/l/2@4 | ");
	cr_assert_geq(vk_mono_ms() - t0, 50);
	cr_assert_str_eq(store_range(f, "").keys, "/other");
	cr_assert_eq(store_keep(f, lease), VK_NOTFOUND);
}

struct keeper {
	struct fixture *f;
	struct vk_timer *t;
	uint64_t lease;
	int left;
	bool done;
};

static void keep_again(void *arg)
{
	struct keeper *k = arg;
	static struct waiting sink;
	if (--k->left == 0)
		k->done = true;
	else
		vk_timer_set(k->t, 60);
	k->f->store->ops->lease_keep(k->f->store, k->lease, lease_fn, &sink);
}

void conform_lease_kept(struct fixture *f)
{
	struct keeper k = {.f = f, .left = 10};
	cr_assert_eq(store_grant(f, 300, &k.lease), 0);
	put_leased(f, "/l", k.lease);
	k.t = vk_timer_new(f->loop, keep_again, &k);
	vk_timer_set(k.t, 60);
	wait_until(f, &k.done); /* twice its time to live */
	cr_assert_eq(store_get(f, "/l").n, 1);
	vk_timer_free(k.t);
	cr_assert_eq(store_keep(f, k.lease), 0);
}

void conform_lease_revoked(struct fixture *f)
{
	uint64_t lease;
	store_grant(f, 60000, &lease);
	put_leased(f, "/l", lease);
	cr_assert_eq(store_revoke(f, lease), 0);
	cr_assert_eq(store_get(f, "/l").n, 0);
	cr_assert_eq(store_get(f, "/l").rev, 2);
	cr_assert_eq(store_revoke(f, lease), VK_NOTFOUND);
	cr_assert_eq(store_keep(f, lease), VK_NOTFOUND);
}

void conform_lease_unknown(struct fixture *f)
{
	struct done d = put_leased(f, "/l", 4711);
	cr_assert(d.code == VK_NOTFOUND && !d.committed);
	cr_assert_eq(store_get(f, "/l").n, 0);
	cr_assert_eq(store_keep(f, 4711), VK_NOTFOUND);
}

void conform_lease_detached(struct fixture *f)
{
	uint64_t lease;
	store_grant(f, 60000, &lease);
	put_leased(f, "/l", lease);
	store_put(f, "/l", "mine now");
	cr_assert_eq(store_revoke(f, lease), 0);
	cr_assert_str_eq(store_get(f, "/l").value, "mine now");
}

/* ---- closing ---- */

void conform_close_finishes(struct fixture *f)
{
	struct waiting w[3] = {0};
	const struct vk_op op = {.key = "/a", .value = "x", .len = 1};
	for (int i = 0; i < 3; i++)
		f->store->ops->txn(f->store, NULL, 0, &op, 1, txn_fn, &w[i]);
	fixture_close(f);
	for (int i = 0; i < 3; i++)
		cr_assert(w[i].done && w[i].txn.committed);
}

static void close_fn(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct chain *c = arg;
	(void)err, (void)committed, (void)rev;
	struct vk_store *s = VK_TAKE(c->f->store);
	s->ops->close(s);
	c->done = true;
}

void conform_close_inside_completion(struct fixture *f)
{
	struct chain c = {.f = f};
	struct waiting w = {0};
	f->store->ops->txn(f->store, NULL, 0, NULL, 0, close_fn, &c);
	f->store->ops->get(f->store, "/a", got_fn, &w);
	wait_until(f, &c.done);
	wait_until(f, &w.done);
	fixture_settle(f);
}

/* ---- whole runs ---- */

struct racer {
	struct fixture *f;
	int wins, left;
	bool done;
};
static void race(struct racer *r);

static void raced(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct racer *r = arg;
	(void)rev;
	cr_assert_eq(err->code, 0);
	if (committed && ++r->wins == 10)
		r->done = true;
	else
		race(r);
}

static void read_then_write(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct racer *r = arg;
	(void)err, (void)rev;
	uint64_t value = 0;
	if (n > 0)
		cr_assert_eq(vk_parse_u64(kvs[0].value, 0, 1000000, &value), 0);
	const struct vk_cmp c = {
		.key = "/counter", .target = VK_CMP_MOD_REV, .rev = n > 0 ? kvs[0].mod_rev : 0};
	char text[24];
	snprintf(text, sizeof(text), "%d", (int)value + 1);
	const struct vk_op op = {.key = "/counter", .value = text, .len = strlen(text) + 1};
	r->f->store->ops->txn(r->f->store, &c, 1, &op, 1, raced, r);
}

static void race(struct racer *r)
{
	r->f->store->ops->get(r->f->store, "/counter", read_then_write, r);
}

/* Compare-and-swap by several at once loses no increment. */
void conform_counter_race(struct fixture *f)
{
	struct racer r[5];
	for (int i = 0; i < 5; i++) {
		r[i] = (struct racer){.f = f};
		race(&r[i]);
	}
	for (int i = 0; i < 5; i++)
		wait_until(f, &r[i].done);
	cr_assert_str_eq(store_get(f, "/counter").value, "50");
}

#define MODEL_KEYS 6

/* Random transactions against an array of what must be there. */
void conform_random_against_model(struct fixture *f)
{
	uint64_t mod[MODEL_KEYS] = {0}, create[MODEL_KEYS] = {0}, rev = 0;
	unsigned seed = 7;
	for (int round = 0; round < 400; round++) {
		unsigned k = (unsigned)rand_r(&seed) % MODEL_KEYS,
			 other = (unsigned)rand_r(&seed) % MODEL_KEYS;
		bool del = rand_r(&seed) % 3 == 0, stale = rand_r(&seed) % 4 == 0;
		char key[8], cmp_key[8], value[16];
		snprintf(key, sizeof(key), "/m/%u", k);
		snprintf(cmp_key, sizeof(cmp_key), "/m/%u", other);
		snprintf(value, sizeof(value), "%d", round);
		const struct vk_cmp c = {cmp_key, VK_CMP_MOD_REV, mod[other] + stale};
		const struct vk_op op = {
			.key = key, .value = value, .len = del ? 0 : strlen(value), .del = del};
		struct done d = store_txn(f, &c, 1, &op, 1);
		cr_assert(d.code == 0 && d.committed == !stale);
		bool changes = !stale && (!del || mod[k] != 0);
		rev += changes;
		if (changes) {
			create[k] = del ? 0 : create[k] ? create[k] : rev;
			mod[k] = del ? 0 : rev;
		}
		cr_assert_eq(d.rev, rev);
		struct got g = store_get(f, key);
		cr_assert_eq(g.n, mod[k] != 0);
		cr_assert(g.n == 0 || (g.mod_rev == mod[k] && g.create_rev == create[k]));
	}
}
