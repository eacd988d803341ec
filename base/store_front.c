#include "store_front.h"

#include <stdlib.h>
#include <sys/random.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "store_request.h"
#include "store_watch.h"

#define EXPIRY_RETRY_MS 1000

struct lease {
	struct lease *next;
	uint64_t id;
	int64_t ttl_ms, deadline; /* vk_mono_ms */
	bool expiring;            /* a request to delete it is queued */
	bool gone;                /* deleted in the running batch */
	bool fresh;               /* granted in the running batch */
};

struct front {
	struct vk_store store;
	const struct vk_store_back *ops;
	void *back;
	uint64_t rev;
	struct vk_history *history;
	struct vk_requests queue, done;
	struct vk_timer *kick;   /* there is a batch to run or something to hand back */
	struct vk_timer *expiry; /* of the next lease */
	struct lease *leases;
	struct vk_store_faults faults;
	uint64_t random;
	unsigned count; /* operations so far, for fail_nth */
	unsigned busy;
	bool closing;
};

/* ---- rows and events ---- */

static int collect(void *arg, const struct vk_row *row, struct vk_err *err)
{
	(void)err;
	vk_rows_add(arg, row);
	return 0;
}

static int remove_rows(
	struct front *f, struct vk_rows *rows, uint64_t rev, bool *changed, struct vk_err *err)
{
	for (size_t i = 0; i < rows->n; i++) {
		int rc = f->ops->del(f->back, rows->v[i].key, err);
		if (rc != 0)
			return rc;
		vk_history_add(
			f->history, true, &(struct vk_kv){.key = rows->v[i].key, .mod_rev = rev});
		*changed = true;
	}
	return 0;
}

/* ---- leases ---- */

static struct lease *find_lease(struct front *f, uint64_t id)
{
	for (struct lease *l = f->leases; l != NULL; l = l->next)
		if (l->id == id && !l->gone)
			return l;
	return NULL;
}

static struct lease *add_lease(struct front *f, uint64_t id, int64_t ttl_ms)
{
	struct lease *l = vk_alloc(sizeof(*l));
	*l = (struct lease){
		.next = f->leases, .id = id, .ttl_ms = ttl_ms, .deadline = vk_mono_ms() + ttl_ms};
	f->leases = l;
	return l;
}

/* Leases whose deletion failed are tried again, not at once: the disk may be full. */
static void postpone_expiry(struct front *f)
{
	for (struct lease *l = f->leases; l != NULL; l = l->next) {
		if (l->expiring)
			l->deadline = vk_mono_ms() + EXPIRY_RETRY_MS;
		l->expiring = false;
	}
}

/* After a batch: what was deleted goes, what was granted stays, or the other way round. */
static void settle_leases(struct front *f, bool committed)
{
	for (struct lease **at = &f->leases; *at != NULL;) {
		struct lease *l = *at;
		if (committed ? l->gone : l->fresh) {
			*at = l->next;
			free(l);
			continue;
		}
		l->gone = l->fresh = false;
		at = &l->next;
	}
}

static void arm_expiry(struct front *f)
{
	int64_t next = -1, now = vk_mono_ms();
	for (struct lease *l = f->leases; l != NULL; l = l->next) {
		int64_t left = l->deadline > now ? l->deadline - now : 0;
		if (!l->expiring && (next < 0 || left < next))
			next = left;
	}
	vk_timer_set(f->expiry, next);
}

static void submit(struct front *f, struct vk_request *r)
{
	vk_requests_add(&f->queue, r);
	vk_timer_set(f->kick, 0);
}

static void on_expiry(void *arg)
{
	struct front *f = arg;
	int64_t now = vk_mono_ms();
	for (struct lease *l = f->leases; l != NULL; l = l->next) {
		if (l->expiring || l->deadline > now)
			continue;
		l->expiring = true;
		struct vk_request *r = vk_request_new(VK_REQ_EXPIRE);
		r->lease = l->id;
		submit(f, r);
	}
	arm_expiry(f);
}

static uint64_t new_lease_id(void)
{
	uint64_t id;
	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		abort();
	return (id & 0x1fffffffffffff) | 1; /* exact as a JSON number in every reader */
}

static int run_grant(struct front *f, struct vk_request *r, struct vk_err *err)
{
	r->lease = new_lease_id();
	int rc = f->ops->save_lease(f->back, r->lease, r->ttl_ms, err);
	if (rc == 0)
		add_lease(f, r->lease, r->ttl_ms)->fresh = true;
	return rc;
}

