/* Heaps of scores, by zone. */
#include "dowding_search.h"

#include <stdlib.h>
#include <string.h>

static void keys_add(struct dow_keys *k, uint64_t key)
{
	DOW_GROW(k->v, k->n, k->cap);
	k->v[k->n++] = key;
}

static void sift_down(uint64_t *v, size_t n, size_t at)
{
	uint64_t key = v[at];
	for (size_t child; (child = 2 * at + 1) < n; at = child) {
		child += child + 1 < n && v[child + 1] < v[child];
		if (key <= v[child])
			break;
		v[at] = v[child];
	}
	v[at] = key;
}

static void heapify(struct dow_keys *k)
{
	for (size_t i = k->n / 2; i-- > 0;)
		sift_down(k->v, k->n, i);
}

static void heap_push(struct dow_keys *k, uint64_t key)
{
	keys_add(k, key);
	size_t at = k->n - 1;
	for (; at > 0 && k->v[(at - 1) / 2] > key; at = (at - 1) / 2)
		k->v[at] = k->v[(at - 1) / 2];
	k->v[at] = key;
}

static uint64_t heap_pop(struct dow_keys *k)
{
	uint64_t top = k->v[0];
	k->v[0] = k->v[--k->n];
	if (k->n > 0)
		sift_down(k->v, k->n, 0);
	return top;
}

/* Keeps the `only` lowest: ~key makes the same heap one whose first is the highest. */
static void keep_best(struct dow_keys *k, uint64_t key, size_t only)
{
	if (k->n < only) {
		heap_push(k, ~key);
	} else if (~key > k->v[0]) {
		k->v[0] = ~key;
		sift_down(k->v, k->n, 0);
	}
}

/*
 * For each host of a block, a bound below the share (Q14) that its score would have; a host that the demand fits never
 * overflows one. Says whether any is within the limit.
 */
static bool glance(const struct dow_block *b, const uint16_t need[DOW_DIMS], uint16_t limit,
	uint16_t ret_low[static 64])
{
	uint16_t any = 0;
	memset(ret_low, 0, 64 * sizeof(*ret_low));
	for (int k = 0; k < DOW_DIMS; k++) /* loops of 16-bit words over 64: vectorised */
		for (int i = 0; i < 64; i++) {
			uint16_t more = (uint16_t)((uint32_t)need[k] * b->smaller[k][i] >> 16);
			uint16_t share = (uint16_t)(b->share[k][i] + more);
			ret_low[i] = share > ret_low[i] ? share : ret_low[i];
		}
	for (int i = 0; i < 64; i++)
		any |= ret_low[i] <= limit;
	return any != 0;
}

/* The highest bound of a host that may still be better than a key; 8: what the Q20 share loses by rounding, and more. */
static uint16_t limit_of(uint64_t key)
{
	uint64_t limit = ((key >> 32) + 8) >> 6;
	return limit > UINT16_MAX ? UINT16_MAX : (uint16_t)limit;
}

/* The best `only` hosts into the first bin's heap, as ~key. Most blocks are passed over at a glance. */
static void open_best(struct dow_search *s, size_t only)
{
	const struct dowding *d = s->d;
	struct dow_keys *best = &s->bins[0].heap;
	uint16_t need[DOW_DIMS], low[64], limit = UINT16_MAX;
	for (int k = 0; k < DOW_DIMS; k++) {
		if (s->demand[k] > d->largest[k])
			return;
		need[k] = d->largest[k] == 0
			? 0
			: (uint16_t)(((unsigned __int128)s->demand[k] * UINT16_MAX) /
				  d->largest[k]);
	}
	for (size_t b = 0; b < d->nhosts / 64 + 1; b++) {
		uint64_t may = s->c->bits[b];
		if (may == 0 || !glance(&d->blocks[b], need, limit, low))
			continue;
		for (; may != 0; may &= may - 1) {
			unsigned i = (unsigned)__builtin_ctzll(may);
			const struct dow_load *h = &d->load[b * 64 + i];
			if (low[i] > limit || !dow_fits(h, s->demand))
				continue;
			keep_best(best, dow_score(h, s->demand), only);
			limit = best->n < only ? UINT16_MAX : limit_of(~best->v[0]);
		}
	}
}

