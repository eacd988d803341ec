/*
 * What the planner knows: hosts, labels, services, groups, constraints and where each replica runs. Ids are indexes in the
 * order things were told and never decide anything; what decides is a host's rank by name, and names.
 */
#ifndef SCHEDULER_DOWDING_MODEL_H
#define SCHEDULER_DOWDING_MODEL_H

#include <viking/mem.h>

#include "dowding.h"

#define DOW_NOWHERE (-1)
#define DOW_NO_ID   UINT32_MAX
/* place[] of a replica that lost its host: where it was. */
#define DOW_LOST(host)  (-2 - (int32_t)(host))
#define DOW_WAS(place)  ((uint32_t)(-2 - (place)))
#define DOW_IS_LOST(pl) ((pl) <= -2)

struct dow_name { /* an entry of a tree by name */
	char *name;
	uint32_t id;
};

/* The part of a host that a search reads. Shares are Q20 of what the host has: ((used + demand) >> shift) * inverse >> 32. */
struct dow_load {
	uint64_t used[DOW_DIMS], cap[DOW_DIMS], inverse[DOW_DIMS];
	uint32_t rank, zone;
	uint8_t shift[DOW_DIMS];
	uint8_t labels; /* how many, at most 255 */
	bool down, draining;
};

/*
 * Sixty-four hosts at a glance, for a search that must not look at each closely: shares in Q14, rounded down, and how many
 * times the host goes into the largest, in Q14 (at most 65535). From these comes a bound below the score's share.
 */
struct dow_block {
	uint16_t share[DOW_DIMS][64], smaller[DOW_DIMS][64];
};

struct dow_label {
	char *name;
	uint32_t *hosts;
	size_t n, cap;
};

/* Hosts that services may use: any of these labels, and any of these hosts. Shared by content. */
struct dow_constraint {
	char *key;
	struct vk_strv roles, hosts; /* sorted */
	uint64_t *bits;              /* by host id; up hosts only */
	uint32_t *ids;
	size_t n;
	uint32_t id;
	bool stale;
};

struct dow_svc {
	char *name;
	struct dow_constraint *constraint;
	int32_t *place; /* replica n at n - 1: host id, DOW_NOWHERE or DOW_LOST */
	uint64_t demand[DOW_DIMS];
	uint32_t replicas, max_per_host, group;
	uint8_t spread;
	bool volume, dirty, gone;
};

struct dow_group {
	char *name;
	uint32_t *members; /* service ids, by name */
	size_t n, cap;
	bool dirty;
};

struct dowding {
	struct dow_load *load;
	struct dow_block *blocks; /* of host id / 64; like the bits of a constraint */
	uint64_t largest[DOW_DIMS];
	char **host_name;
	char **host_labels; /* "\n"-joined, to compare a changed host with what it was */
	uint32_t *by_rank;
	size_t nhosts, hosts_cap;
	struct dow_label *labels;
	size_t nlabels, labels_cap;
	struct vk_strv zones; /* zone 0 is "" */
	struct dow_constraint **constraints;
	size_t nconstraints, constraints_cap;
	struct dow_svc *svc;
	size_t nsvc, svc_cap;
	struct dow_group *groups;
	size_t ngroups, groups_cap;
	void *host_names, *svc_names, *constraint_keys, *label_names,
		*group_names; /* tsearch trees */
	uint32_t *dirty;      /* services to look at in the next plan */
	size_t ndirty, dirty_cap;
	uint32_t *count; /* replicas of the spread key at hand by host; zero between searches */
	bool hosts_changed, unsorted;
};

uint32_t dow_find(void *tree, const char *name); /* id or DOW_NO_ID */
void dow_touch(struct dowding *d, uint32_t svc);
void dow_take(struct dowding *d, uint32_t host, const uint64_t demand[DOW_DIMS]);
void dow_give(struct dowding *d, uint32_t host, const uint64_t demand[DOW_DIMS]);
/* Ranks, blocks and the hosts of every constraint, after hosts changed. */
void dow_settle_hosts(struct dowding *d);
static inline bool dow_may(const struct dow_constraint *c, uint32_t host)
{
	return (c->bits[host / 64] >> (host % 64) & 1) != 0;
}
static inline bool dow_fits(const struct dow_load *h, const uint64_t d[DOW_DIMS])
{
	bool ok = true;
	for (int k = 0; k < DOW_DIMS; k++)
		ok &= d[k] == 0 || h->used[k] + d[k] <= h->cap[k];
	return ok;
}
/* Order of hosts for one more unit of this demand, which must fit: lower is better; the low 24 bits are the rank. */
static inline uint64_t dow_score(const struct dow_load *h, const uint64_t d[DOW_DIMS])
{
	uint64_t share = 0;
	for (int k = 0; k < DOW_DIMS; k++) {
		uint64_t s = ((h->used[k] + d[k]) >> h->shift[k]) * h->inverse[k] >> 32;
		share = s > share ? s : share;
	}
	return share << 32 | (uint64_t)h->labels << 24 | h->rank;
}
#define DOW_RANK(score) ((uint32_t)((score)&0xffffff))

#define DOW_GROW(v, n, cap) \
	((n) < (cap) ? (void)0 \
		     : (void)((cap) = (cap) ? (cap)*2 : 16, \
			       (v) = vk_reallocarray((v), (cap), sizeof(*(v)))))

#endif
