/*
 * The members of the etcd that viking runs itself: one with one or two hosts, three from three on, five from five on: the hosts
 * that have been in the cluster longest. Each host's scheduler looks every few seconds and takes the one next step that
 * is its own; etcd itself serialises them: a second learner, or a change without a healthy majority, is refused.
 *
 *	wanted, not in etcd's list      it adds itself, as a learner: etcd goes on without it until it has everything
 *	in the list, runs no etcd yet   it writes STATE/sched/etcd-cluster and ends; vikingd starts its etcd, then us
 *	has caught up                   it makes itself a voter
 *	at another address than ours    it moves there; of a machine that had our name, it goes
 *	a member's host was removed     who leads takes it out of the list
 *
 * All members are told to the store as endpoints at once, and kept in STATE/sched/etcd-endpoints for the next start.
 */
#ifndef SCHEDULER_MEMBERS_H
#define SCHEDULER_MEMBERS_H

#include "hub.h"

struct members *members_new(struct sched *s); /* does nothing when the etcd is somebody else's */
void members_free(struct members *m);

/* ---- pure ---- */

enum members_step {
	MEMBERS_NOTHING,
	MEMBERS_ADD,     /* ourselves, as a learner */
	MEMBERS_RUN,     /* our etcd */
	MEMBERS_PROMOTE, /* ourselves */
	MEMBERS_MOVE,    /* ourselves, to our address of now */
	MEMBERS_REMOVE,  /* one whose host is gone */
};
struct members_view {
	const struct state *st;  /* its hosts */
	const json_t *list;      /* etcd's "members" */
	const char *name, *peer; /* ours; "https://10.0.0.1:2380" */
	bool leading, runs;      /* our scheduler leads; our etcd is set to run */
};
/* *ret_id: of the member meant, borrowed; not for ADD. */
enum members_step members_next(const struct members_view *v, const char **ret_id);
/* Shall the host run a member? */
bool members_wanted(const struct state *st, const char *host);
/* "h1=https://10.0.0.1:2380,h2=..." with `name` for the one at `peer`; the caller's. NULL: a name is missing. */
char *members_cluster(const json_t *list, const char *name, const char *peer);
/* Of those that serve, with commas between; the caller's. */
char *members_endpoints(const json_t *list);
/* For people: [{"name", "address", "state": "voter"|"learner"|"starting"}]. New reference. */
json_t *members_shown(const json_t *list);

#endif
