/*
 * The search for the best host of one unit after another. One search serves all services of one constraint and demand: load
 * only grows meanwhile, so a host that no longer fits is dropped for good and no key in a heap is ever stale.
 */
#ifndef SCHEDULER_DOWDING_SEARCH_H
#define SCHEDULER_DOWDING_SEARCH_H

#include "dowding_model.h"

struct dow_keys { /* scores; as a heap the lowest first */
	uint64_t *v;
	size_t n, cap;
};

struct dow_bin { /* the hosts of a zone */
	struct dow_keys heap;
	struct dow_keys aside; /* these have more replicas than `layer` */
	struct dow_keys full;  /* these have max_per_host */
	uint32_t layer;        /* replicas on the hosts of the heap */
	uint32_t count;        /* replicas in the zone */
};

struct dow_search {
	struct dowding *d;
	const struct dow_constraint *c;
	uint64_t demand[DOW_DIMS];
	struct dow_bin *bins;
	size_t nbins;
};

/* only: enough for that many units of one spread key (the best so many hosts are kept); SIZE_MAX: any number. */
void dow_search_open(struct dow_search *s, struct dowding *d, const struct dow_constraint *c,
	const uint64_t demand[DOW_DIMS], size_t only);
/* The best host, taken: its load, its count and the bin's grow. DOW_NO_ID: nowhere. */
uint32_t dow_search_next(struct dow_search *s, enum dow_spread spread, uint32_t max_per_host);
void dow_search_again(
	struct dow_search *s); /* for the next spread key; counts are the caller's to zero */
void dow_search_close(struct dow_search *s);

#endif
