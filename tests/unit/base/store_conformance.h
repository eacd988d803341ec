/*
 * What every back end of the store must do. A back end's test file names itself by a struct with open and
 * (for persistent ones) reopen, and instantiates CONFORMANCE_CASES. The blocking helpers turn the loop
 * until the completion comes and also serve the back ends' own tests.
 */
#ifndef VIKING_TESTS_STORE_CONFORMANCE_H
#define VIKING_TESTS_STORE_CONFORMANCE_H

#include <viking/loop.h>
#include <viking/store.h>

struct fixture {
	struct vk_loop *loop;
	struct vk_store *store;
	void (*open)(struct fixture *f); /* sets store */
	/* Forgets events before rev; NULL: the store does so by itself within `history` transactions. */
	void (*compact)(struct fixture *f, uint64_t rev);
	int history;
	char dir[64];
	char path[96];
};

/* where: the directory for its temporary one. */
void fixture_init(struct fixture *f, const char *where, void (*open)(struct fixture *f));
void fixture_release(struct fixture *f);
void fixture_close(struct fixture *f);  /* closes the store only */
void fixture_settle(struct fixture *f); /* turns the loop until nothing is left to do */

/* Blocking forms; codes are those of the completion. Revisions of all that follows count from the store's at fixture_init:
 * etcd's begin at 1. */
uint64_t store_rev(uint64_t rev); /* such a one as the store's own */
struct got {
	int code;
	char value[256]; /* the beginning */
	size_t n, len;
	uint64_t rev, create_rev, mod_rev;
	char keys[512];
};
struct got store_get(struct fixture *f, const char *key);
struct got store_range(struct fixture *f, const char *prefix); /* keys joined by blanks */
struct done {
	int code;
	bool committed;
	uint64_t rev;
	char msg[256];
};
struct done store_txn(struct fixture *f, const struct vk_cmp *cmps, size_t nc,
	const struct vk_op *ops, size_t no);
struct done store_put(struct fixture *f, const char *key, const char *value);
struct done store_del(struct fixture *f, const char *key);
int store_grant(struct fixture *f, int64_t ttl_ms, uint64_t *ret);
int store_keep(struct fixture *f, uint64_t lease);
int store_revoke(struct fixture *f, uint64_t lease);

/* The completions behind the blocking forms, for operations that are to overlap. */
struct waiting {
	bool done;
	struct got got;
	struct done txn;
	int code;
	uint64_t lease;
};
void got_fn(void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev);
void txn_fn(void *arg, const struct vk_err *err, bool committed, uint64_t rev);
void lease_fn(void *arg, const struct vk_err *err, uint64_t lease);

/* Records what a watch hands over: "+key=value@rev " and "-key@rev ", one "| " after each call. */
struct watched {
	char text[4096];
	unsigned calls;
	bool compacted;
	uint64_t last_rev;
};
void watched_fn(void *arg, const struct vk_event *ev, size_t n, uint64_t rev, bool compacted);
void wait_text(struct fixture *f, const struct watched *w, const char *text);
void wait_until(struct fixture *f, const bool *flag);

/* clang-format off */
#define CONFORMANCE_CASES(X) \
	X(empty) \
	X(put_get_del) \
	X(revisions) \
	X(range_is_ordered_and_bounded) \
	X(prefix_bytes) \
	X(values_are_bytes) \
	X(compare_mod_rev) \
	X(compare_create_rev) \
	X(compare_several) \
	X(delete_prefix) \
	X(nothing_changed) \
	X(key_twice) \
	X(empty_key) \
	X(completion_is_never_inside_submit) \
	X(submits_copy) \
	X(order_of_batch) \
	X(completion_may_submit) \
	X(watch_sees_transactions_whole) \
	X(watch_from_revision) \
	X(watch_compacted) \
	X(watch_unwatch_inside) \
	X(watch_prefix_only) \
	X(lease_expires) \
	X(lease_kept) \
	X(lease_revoked) \
	X(lease_unknown) \
	X(lease_detached) \
	X(close_finishes) \
	X(close_inside_completion) \
	X(counter_race) \
	X(random_against_model)
/* clang-format on */
#define DECLARE(name) void conform_##name(struct fixture *f);
CONFORMANCE_CASES(DECLARE)

#endif
