/*
 * What goes over etcd's HTTP/JSON gateway (etcd 3.4, api/etcdserver/etcdserverpb/rpc.proto, proto3 JSON mapping): requests
 * as JSON, answers into rows and events. Pure: no I/O. Keys and values are base64, 64-bit numbers are text, and what is
 * zero, false or empty is left out of answers. The gateway ignores unknown fields, so a typo here would not fail: the
 * conformance suite runs against a real etcd.
 *
 * Keys of viking lie below a prefix of the cluster's key space; whatever else is there is never seen.
 */
#ifndef VIKING_BASE_STORE_ETCD_WIRE_H
#define VIKING_BASE_STORE_ETCD_WIRE_H

#include <viking/json.h>

#include "store_request.h"

struct vk_etcd_range {
	const char *prefix; /* of the key space */
	const char *key;
	bool below; /* all keys that start with key; "" = all keys of viking, which start with '/' */
	const char *after; /* only keys behind this one, or NULL */
	size_t limit;
	uint64_t rev; /* 0 = now */
	bool newest;  /* the last changed first, without values */
};
json_t *vk_etcd_range_body(const struct vk_etcd_range *q);
json_t *vk_etcd_watch_body(const char *prefix, const char *key, uint64_t from_rev);

/*
 * The guard makes a transaction safe to send again: one key that every transaction of a client changes, whose
 * mod_revision every one compares. Sent twice, at most one copy passes; and the answer to a failed compare
 * carries the guard, whose value names the transaction that changed it last.
 */
struct vk_etcd_guard {
	const char *key; /* without the prefix */
	uint64_t rev;
	const char *nonce;
};
json_t *vk_etcd_txn_body(
	const char *prefix, const struct vk_request *r, const struct vk_etcd_guard *g);

struct vk_etcd_txn_answer {
	bool succeeded;
	uint64_t rev;
	bool guarded; /* the guard was changed with it */
	/* not succeeded: the guard as it is */
	uint64_t guard_rev; /* 0 = not there */
	char guard_value[80];
};
int vk_etcd_txn_read(const json_t *answer, struct vk_etcd_txn_answer *ret, struct vk_err *err);

struct vk_etcd_page {
	uint64_t rev, count;
	bool more;
};
/* Adds to rows. */
int vk_etcd_range_read(const char *prefix, const json_t *answer, struct vk_rows *rows,
	struct vk_etcd_page *ret, struct vk_err *err);

/* One message of a watch. Events of one revision lie together, in the order of revisions. */
struct vk_etcd_message {
	bool created, canceled;
	uint64_t compact_rev; /* of a cancelled watch: 0 = cancelled for another reason */
	struct vk_rows rows;  /* of events; a deleted key has no value */
	bool *del;
};
/* An error the gateway puts into the stream is returned. */
int vk_etcd_message_read(
	const char *prefix, const json_t *line, struct vk_etcd_message *ret, struct vk_err *err);
void vk_etcd_message_release(struct vk_etcd_message *m);

/* The error of an answer with this HTTP status; body may be NULL. VK_UNAVAILABLE: worth another try. */
int vk_etcd_refusal(long status, const json_t *body, struct vk_err *err);
/* An unsigned number, as text or not; absent = 0. */
int vk_etcd_number(const json_t *obj, const char *name, uint64_t *ret, struct vk_err *err);

#endif
