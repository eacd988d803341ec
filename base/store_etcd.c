/*
 * The store in etcd: operations. What changes something runs alone, what only reads runs side by side, in the order of the
 * submits; lease_keep waits for nothing.
 *
 * Outcomes. Every change carries the guard (store_etcd_wire.h), so that it can be sent again until an answer comes: the
 * first copy that passes changes the guard, which stops all others, also those that a member still has under way. After
 * an outcome that stayed unknown the guard tells at the next change whether it was committed: the guard's value is then
 * a nonce of ours that no known transaction left there.
 */
#include "store_etcd.h"

#include <stdlib.h>
#include <string.h>
#include <viking/id.h>
#include <viking/mem.h>
#include <viking/str.h>

#define PAGE           500
#define PAGE_SHRINKS   8 /* by as much when a page is over the limit of an answer */
#define GUARD_TRIES    16 /* of a transaction whose guard another client of our name keeps changing */
#define CLOSE_MS       3000
#define INSTANCE_BYTES 8

struct etcd {
	struct vk_store store;
	struct vk_etcd_http *http;
	struct vk_etcd_watches *watches;
	char *prefix, *guard;
	char instance[INSTANCE_BYTES * 2 + 1]; /* of this open store: begins its nonces */
	uint64_t guard_rev, seq;
	struct vk_requests waiting, refused;
	unsigned reading, changing;
	struct vk_timer *kick;
	unsigned busy;
	bool closing;
};

struct run {
	struct etcd *e;
	struct vk_request *r;
	char nonce[64];
	unsigned guard_tries;
	size_t page;
	uint64_t page_rev;
};

static void store_free(struct etcd *e);
static void begin(struct etcd *e, struct vk_request *r);

/* ---- order ---- */

static bool changes(const struct vk_request *r)
{
	return r->kind == VK_REQ_TXN || r->kind == VK_REQ_GRANT || r->kind == VK_REQ_REVOKE;
}

static void pump(struct etcd *e)
{
	for (struct vk_request *r; (r = e->waiting.first) != NULL;) {
		if (e->changing > 0 || (changes(r) && e->reading > 0))
			return;
		begin(e, vk_requests_remove(&e->waiting, 0));
	}
}

static void submit(struct etcd *e, struct vk_request *r)
{
	if (e->closing)
		vk_err_set(vk_request_err(r), VK_CANCELLED, "the store is being closed");
	else if (r->kind == VK_REQ_TXN)
		vk_request_check(r);
	vk_requests_add(r->err != NULL ? &e->refused : &e->waiting, r);
	vk_timer_set(e->kick, 0);
}

void vk_store_etcd_enter(struct vk_store *s)
{
	((struct etcd *)s)->busy++;
}

void vk_store_etcd_leave(struct vk_store *s)
{
	((struct etcd *)s)->busy--;
}

static void hand_back(struct etcd *e, struct vk_request *r)
{
	e->busy++;
	vk_request_complete(r);
	e->busy--;
	vk_request_free(r);
}

static void end_run(struct run *run, const struct vk_err *err)
{
	struct etcd *e = run->e;
	if (err->code != 0) {
		*vk_request_err(run->r) = *err;
		vk_rows_release(&run->r->rows);
	}
	if (changes(run->r))
		e->changing--;
	else if (run->r->kind != VK_REQ_KEEP)
		e->reading--;
	hand_back(e, run->r);
	free(run);
	pump(e);
}

static void on_kick(void *arg)
{
	struct etcd *e = arg;
	for (struct vk_request *r; (r = e->refused.first) != NULL;) {
		vk_requests_remove(&e->refused, 0);
		hand_back(e, r);
	}
	pump(e);
	if (e->closing)
		store_free(e);
}

/* ---- reading ---- */

static void ask_page(struct run *run);

