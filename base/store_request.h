/* One submitted operation of an embedded store: its copied input, its result, and lists of them. */
#ifndef VIKING_BASE_STORE_REQUEST_H
#define VIKING_BASE_STORE_REQUEST_H

#include "store_front.h"

enum vk_request_kind {
	VK_REQ_RANGE,
	VK_REQ_GET,
	VK_REQ_TXN,
	VK_REQ_GRANT,
	VK_REQ_KEEP,
	VK_REQ_REVOKE,
	VK_REQ_EXPIRE
};

struct vk_rows {
	struct vk_kv *v; /* keys and values owned */
	size_t n, cap;
};
void vk_rows_add(struct vk_rows *rows, const struct vk_row *row);
void vk_rows_release(struct vk_rows *rows);

struct vk_request {
	struct vk_request *next;
	enum vk_request_kind kind;
	char *key;
	struct vk_cmp *cmps; /* owned, strings and bytes too */
	size_t nc;
	struct vk_op *ops;
	size_t no;
	uint64_t lease;
	int64_t ttl_ms;
	bool late;                   /* submitted while the store closes: not executed */
	vk_store_range_fn *range_fn; /* one of the three, or none */
	vk_store_txn_fn *txn_fn;
	vk_store_lease_fn *lease_fn;
	void *arg;
	/* result */
	struct vk_err *err; /* NULL = success; apart, for it is larger than all the rest */
	bool committed;
	uint64_t rev;
	struct vk_rows rows;
	unsigned delay; /* passes of the loop until it is handed back */
};

struct vk_request *vk_request_new(enum vk_request_kind kind);
void vk_request_free(struct vk_request *r);
void vk_request_copy(struct vk_request *r, const struct vk_cmp *cmps, size_t nc,
	const struct vk_op *ops, size_t no);
/* Makes room for the error of a request that fails. */
struct vk_err *vk_request_err(struct vk_request *r);
/* False, with r->err set, for a transaction no back end takes (a key changed twice, an empty key). */
bool vk_request_check(struct vk_request *r);
void vk_request_complete(struct vk_request *r); /* calls its function */

struct vk_requests {
	struct vk_request *first, **tail;
};
void vk_requests_init(struct vk_requests *l);
void vk_requests_add(struct vk_requests *l, struct vk_request *r);
struct vk_requests vk_requests_take(
	struct vk_requests *l); /* all of it; valid until first is changed */
void vk_requests_append(struct vk_requests *l, struct vk_requests *more);
struct vk_request *vk_requests_remove(struct vk_requests *l, size_t index);

#endif