void dow_search_open(struct dow_search *s, struct dowding *d, const struct dow_constraint *c,
	const uint64_t demand[DOW_DIMS], size_t only)
{
	*s = (struct dow_search){.d = d, .c = c, .nbins = d->zones.n};
	for (int k = 0; k < DOW_DIMS; k++)
		s->demand[k] = demand[k];
	s->bins = vk_calloc(s->nbins, sizeof(*s->bins));
	bool all = s->nbins > 1 || only >= c->n;
	if (!all)
		open_best(s, only);
	for (size_t i = 0; !all && i < s->bins[0].heap.n; i++)
		s->bins[0].heap.v[i] = ~s->bins[0].heap.v[i];
	for (size_t i = 0; all && i < c->n; i++) {
		const struct dow_load *h = &d->load[c->ids[i]];
		if (dow_fits(h, demand))
			keys_add(&s->bins[h->zone].heap, dow_score(h, demand));
	}
	for (size_t z = 0; z < s->nbins; z++)
		heapify(&s->bins[z].heap);
}

static void next_layer(struct dow_search *s, struct dow_bin *b)
{
	uint32_t least = UINT32_MAX;
	for (size_t i = 0; i < b->aside.n; i++) {
		uint32_t count = s->d->count[s->d->by_rank[DOW_RANK(b->aside.v[i])]];
		least = count < least ? count : least;
		keys_add(&b->heap, b->aside.v[i]);
	}
	b->aside.n = 0;
	b->layer = least;
	heapify(&b->heap);
}

/* Brings the best host of a bin to the heap's top. */
static bool settle(struct dow_search *s, struct dow_bin *b, enum dow_spread spread, uint32_t max)
{
	for (;;) {
		if (b->heap.n == 0) {
			if (b->aside.n == 0)
				return false;
			next_layer(s, b);
		}
		uint32_t host = s->d->by_rank[DOW_RANK(b->heap.v[0])];
		if (!dow_fits(&s->d->load[host], s->demand))
			heap_pop(&b->heap);
		else if (s->d->count[host] >= max)
			keys_add(&b->full, heap_pop(&b->heap));
		else if (spread != DOW_NONE && s->d->count[host] > b->layer)
			keys_add(&b->aside, heap_pop(&b->heap));
		else
			return true;
	}
}

static bool better(const struct dow_search *s, const struct dow_bin *a, const struct dow_bin *b,
	enum dow_spread spread)
{
	if (b == NULL)
		return true;
	if (spread != DOW_NONE && a->count != b->count)
		return a->count < b->count;
	uint32_t on_a = s->d->count[s->d->by_rank[DOW_RANK(a->heap.v[0])]];
	uint32_t on_b = s->d->count[s->d->by_rank[DOW_RANK(b->heap.v[0])]];
	if (spread != DOW_NONE && on_a != on_b)
		return on_a < on_b;
	return a->heap.v[0] < b->heap.v[0];
}

uint32_t dow_search_next(struct dow_search *s, enum dow_spread spread, uint32_t max_per_host)
{
	struct dow_bin *best = NULL;
	for (size_t z = 0; z < s->nbins; z++)
		if (settle(s, &s->bins[z], spread, max_per_host) &&
			better(s, &s->bins[z], best, spread))
			best = &s->bins[z];
	if (best == NULL)
		return DOW_NO_ID;
	uint32_t host = s->d->by_rank[DOW_RANK(heap_pop(&best->heap))];
	struct dow_load *l = &s->d->load[host];
	dow_take(s->d, host, s->demand);
	s->d->count[host]++;
	best->count++;
	if (dow_fits(l, s->demand)) {
		if (spread == DOW_NONE)
			heap_push(&best->heap, dow_score(l, s->demand));
		else
			keys_add(&best->aside, dow_score(l, s->demand));
	}
	return host;
}

void dow_search_again(struct dow_search *s)
{
	for (size_t z = 0; z < s->nbins; z++) {
		struct dow_bin *b = &s->bins[z];
		for (size_t i = 0; i < b->aside.n; i++)
			heap_push(&b->heap, b->aside.v[i]);
		for (size_t i = 0; i < b->full.n; i++)
			heap_push(&b->heap, b->full.v[i]);
		b->aside.n = b->full.n = 0;
		b->layer = b->count = 0;
	}
}

void dow_search_close(struct dow_search *s)
{
	for (size_t z = 0; z < s->nbins; z++) {
		free(s->bins[z].heap.v);
		free(s->bins[z].aside.v);
		free(s->bins[z].full.v);
	}
	free(s->bins);
}