static void no_lease(struct vk_request *r)
{
	vk_err_set(vk_request_err(r), VK_NOTFOUND, "no such lease");
}

static int run_keep(struct front *f, struct vk_request *r)
{
	struct lease *l = find_lease(f, r->lease);
	if (l == NULL || l->expiring)
		no_lease(r);
	else
		l->deadline = vk_mono_ms() + l->ttl_ms;
	return 0;
}

static int run_revoke(struct front *f, struct vk_request *r, struct vk_err *err)
{
	struct lease *l = find_lease(f, r->lease);
	if (l == NULL) {
		no_lease(r);
		return 0;
	}
	bool changed = false;
	struct vk_rows rows = {0};
	int rc = f->ops->scan_lease(f->back, l->id, collect, &rows, err);
	if (rc == 0)
		rc = remove_rows(f, &rows, f->rev + 1, &changed, err);
	if (rc == 0)
		rc = f->ops->save_lease(f->back, l->id, -1, err);
	if (rc == 0 && changed)
		rc = f->ops->save_rev(f->back, ++f->rev, err);
	l->gone = true;
	vk_rows_release(&rows);
	return rc;
}

/* ---- transactions ---- */

/* The row of one key in *rows (0 or 1). */
static int lookup(struct front *f, const char *key, struct vk_rows *rows, struct vk_err *err)
{
	return f->ops->scan(f->back, key, false, collect, rows, err);
}

static int compare(struct front *f, const struct vk_cmp *c, bool *ret_holds, struct vk_err *err)
{
	struct vk_rows rows = {0};
	int rc = lookup(f, c->key, &rows, err);
	uint64_t rev = 0;
	if (rows.n > 0)
		rev = c->target == VK_CMP_MOD_REV ? rows.v[0].mod_rev : rows.v[0].create_rev;
	*ret_holds = rev == c->rev;
	vk_rows_release(&rows);
	return rc;
}

static int apply_put(struct front *f, const struct vk_op *op, uint64_t rev, struct vk_err *err)
{
	struct vk_rows old = {0};
	int rc = lookup(f, op->key, &old, err);
	struct vk_row row = {.key = op->key,
		.value = op->value,
		.len = op->len,
		.mod_rev = rev,
		.create_rev = old.n > 0 ? old.v[0].create_rev : rev,
		.lease = op->lease};
	vk_rows_release(&old);
	if (rc == 0)
		rc = f->ops->put(f->back, &row, err);
	if (rc == 0)
		vk_history_add(f->history, false,
			&(struct vk_kv){row.key, row.value, row.len, row.create_rev, rev});
	return rc;
}

static int apply(
	struct front *f, const struct vk_op *op, uint64_t rev, bool *changed, struct vk_err *err)
{
	if (!op->del) {
		*changed = true;
		return apply_put(f, op, rev, err);
	}
	struct vk_rows rows = {0};
	int rc = f->ops->scan(f->back, op->key, op->prefix, collect, &rows, err);
	if (rc == 0)
		rc = remove_rows(f, &rows, rev, changed, err);
	vk_rows_release(&rows);
	return rc;
}

/* Refusals that must be known before the first change. */
static bool acceptable(struct front *f, struct vk_request *r)
{
	if (!vk_request_check(r))
		return false;
	for (size_t i = 0; i < r->no; i++)
		if (r->ops[i].lease != 0 && find_lease(f, r->ops[i].lease) == NULL) {
			no_lease(r);
			return false;
		}
	return true;
}

static int run_txn(struct front *f, struct vk_request *r, struct vk_err *err)
{
	if (!acceptable(f, r))
		return 0;
	bool holds = true, changed = false;
	int rc = 0;
	for (size_t i = 0; rc == 0 && holds && i < r->nc; i++)
		rc = compare(f, &r->cmps[i], &holds, err);
	r->rev = f->rev;
	if (rc != 0 || !holds)
		return rc;
	for (size_t i = 0; rc == 0 && i < r->no; i++)
		rc = apply(f, &r->ops[i], f->rev + 1, &changed, err);
	if (rc == 0 && changed)
		rc = f->ops->save_rev(f->back, ++f->rev, err);
	r->committed = true;
	r->rev = f->rev;
	return rc;
}

/* ---- batches ---- */

static int execute(struct front *f, struct vk_request *r, struct vk_err *err)
{
	switch (r->kind) {
	case VK_REQ_RANGE:
	case VK_REQ_GET:
		r->rev = f->rev;
		return f->ops->scan(
			f->back, r->key, r->kind == VK_REQ_RANGE, collect, &r->rows, err);
	case VK_REQ_TXN:
		return run_txn(f, r, err);
	case VK_REQ_GRANT:
		return run_grant(f, r, err);
	case VK_REQ_KEEP:
		return run_keep(f, r);
	case VK_REQ_REVOKE:
	case VK_REQ_EXPIRE:
		return run_revoke(f, r, err);
	}
	return 0;
}