static void got_page(void *arg, const struct vk_err *err, const json_t *answer, unsigned sent)
{
	struct run *run = arg;
	struct vk_request *r = run->r;
	struct vk_err bad = *err;
	struct vk_etcd_page page = {0};
	(void)sent;
	if (err->code == VK_LIMIT && run->page > 1) {
		run->page = run->page > PAGE_SHRINKS ? run->page / PAGE_SHRINKS : 1;
		ask_page(run);
		return;
	}
	if (err->code == VK_CONFLICT) { /* the revision of the first page has been compacted */
		run->page_rev = 0;
		vk_rows_release(&r->rows);
		ask_page(run);
		return;
	}
	if (bad.code == 0)
		vk_etcd_range_read(run->e->prefix, answer, &r->rows, &page, &bad);
	if (bad.code == 0 && run->page_rev == 0)
		run->page_rev = page.rev;
	if (bad.code == 0 && page.more && r->rows.n > 0) {
		ask_page(run);
		return;
	}
	r->rev = run->page_rev;
	end_run(run, &bad);
}

static void ask_page(struct run *run)
{
	const struct vk_rows *rows = &run->r->rows;
	bool below = run->r->kind == VK_REQ_RANGE;
	const struct vk_etcd_range q = {.prefix = run->e->prefix,
		.key = run->r->key,
		.below = below,
		.after = below && rows->n > 0 ? rows->v[rows->n - 1].key : NULL,
		.limit = run->page,
		.rev = run->page_rev};
	vk_etcd_call(run->e->http, "/v3/kv/range", vk_etcd_range_body(&q), got_page, run);
}

/* ---- transactions ---- */

static void send_txn(struct run *run);

/* A compare did not hold: one of the caller's, or that of the guard. True: the answer stands. */
static bool guard_says(struct run *run, const struct vk_etcd_txn_answer *a)
{
	struct etcd *e = run->e;
	run->r->rev = a->rev;
	if (run->r->no == 0 || a->guard_rev == e->guard_rev)
		return true;
	e->guard_rev = a->guard_rev;
	if (vk_streq(a->guard_value, run->nonce)) { /* an earlier copy of this one */
		run->r->committed = true;
		run->r->rev = a->guard_rev;
		return true;
	}
	/* one of ours whose outcome was unknown: what the caller knows of the store is not true */
	return vk_starts(a->guard_value, e->instance);
}

static void got_txn(void *arg, const struct vk_err *err, const json_t *answer, unsigned sent)
{
	struct run *run = arg;
	struct vk_err bad = *err;
	struct vk_etcd_txn_answer a = {0};
	(void)sent;
	if (bad.code == 0)
		vk_etcd_txn_read(answer, &a, &bad);
	if (bad.code == 0 && a.succeeded) {
		run->r->committed = true;
		run->r->rev = a.rev;
		if (a.guarded)
			run->e->guard_rev = a.rev;
	} else if (bad.code == 0 && !guard_says(run, &a)) {
		if (++run->guard_tries < GUARD_TRIES) {
			send_txn(run);
			return;
		}
		vk_err_set(&bad, VK_UNAVAILABLE, "another client of etcd is also called %s",
			run->e->guard);
	}
	end_run(run, &bad);
}

static void send_txn(struct run *run)
{
	struct etcd *e = run->e;
	const struct vk_etcd_guard guard = {
		.key = e->guard, .rev = e->guard_rev, .nonce = run->nonce};
	vk_etcd_call(
		e->http, "/v3/kv/txn", vk_etcd_txn_body(e->prefix, run->r, &guard), got_txn, run);
}

/* ---- leases ---- */

/* The answer to a grant, a renewal or a revocation. A copy sent again finds its lease there, or gone, already. */
static void got_lease(void *arg, const struct vk_err *err, const json_t *answer, unsigned sent)
{
	struct run *run = arg;
	struct vk_err bad = *err;
	enum vk_request_kind kind = run->r->kind;
	bool there = kind == VK_REQ_GRANT && bad.code == VK_CONFLICT && sent > 1;
	bool gone = kind == VK_REQ_REVOKE && bad.code == VK_NOTFOUND && sent > 1;
	uint64_t ttl = 0;
	if (there || gone)
		bad = (struct vk_err){0};
	if (bad.code == 0 && kind == VK_REQ_KEEP)
		vk_etcd_number(json_object_get(answer, "result"), "TTL", &ttl, &bad);
	if (bad.code == 0 && kind == VK_REQ_KEEP && ttl == 0)
		vk_err_set(&bad, VK_NOTFOUND, "no such lease");
	end_run(run, &bad);
}

