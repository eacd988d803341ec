/*
 * What HAProxy counted, by stack and node: asked every 15 s and reported to the scheduler when it changed.
 * Counters of a backend begin anew with a new worker, and when the backend gets another owner; the sums
 * here then begin anew too, as Prometheus expects of counters.
 */
#ifndef ROUTER_STATS_H
#define ROUTER_STATS_H

#include <jansson.h>
#include <viking/api.h>
#include <viking/loop.h>

#include "assign.h"

struct stats_opts {
	const char *admin;           /* borrowed, as all of it */
	const struct assign *assign; /* who owns which backend */
	struct vk_api_queue *queue;
};
struct stats;
struct stats *stats_new(struct vk_loop *l, const struct stats_opts *o);
void stats_free(struct stats *s);

enum stat {
	STAT_REQUESTS,
	STAT_BYTES_IN,
	STAT_BYTES_OUT,
	STAT_1XX,
	STAT_2XX,
	STAT_3XX,
	STAT_4XX,
	STAT_5XX,
	STAT_RETRIES,
	STAT_NOW,      /* requests under way */
	STAT_RESPONSE, /* ms to the answer's head, mean of the last 1024 */
	STAT_TOTAL,    /* ms in all, likewise */
	STATS
};
extern const char *const stat_names[STATS]; /* in the report */

/* One line of `show stat` as numbers; the first line of the text names the columns. Calls fn for each
 * backend of ours. Pure. */
typedef void stats_row_fn(void *arg, unsigned backend, const uint64_t v[STATS]);
void stats_read(const char *text, stats_row_fn *fn, void *arg);

#endif