/* The fault of tests: this request is answered with a failure, applied or not. */
static bool fails_now(struct front *f, const struct vk_request *r)
{
	return r->kind != VK_REQ_EXPIRE && ++f->count == f->faults.fail_nth;
}

static void fail(struct vk_request *r, int code, const struct vk_err *why)
{
	r->committed = false;
	vk_rows_release(&r->rows);
	*vk_request_err(r) = *why;
	r->err->code = code;
}

static int run_requests(struct front *f, struct vk_requests *batch, struct vk_err *err)
{
	static const struct vk_err told = {.msg = "the store failed as it was told to"};
	for (struct vk_request *r = batch->first; r != NULL; r = r->next) {
		bool failing = fails_now(f, r);
		bool skip = r->late || (failing && !f->faults.fail_after_commit);
		int rc = skip ? 0 : execute(f, r, err);
		if (rc != 0)
			return rc;
		if (failing)
			fail(r, VK_UNAVAILABLE, &told);
	}
	return 0;
}

/* One begin .. commit for everything that was submitted; any failure undoes all of it. */
static void run_batch(struct front *f, struct vk_requests *batch)
{
	struct vk_err err = {0};
	uint64_t before = f->rev;
	int rc = f->ops->begin(f->back, &err);
	if (rc == 0)
		rc = run_requests(f, batch, &err);
	if (rc == 0)
		rc = f->ops->commit(f->back, &err);
	settle_leases(f, rc == 0);
	if (rc == 0) {
		vk_history_commit(f->history);
	} else {
		f->ops->rollback(f->back);
		f->rev = before;
		vk_history_rollback(f->history);
		for (struct vk_request *r = batch->first; r != NULL; r = r->next)
			fail(r, rc, &err);
		postpone_expiry(f);
	}
}

static unsigned dice(struct front *f, unsigned sides)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return (unsigned)(f->random % sides);
}

static void run_queue(struct front *f)
{
	if (f->queue.first == NULL)
		return;
	struct vk_requests batch = vk_requests_take(&f->queue);
	run_batch(f, &batch);
	for (struct vk_request *r = batch.first; r != NULL; r = r->next)
		r->delay = f->faults.delay_passes_max ? dice(f, f->faults.delay_passes_max + 1) : 0;
	vk_requests_append(&f->done, &batch);
	arm_expiry(f);
}

/* ---- handing back ---- */

/* The next completion that is due: the first, or with reorder any that is not delayed any more. */
static struct vk_request *next_due(struct front *f)
{
	struct vk_request *r = f->done.first;
	if (!f->faults.reorder || r == NULL)
		return r != NULL && r->delay == 0 ? vk_requests_remove(&f->done, 0) : NULL;
	size_t due = 0, n = 0;
	for (; r != NULL; r = r->next)
		due += r->delay == 0;
	if (due == 0)
		return NULL;
	size_t pick = dice(f, (unsigned)due);
	for (r = f->done.first; r->delay != 0 || pick-- > 0; r = r->next)
		n++;
	return vk_requests_remove(&f->done, n);
}

static void hand_back(struct front *f)
{
	f->busy++;
	for (struct vk_request *r; (r = next_due(f)) != NULL;) {
		vk_request_complete(r);
		vk_request_free(r);
	}
	for (struct vk_request *r = f->done.first; r != NULL; r = r->next)
		r->delay -= r->delay > 0;
	bool hold = f->faults.delay_passes_max && !f->closing &&
		dice(f, f->faults.delay_passes_max + 1);
	if (!hold)
		vk_history_pump(f->history);
	f->busy--;
	if (f->queue.first != NULL || f->done.first != NULL || vk_history_pending(f->history))
		vk_timer_set(f->kick, 0);
}

static void front_free(struct front *f);

static void on_kick(void *arg)
{
	struct front *f = arg;
	run_queue(f);
	hand_back(f);
	if (f->closing)
		front_free(f);
}

/* ---- the interface ---- */

static void front_range(struct vk_store *s, const char *prefix, vk_store_range_fn *fn, void *arg)
{
	struct vk_request *r = vk_request_new(VK_REQ_RANGE);
	r->key = vk_strdup(prefix);
	r->range_fn = fn;
	r->arg = arg;
	submit((struct front *)s, r);
}

