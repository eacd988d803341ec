/*
 * The front half of the embedded stores: queue, batches, transactions, leases, watches, completions. A
 * back end gives it blocking storage of rows; the front makes the asynchronous vk_store of it. Requests
 * submitted in one pass of the loop are executed in order in the next one, inside one begin/commit.
 */
#ifndef VIKING_BASE_STORE_FRONT_H
#define VIKING_BASE_STORE_FRONT_H

#include <viking/store.h>

struct vk_row {
	const char *key;
	const void *value;
	size_t len;
	uint64_t create_rev, mod_rev, lease;
};
typedef int vk_row_fn(void *arg, const struct vk_row *row, struct vk_err *err);

/* All return 0 or an error; after one the batch is rolled back. b is the back end's own. */
struct vk_store_back {
	int (*begin)(void *b, struct vk_err *err);
	int (*commit)(void *b, struct vk_err *err);
	void (*rollback)(void *b);
	/* The key, or with prefix all keys that start with it, in the order of their bytes. fn only reads. */
	int (*scan)(void *b, const char *key, bool prefix, vk_row_fn *fn, void *arg,
		struct vk_err *err);
	int (*scan_lease)(void *b, uint64_t lease, vk_row_fn *fn, void *arg, struct vk_err *err);
	int (*put)(void *b, const struct vk_row *row, struct vk_err *err);
	int (*del)(void *b, const char *key, struct vk_err *err);
	int (*save_rev)(void *b, uint64_t rev, struct vk_err *err);
	int (*save_lease)(
		void *b, uint64_t id, int64_t ttl_ms, struct vk_err *err); /* < 0 deletes */
	void (*close)(void *b);
};

/* Takes b over. rev: the newest revision in b. faults may be NULL. */
struct vk_store *vk_store_front_new(struct vk_loop *l, const struct vk_store_back *ops, void *b,
	uint64_t rev, const struct vk_store_faults *faults);
/* A lease found in b at open: its time begins anew. */
void vk_store_front_lease(struct vk_store *s, uint64_t id, int64_t ttl_ms);

#endif
