/*
 * Writes: a transaction gathers puts and deletes, is committed without blocking, and only then changes the state in memory
 * (state_apply) and calls back. Every one also compares /leader, so that a scheduler that lost its epoch writes nothing: it
 * ends itself. After an unknown outcome, too, the next start reads what is true: at once, or when a shared store answers again.
 */
#ifndef SCHEDULER_TXN_H
#define SCHEDULER_TXN_H

#include "hub.h"

struct txn;
struct txn *txn_new(struct sched *s);
void txn_put(struct txn *t, json_t *value, const char *key, ...)
	__attribute__((format(printf, 3, 4))); /* steals */
void txn_put_row(struct txn *t, const struct vk_field *fields, const void *row, const char *key,
	...) __attribute__((format(printf, 4, 5)));
void txn_del(struct txn *t, const char *key, ...) __attribute__((format(printf, 2, 3)));
/* err NULL = committed and applied. Never called from inside txn_commit. */
typedef void txn_fn(void *arg, const struct vk_err *err);
void txn_commit(struct txn *t, txn_fn *fn, void *arg); /* frees t; fn may be NULL */
void txn_free(struct txn *t);                          /* for one that is not committed */

/* Is there a put under prefix, not yet committed, that fn takes? For what must be unique before memory knows it. */
typedef bool txn_pending_fn(void *arg, const char *key, const json_t *value);
bool txn_pending(const struct sched *s, const char *prefix, txn_pending_fn *fn, void *arg);

/* Do t or those under way put or delete the key? *ret: the value of the newest, NULL = deleted. */
bool txn_latest(const struct txn *t, const char *key, const json_t **ret);

#endif
