/*
 * Receipts: how a release did in its first time (rollout.watch, 30 s) against the one before it. The router counts
 * (router/tally.h) and tells its totals; they stay in memory, and what is stored is in the release's row:
 *
 *	open	{"until_ms", "watch_ms", "error_permille", "min_requests"}: the last two where auto_rollback is wanted
 *	closed	{"seconds", "new": FIGURES, "old": FIGURES or null, "acted": "abort"|"rollback"}
 *	FIGURES	{"release", "requests", "errors", "p95_ms": null without an answer, "earlier": true}
 *
 * The old release's figures are of the same time where it got requests too (a canary); else, as "earlier", those of its own
 * first time. auto_rollback acts once, as soon as the rate is over the limit with enough requests: it aborts the canary,
 * or goes back to the release before; what it made is not watched for another.
 */
#ifndef SCHEDULER_RECEIPTS_H
#define SCHEDULER_RECEIPTS_H

#include "hub.h"
#include "txn.h"

struct receipts *receipts_new(struct sched *s);
void receipts_free(struct receipts *x);
/* The receipt a release begins with; NULL: nothing routed is new in it. doc may be NULL; act: may auto_rollback act? */
json_t *receipt_open(const struct release *r, const json_t *doc, bool act);
/* The release of a stack that is being watched, or NULL. */
struct release *receipts_watched(const struct stack *sk);
/* As it is stored, an open one with the figures so far; new reference, or NULL. */
json_t *receipts_show(struct sched *s, const struct stack *sk, const struct release *r);
/* As it would be closed now; new reference, or NULL. */
json_t *receipts_final(struct sched *s, const struct stack *sk, const struct release *r);
/* Closes the serving release's receipt in t: another takes over. */
void receipts_end(struct sched *s, struct txn *t, const struct stack *sk);
void receipts_look(struct sched *s); /* after changes: closes what is due, arms the timer */
/* The totals of a host's router ("" = ours). */
int receipts_tally(struct sched *s, const char *host, const json_t *body, struct vk_err *err);

#endif
