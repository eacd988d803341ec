/*
 * A scheduler of a shared store while another leads: it knows the cluster's hosts from the store, tells them to this host's
 * viking-front, and hands every request of this host to the leader's scheduler (front.h), as whoever asked. A request that
 * came from another host is never handed on: two that disagree about who leads would send it to and fro. A new host's request to
 * join is: its invitation may be older than the leadership.
 */
#ifndef SCHEDULER_STANDBY_H
#define SCHEDULER_STANDBY_H

#include "hub.h"

struct standby;
struct standby *standby_new(struct sched *s); /* fills s->front */
/* why: what is answered to whom nobody can be asked for; borrowed for the call. */
void standby_request(struct standby *b, struct vk_req *r, const struct vk_err *why);
/* Who leads has changed, or nobody does: what was handed on ends, its clients come back. */
void standby_turn(struct standby *b, const struct vk_err *why);
void standby_end(
	struct standby *b); /* this one leads now: s->front is its own to make; b may be NULL */
void standby_free(struct standby *b); /* not before the store is closed */

#endif
