/*
 * dowding, the planner: which host runs which replica. Pure: no clock, no randomness, no I/O, integers only. The same
 * hosts, services and recorded placements give the same plan, byte for byte, in whatever order they were told.
 *
 * The thing placed is a unit: one replica of a service, or replica n of every member of a group (their demands summed,
 * their constraints all held, on one host). What runs where it may stays; a replica with a volume never leaves its host.
 * New and displaced units go to the host that is lowest in
 *
 *	(replicas of the service in the zone, on the host; dominant share after placement in Q20; labels; host name)
 *
 * found exactly: a heap of all hosts that may take a shape when several services share it, else one scan that keeps the
 * best r and looks closely only where a coarse bound (16 bits a share) says that a host may be among them. Order of work: fewest possible hosts first, then the largest demand, then names. After Borg's equivalence
 * classes and dominant resource shares (Ghodsi et al., NSDI 2011).
 *
 * The planner keeps its cluster between plans, so a plan costs what changed: dirty services, and everything once when a
 * host came, went or changed.
 */
#ifndef SCHEDULER_DOWDING_H
#define SCHEDULER_DOWDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dow_dim { DOW_CPU, DOW_MEMORY, DOW_DISK, DOW_DIMS }; /* milli-cores, bytes, bytes */
enum dow_spread { DOW_SOFT, DOW_HARD, DOW_NONE };         /* hard: one on a host, or max_per_host */

struct dow_host {
	const char *name, *zone; /* zone: NULL or "" = none */
	uint64_t cap[DOW_DIMS];
	const char *const *labels; /* roles */
	size_t nlabels;
	bool down;
	bool draining; /* as if it were down, but said otherwise */
};

struct dow_service {
	const char *name, *group;  /* group: NULL or "" = none */
	unsigned replicas;         /* numbered from 1 */
	unsigned max_per_host;     /* 0 = any */
	uint64_t demand[DOW_DIMS]; /* reserved for each replica */
	const char *const *roles;  /* the host has one of these labels; none = any host */
	const char *const *hosts;  /* and is one of these; none = any host */
	size_t nroles, nhosts;
	enum dow_spread spread;
	bool volume; /* a replica stays for ever on the host it was first placed on */
};

struct dow_change {
	const char *service, *host,
		*from; /* from: NULL, or the host it was displaced from; all borrowed */
	unsigned n;
};
struct dow_unplaced {
	const char *service; /* borrowed */
	const char *reason;  /* one line; borrowed from the plan */
	unsigned n;
};
struct dow_plan {
	struct dow_change *changes; /* in order of placement */
	size_t nchanges, changes_cap;
	struct dow_unplaced *unplaced; /* services by order of work */
	size_t nunplaced, unplaced_cap;
	struct dow_change *
		waiting; /* replicas whose volume is on a host that is down: they stay placed there */
	size_t nwaiting, waiting_cap;
	size_t moved;   /* changes with a from */
	char **reasons; /* owns the texts */
	size_t nreasons;
};

struct dowding;
struct dowding *dow_new(void);
void dow_free(struct dowding *d);

bool dow_knows_host(struct dowding *d, const char *name);
bool dow_knows_service(struct dowding *d, const char *name);

/* Adds or replaces; everything is copied. */
void dow_set_host(struct dowding *d, const struct dow_host *h);
void dow_set_service(struct dowding *d, const struct dow_service *s);
/* A recorded placement. A host that is not known counts as one that is down. False: no such service or replica. */
bool dow_placed(struct dowding *d, const char *service, unsigned n, const char *host);
bool dow_set_down(struct dowding *d, const char *host, bool down); /* false: no such host */
void dow_remove_service(struct dowding *d, const char *service);

/* Places what is to be placed and remembers it. ret is filled; the caller releases it. */
void dow_plan(struct dowding *d, struct dow_plan *ret);
void dow_plan_release(struct dow_plan *p);

/* The placements, services by name, then n. host: where it runs; fn returns false to stop. */
typedef bool dow_each_fn(void *arg, const char *service, unsigned n, const char *host);
void dow_each(struct dowding *d, dow_each_fn *fn, void *arg);
void dow_hash(
	struct dowding *d, char ret[static 65]); /* SHA-256 over dow_each's "service n host\n" */
const char *dow_where(struct dowding *d, const char *service, unsigned n); /* NULL: nowhere */

/* Why a host can or cannot take one more replica of a service now: one line, the caller's; NULL: no such service or
 * host. *ret_can tells which. */
char *dow_explain(struct dowding *d, const char *service, const char *host, bool *ret_can);
/* Hosts by name, for dow_explain. NULL ends. */
const char *dow_host_at(struct dowding *d, size_t i);

#endif