static void front_get(struct vk_store *s, const char *key, vk_store_range_fn *fn, void *arg)
{
	struct vk_request *r = vk_request_new(VK_REQ_GET);
	r->key = vk_strdup(key);
	r->range_fn = fn;
	r->arg = arg;
	submit((struct front *)s, r);
}

static void front_txn(struct vk_store *s, const struct vk_cmp *cmps, size_t nc,
	const struct vk_op *ops, size_t no, vk_store_txn_fn *fn, void *arg)
{
	struct vk_request *r = vk_request_new(VK_REQ_TXN);
	vk_request_copy(r, cmps, nc, ops, no);
	r->txn_fn = fn;
	r->arg = arg;
	submit((struct front *)s, r);
}

static uint64_t front_watch(
	struct vk_store *s, const char *prefix, uint64_t from_rev, vk_store_watch_fn *fn, void *arg)
{
	struct front *f = (struct front *)s;
	uint64_t id = vk_history_watch(f->history, prefix, from_rev, fn, arg);
	vk_timer_set(f->kick, 0);
	return id;
}

static void front_unwatch(struct vk_store *s, uint64_t id)
{
	vk_history_unwatch(((struct front *)s)->history, id);
}

static void submit_lease(struct vk_store *s, enum vk_request_kind kind, uint64_t lease,
	int64_t ttl_ms, vk_store_lease_fn *fn, void *arg)
{
	struct vk_request *r = vk_request_new(kind);
	r->lease = lease;
	r->ttl_ms = ttl_ms;
	r->lease_fn = fn;
	r->arg = arg;
	submit((struct front *)s, r);
}

static void front_lease_grant(struct vk_store *s, int64_t ttl_ms, vk_store_lease_fn *fn, void *arg)
{
	submit_lease(s, VK_REQ_GRANT, 0, ttl_ms, fn, arg);
}

static void front_lease_keep(struct vk_store *s, uint64_t lease, vk_store_lease_fn *fn, void *arg)
{
	submit_lease(s, VK_REQ_KEEP, lease, 0, fn, arg);
}

static void front_lease_revoke(struct vk_store *s, uint64_t lease, vk_store_lease_fn *fn, void *arg)
{
	submit_lease(s, VK_REQ_REVOKE, lease, 0, fn, arg);
}

/* What was submitted is executed and handed back; what completions submit meanwhile is refused. */
static void front_free(struct front *f)
{
	while (f->queue.first != NULL || f->done.first != NULL) {
		run_queue(f);
		hand_back(f);
		for (struct vk_request *r = f->queue.first; r != NULL; r = r->next) {
			r->late = true;
			vk_err_set(vk_request_err(r), VK_CANCELLED, "the store is being closed");
		}
	}
	vk_timer_free(f->kick);
	vk_timer_free(f->expiry);
	vk_history_free(f->history);
	f->ops->close(f->back);
	while (f->leases != NULL) {
		struct lease *l = f->leases;
		f->leases = l->next;
		free(l);
	}
	free(f);
}

static void front_close(struct vk_store *s)
{
	struct front *f = (struct front *)s;
	f->closing = true;
	if (f->busy == 0)
		front_free(f);
	else
		vk_timer_set(f->kick, 0);
}

static const struct vk_store_ops interface = {
	.range = front_range,
	.get = front_get,
	.txn = front_txn,
	.watch = front_watch,
	.unwatch = front_unwatch,
	.lease_grant = front_lease_grant,
	.lease_keep = front_lease_keep,
	.lease_revoke = front_lease_revoke,
	.close = front_close,
};

struct vk_store *vk_store_front_new(struct vk_loop *l, const struct vk_store_back *ops, void *b,
	uint64_t rev, const struct vk_store_faults *faults)
{
	struct front *f = vk_alloc(sizeof(*f));
	f->store.ops = &interface;
	f->ops = ops;
	f->back = b;
	f->rev = rev;
	f->history = vk_history_new(rev);
	f->faults = faults != NULL ? *faults : (struct vk_store_faults){0};
	f->random = (uint64_t)f->faults.seed * 2654435761u + 88172645463325252u;
	vk_requests_init(&f->queue);
	vk_requests_init(&f->done);
	f->kick = vk_timer_new(l, on_kick, f);
	f->expiry = vk_timer_new(l, on_expiry, f);
	return &f->store;
}

void vk_store_front_lease(struct vk_store *s, uint64_t id, int64_t ttl_ms)
{
	struct front *f = (struct front *)s;
	add_lease(f, id, ttl_ms);
	arm_expiry(f);
}
