/*
 * The scheduler's parts, tied together: one per process. Parts know each other only through here; what each
 * may do is in its own header. Everything runs on one loop.
 */
#ifndef SCHEDULER_HUB_H
#define SCHEDULER_HUB_H

#include <viking/config.h>
#include <viking/crypt.h>
#include <viking/httpd.h>
#include <viking/loop.h>
#include <viking/store.h>

#include "audit.h"
#include "events.h"
#include "state.h"
#include "subnet.h"

struct sched {
	const struct vk_config *cfg;
	struct vk_loop *loop;
	struct vk_store *store, *classic_store; /* the second may be NULL: classic.h */
	struct vk_httpd *httpd;
	struct vk_secret_key secret;
	struct state st;
	struct subnet_range range;
	struct lead *lead;     /* lead.h */
	struct follow *follow; /* follow.h; NULL: the store is not shared */
	uint64_t loaded_rev;   /* what memory had when it was read */
	uint64_t lead_rev;     /* create_rev of /leader: every transaction compares it */
	char installation[33]; /* hex; who leads is told apart by it */
	struct events *events;
	struct audit *audit;
	struct sessions *sessions; /* sessions.h */
	struct builds *builds;     /* builds.h */
	struct hosts *hosts;       /* hosts.h: what agents want and say */
	struct feed *front;        /* front.h: the other hosts, for viking-front */
	struct forward *forwards;  /* front.h: requests that other hosts answer now */
	struct router *router;     /* router.h: what router and web want and say */
	struct netfeed *netfeed;   /* netfeed.h: what resolver, link proxy and firewall follow */
	struct acme *acme;         /* acme.h: certificates that are ordered */
	struct drains *drains;     /* drain.h */
	struct receipts *receipts; /* receipts.h */
	struct moves *moves;       /* moves.h */
	struct copies *copies;     /* copies.h */
	struct classic *classic;   /* classic.h */
	struct certs *certs;       /* certs.h */
	struct certwork *certwork; /* certwork.h: what the certs process is to do */
	struct metrics *metrics;   /* metrics.h; NULL before the first figure */
	/* of a store in etcd (etcd.c), else NULL: not every scheduler has libcurl. vk_store_etcd_call; more endpoints */
	void (*etcd_call)(struct vk_store *s, const char *path, json_t *take_body,
		vk_store_etcd_fn *fn, void *arg);
	void (*etcd_know)(struct sched *s, const char *endpoints);
	char holder[VK_NAME_MAX +
		1];           /* as vikingd was told; "" = not yet, or no cluster (holder.h) */
	json_t *etcd_members; /* members.h, for people; NULL: not known, or not viking's */
	struct vk_timer *refresh;
	bool reserved;     /* reserve.h */
	json_t *restoring; /* keys of a restore whose last batch is still to come, or NULL */
	char libssh
		[64]; /* installed version of the library, "" = not known; read before the confinement */
	char stack_image
		[128]; /* id of the stack image packs build on, as the builder said; "" = not known */
	size_t commits;        /* transactions under way */
	struct txn *under_way; /* those transactions, newest first */
	int64_t started_ms;
};

/* Wanted state may have changed: agents' and router's documents are made anew at the end of this pass of the loop and all
 * running operations look again. */
void hub_touch(struct sched *s);
/* At once, for callers that need to know the revision that was sent. */
void hub_refresh(struct sched *s);
/* Definition of a node as release `born` has it, secrets unsealed; borrowed, kept with the release. */
const json_t *hub_def(struct sched *s, const struct stack *sk, unsigned born, const char *node);
/* {"K": sealed} -> {"K": plain}; new reference. */
json_t *hub_unseal(struct sched *s, const json_t *sealed);
/* {"K": sealed} of the stack as it stands. */
json_t *hub_config(const struct stack *sk);
/* {"node:path": name} for volumes whose name does not follow from the stack's name (after a rename). */
json_t *hub_volume_names(const struct state *st, const struct stack *sk);
void hub_event(
	struct sched *s, const char *type, const char *stack, const char *what, const char *who);

#endif
