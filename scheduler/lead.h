/*
 * Who may write. The leader holds /leader, under a lease where the store is shared; every transaction compares that key's
 * create_revision, so that one who lost it, however long it slept, writes nothing. Each leadership has an epoch, one more
 * than any before (/epoch): agents and routers refuse documents of a lower one than they have seen.
 *
 * An embedded store has one scheduler at a time (STATE/sched/lock): what it finds in /leader is of one before it.
 */
#ifndef SCHEDULER_LEAD_H
#define SCHEDULER_LEAD_H

#include "hub.h"

struct lead;
/* led: err NULL = the lead is ours, s->lead_rev stands; else it cannot be had. Called once. waits: why it takes
 * longer, each time that changes: the store does not answer, or another leads. floor: epochs are above it. */
typedef void lead_fn(void *arg, const struct vk_err *err);
struct lead *lead_start(struct sched *s, uint64_t floor, lead_fn *led, lead_fn *waits, void *arg);
const char *lead_other(const struct lead *l); /* the host that leads, while another does; or NULL */
uint64_t lead_epoch(const struct lead *l);    /* the highest one known of */
bool lead_between(const struct lead *l); /* the last leader has gone, and the next is being found */
void lead_resign(struct lead *l); /* at an orderly end: another need not wait for our lease */
void lead_free(struct lead *l);

/* What a transaction compares. */
struct vk_cmp lead_fence(const struct sched *s);
/* A write failed because the store does not answer: until it does, writes are refused at once; then this process ends and
 * reads anew, for what came of that write is not known. */
void lead_lost_store(struct lead *l, const struct vk_err *err);
void lead_hold(
	struct lead *l, const char *why); /* the same by intent, until the end of the process */
/* Why nothing can be written now, or NULL; while another leads: why the store does not answer us. */
const struct vk_err *lead_away(const struct lead *l);
/* UNAVAILABLE, in a person's words, while nothing can be written. */
int lead_check(const struct lead *l, struct vk_err *err);
/* Ends the process: what is true is only in the store now, the next start reads it. */
void lead_give_up(const char *why) __attribute__((noreturn));

/* GET /v1/cluster: {"store", "leader": {"host", "epoch", "since_ms"}, "endpoints": [..], "members": [..] where viking runs the etcd, "away": TEXT|null}. New reference. */
json_t *lead_json(const struct sched *s);

#endif