static json_t *lease_id(uint64_t lease)
{
	return json_pack("{s:I}", "ID", (json_int_t)lease);
}

static void send_grant(struct run *run)
{
	vk_autofree char *hex = vk_alloc(15);
	vk_random_hex(
		7, hex); /* below 2^53 after the cut: exact as a JSON number in every reader */
	uint64_t id = 0;
	for (const char *p = hex; *p != '\0'; p++)
		id = id * 16 + (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	run->r->lease = (id & 0x1fffffffffffff) | 1;
	json_t *body = lease_id(run->r->lease);
	json_object_set_new(body, "TTL", json_integer((run->r->ttl_ms + 999) / 1000));
	vk_etcd_call(run->e->http, "/v3/lease/grant", body, got_lease, run);
}

static void begin(struct etcd *e, struct vk_request *r)
{
	struct run *run = vk_alloc(sizeof(*run));
	*run = (struct run){.e = e, .r = r, .page = PAGE};
	if (changes(r))
		e->changing++;
	else if (r->kind != VK_REQ_KEEP)
		e->reading++;
	switch (r->kind) {
	case VK_REQ_RANGE:
	case VK_REQ_GET:
		ask_page(run);
		return;
	case VK_REQ_TXN:
		snprintf(run->nonce, sizeof(run->nonce), "%s-%llu", e->instance,
			(unsigned long long)++e->seq);
		send_txn(run);
		return;
	case VK_REQ_GRANT:
		send_grant(run);
		return;
	case VK_REQ_KEEP:
		vk_etcd_call(e->http, "/v3/lease/keepalive", lease_id(r->lease), got_lease, run);
		return;
	case VK_REQ_REVOKE:
	case VK_REQ_EXPIRE: /* etcd's own affair */
		vk_etcd_call(e->http, "/v3/lease/revoke", lease_id(r->lease), got_lease, run);
		return;
	}
}

/* ---- the interface ---- */

static void submit_read(struct vk_store *s, enum vk_request_kind kind, const char *key,
	vk_store_range_fn *fn, void *arg)
{
	struct vk_request *r = vk_request_new(kind);
	r->key = vk_strdup(key);
	r->range_fn = fn;
	r->arg = arg;
	submit((struct etcd *)s, r);
}

static void etcd_range(struct vk_store *s, const char *prefix, vk_store_range_fn *fn, void *arg)
{
	submit_read(s, VK_REQ_RANGE, prefix, fn, arg);
}

static void etcd_get(struct vk_store *s, const char *key, vk_store_range_fn *fn, void *arg)
{
	submit_read(s, VK_REQ_GET, key, fn, arg);
}

static void etcd_txn(struct vk_store *s, const struct vk_cmp *cmps, size_t nc,
	const struct vk_op *ops, size_t no, vk_store_txn_fn *fn, void *arg)
{
	struct vk_request *r = vk_request_new(VK_REQ_TXN);
	vk_request_copy(r, cmps, nc, ops, no);
	r->txn_fn = fn;
	r->arg = arg;
	submit((struct etcd *)s, r);
}

static uint64_t etcd_watch(
	struct vk_store *s, const char *prefix, uint64_t from_rev, vk_store_watch_fn *fn, void *arg)
{
	return vk_etcd_watches_add(((struct etcd *)s)->watches, prefix, from_rev, fn, arg);
}

static void etcd_unwatch(struct vk_store *s, uint64_t id)
{
	vk_etcd_watches_remove(((struct etcd *)s)->watches, id);
}

static struct vk_request *lease_request(
	enum vk_request_kind kind, uint64_t lease, int64_t ttl_ms, vk_store_lease_fn *fn, void *arg)
{
	struct vk_request *r = vk_request_new(kind);
	r->lease = lease;
	r->ttl_ms = ttl_ms;
	r->lease_fn = fn;
	r->arg = arg;
	return r;
}

static void etcd_lease_grant(struct vk_store *s, int64_t ttl_ms, vk_store_lease_fn *fn, void *arg)
{
	submit((struct etcd *)s, lease_request(VK_REQ_GRANT, 0, ttl_ms, fn, arg));
}

static void etcd_lease_keep(struct vk_store *s, uint64_t lease, vk_store_lease_fn *fn, void *arg)
{
	struct etcd *e = (struct etcd *)s;
	struct vk_request *r = lease_request(VK_REQ_KEEP, lease, 0, fn, arg);
	if (e->closing)
		submit(e, r);
	else
		begin(e, r);
}

static void etcd_lease_revoke(struct vk_store *s, uint64_t lease, vk_store_lease_fn *fn, void *arg)
{
	submit((struct etcd *)s, lease_request(VK_REQ_REVOKE, lease, 0, fn, arg));
}

/* What was submitted is finished or, with etcd away, fails; what completions submit meanwhile is refused. */
static void store_free(struct etcd *e)
{
	int64_t end = vk_mono_ms() + CLOSE_MS;
	while (e->waiting.first != NULL || e->reading + e->changing > 0) {
		pump(e);
		int64_t left = end - vk_mono_ms();
		vk_etcd_http_drain(e->http, left > 0 ? left : 0);
	}
	for (struct vk_request *r; (r = e->refused.first) != NULL;) {
		vk_requests_remove(&e->refused, 0);
		hand_back(e, r);
	}
	vk_etcd_watches_end(e->watches);
	vk_etcd_http_drain(e->http, 0); /* renewals and checks under way */
	vk_etcd_http_free(e->http);
	vk_etcd_watches_free(e->watches);
	vk_timer_free(e->kick);
	free(e->prefix);
	free(e->guard);
	free(e);
}

static void etcd_close(struct vk_store *s)
{
	struct etcd *e = (struct etcd *)s;
	e->closing = true;
	if (e->busy == 0)
		store_free(e);
	else
		vk_timer_set(e->kick, 0);
}

static const struct vk_store_ops interface = {
	.range = etcd_range,
	.get = etcd_get,
	.txn = etcd_txn,
	.watch = etcd_watch,
	.unwatch = etcd_unwatch,
	.lease_grant = etcd_lease_grant,
	.lease_keep = etcd_lease_keep,
	.lease_revoke = etcd_lease_revoke,
	.close = etcd_close,
};

void vk_store_etcd_call(
	struct vk_store *s, const char *path, json_t *take_body, vk_store_etcd_fn *fn, void *arg)
{
	vk_etcd_call(((struct etcd *)s)->http, path, take_body, fn, arg);
}

void vk_store_etcd_know(struct vk_store *s, const char *endpoints)
{
	vk_etcd_http_know(((struct etcd *)s)->http, endpoints);
}

int vk_store_etcd_open(struct vk_loop *l, const struct vk_store_etcd_opts *o, struct vk_store **ret,
	struct vk_err *err)
{
	struct vk_etcd_http *http;
	int rc = vk_etcd_http_new(l, o, &http, err);
	if (rc != 0)
		return rc;
	struct etcd *e = vk_alloc(sizeof(*e));
	e->store = (struct vk_store){.ops = &interface, .shared = true};
	e->http = http;
	e->prefix = vk_strdup(o->prefix != NULL ? o->prefix : "");
	e->guard = vk_asprintf("~txn/%s", o->client);
	vk_random_hex(INSTANCE_BYTES, e->instance);
	vk_requests_init(&e->waiting);
	vk_requests_init(&e->refused);
	e->kick = vk_timer_new(l, on_kick, e);
	e->watches = vk_etcd_watches_new(l, http, &e->store, e->prefix, o->check_ms);
	*ret = &e->store;
	return 0;
}
