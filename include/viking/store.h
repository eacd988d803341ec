/*
 * The store: one flat key space of small values with revisions, transactions with compares, watches and
 * leases; asynchronous, so that no back end ever blocks the scheduler's loop: every operation is submitted and its
 * completion is called later, from the loop, never from inside the submit. Back ends: SQLite (embedded),
 * etcd (many hosts), memory (tests, with faults). All pass tests/unit/base/store_conformance.
 *
 * Revisions: one counter for the whole store, +1 per committed transaction that changes something (in an etcd that others
 * use too, theirs count as well). A key has create_rev and mod_rev. Values are bytes (JSON in practice, each with a schema
 * version field "v"). Keys begin with '/'.
 */
#ifndef VIKING_STORE_H
#define VIKING_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/loop.h>

struct vk_store;

struct vk_kv {
	const char *key;
	const void *value;
	size_t len;
	uint64_t create_rev, mod_rev;
};

enum vk_cmp_target { VK_CMP_MOD_REV, VK_CMP_CREATE_REV }; /* rev 0 = the key does not exist */
struct vk_cmp {
	const char *key;
	enum vk_cmp_target target;
	uint64_t rev;
}; /* equality */
struct vk_op {
	const char *key;
	const void *value;
	size_t len;
	bool del;
	bool prefix;
	uint64_t lease;
};
/* del with prefix deletes every key that starts with key. A key named twice in one transaction: VK_INVALID.
 * A put without a lease takes the key out of the lease it had. */

/* Strings and bytes given to submit are copied. err->code 0 = success. kv arrays are borrowed for the call. */
typedef void vk_store_range_fn(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev);
/* committed false with err->code 0: a compare did not hold. err->code VK_TIMEOUT or VK_UNAVAILABLE: the
 * outcome is not known; a `shared` store finds it out by the next transaction that changes something: when that
 * one commits, the lost one never did and never will; had it committed, that one is refused as if a compare had failed. */
typedef void vk_store_txn_fn(void *arg, const struct vk_err *err, bool committed, uint64_t rev);
typedef void vk_store_lease_fn(void *arg, const struct vk_err *err, uint64_t lease);
struct vk_event {
	bool del;
	struct vk_kv kv;
};
/* Events of one transaction together, in revision order. compacted: events were lost and this watch is
 * over: list again and watch from the list's rev + 1. */
typedef void vk_store_watch_fn(
	void *arg, const struct vk_event *ev, size_t n, uint64_t rev, bool compacted);

struct vk_store_ops {
	void (*range)(struct vk_store *s, const char *prefix, vk_store_range_fn *fn, void *arg);
	void (*get)(struct vk_store *s, const char *key, vk_store_range_fn *fn,
		void *arg); /* n is 0 or 1 */
	void (*txn)(struct vk_store *s, const struct vk_cmp *cmps, size_t nc,
		const struct vk_op *ops, size_t no, vk_store_txn_fn *fn, void *arg);
	/* from_rev: the first revision wanted; 0 = what is committed from now on. */
	uint64_t (*watch)(struct vk_store *s, const char *prefix, uint64_t from_rev,
		vk_store_watch_fn *fn, void *arg);
	void (*unwatch)(struct vk_store *s, uint64_t id);
	void (*lease_grant)(struct vk_store *s, int64_t ttl_ms, vk_store_lease_fn *fn, void *arg);
	void (*lease_keep)(struct vk_store *s, uint64_t lease, vk_store_lease_fn *fn,
		void *arg); /* gone: VK_NOTFOUND */
	void (*lease_revoke)(struct vk_store *s, uint64_t lease, vk_store_lease_fn *fn, void *arg);
	void (*close)(struct vk_store *s); /* finishes what was submitted, then frees */
};
struct vk_store {
	const struct vk_store_ops *ops;
	bool shared; /* by several schedulers, over a network that may fail */
};

/* SQLite file: WAL, synchronous=FULL, one writer; integrity check at open, refusal of a newer schema. Commits that are
 * submitted in one pass of the loop share one fsync (group commit). */
int vk_store_sqlite_open(
	struct vk_loop *l, const char *path, struct vk_store **ret, struct vk_err *err);
/*
 * etcd 3.4 or later over its HTTP/JSON gateway (libcurl on the loop). A call is tried at one endpoint after the other until
 * its deadline; transactions are guarded so that this is safe (base/store_etcd_wire.h). Watches resume by revision and are
 * only believed as far as a check of the keys every half minute agrees; leases may end late: both are hints, writes compare.
 */
struct vk_store_etcd_opts {
	const char *endpoints; /* "http://a:2379,https://b:2379" */
	const char *ca, *cert,
		*key;       /* PEM files of the client, read once at open; NULL or "" = none */
	const char *prefix; /* of all keys, "/viking"; may be "" */
	const char *client; /* names this client's guard key; no two at a time have the same */
	int64_t timeout_ms, check_ms; /* of a call, of the check of a watch; 0 = 8 s, 30 s */
};
/* Does not connect. */
int vk_store_etcd_open(struct vk_loop *l, const struct vk_store_etcd_opts *o, struct vk_store **ret,
	struct vk_err *err);
/* A call to the cluster's API of that etcd ("/v3/cluster/member/list"), tried as any other, so it must bear being made twice;
 * steals the body. Not answered any more when the store is closed first. sent: how often it was. */
typedef void vk_store_etcd_fn(
	void *arg, const struct vk_err *err, const json_t *answer, unsigned sent);
void vk_store_etcd_call(
	struct vk_store *s, const char *path, json_t *take_body, vk_store_etcd_fn *fn, void *arg);
/* More endpoints for when those of now are silent, with commas between; what is none or known already is passed over. */
void vk_store_etcd_know(struct vk_store *s, const char *endpoints);
/* Memory, with faults for tests. */
struct vk_store_faults {
	unsigned seed;
	unsigned delay_passes_max; /* completions wait 0..n passes of the loop */
	bool reorder;              /* completions of independent operations in random order */
	unsigned fail_nth;         /* the n-th operation fails with VK_UNAVAILABLE; 0 = none */
	bool fail_after_commit;    /* the failing one has in fact been applied */
};
int vk_store_memory_open(struct vk_loop *l, const struct vk_store_faults *f, struct vk_store **ret,
	struct vk_err *err);

#endif
