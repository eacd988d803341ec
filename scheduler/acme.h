/*
 * Automatic certificates (RFC 8555): which domains are to have one, when it is ordered, and what came of it. The certs process
 * does the talking; here is one row per domain, so that there is one order for a name at a time, whatever restarts. A
 * certificate that is there stays in use until another is, in one transaction, in its place.
 *
 * A domain is to have one if its manifest says tls: auto, certs:auto named it, or acme.auto is set. It is due when no
 * certificate is shown for it, or the one that is nears its end (acme_due.h) - also one that was added by hand.
 */
#ifndef SCHEDULER_ACME_H
#define SCHEDULER_ACME_H

#include "txn.h"

struct acme *acme_new(struct sched *s);
void acme_free(struct acme *a);
void acme_touch(struct sched *s); /* something may be due now */

/* Orders under way, into the list of the certs process (certwork.h). */
void acme_jobs(struct sched *s, json_t *jobs);
/* What came of one: *ret is to be committed. VK_NOTFOUND: there is no such order any more. */
int acme_answer(struct sched *s, const char *order, const json_t *body, struct txn **ret,
	struct vk_err *err);
/* The row of an order under way, or NULL. */
const struct acme_row *acme_order(const struct sched *s, const char *order);
/* {"a.com": {TOKEN: ANSWER}} for the router. New reference. */
json_t *acme_challenges(const struct state *st);

/* {"a.com": true}: the domains of a stack that are to have one. claimed: as for domains_among. New reference. */
json_t *acme_wanted(const struct sched *s, const struct stack *sk, json_t **claimed);
/* Why nothing can be ordered for a domain: a setting that is missing. 0 = it can. */
int acme_possible(const struct sched *s, const char *domain, struct vk_err *err);
/* [{"domain", "state": "ok"|"ordering"|"due"|"failed"|"blocked", "due_ms", "failures", "error", "hint"}]. New reference. */
json_t *acme_list(const struct sched *s, const struct stack *sk);
void acme_doctor(struct sched *s, json_t *checks);

#endif
