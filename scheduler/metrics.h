/*
 * Figures for Prometheus (text format 0.0.4, prometheus.io/docs/instrumenting/exposition_formats): requests by stack and
 * node as the router last reported them, operations, store transactions and plans since this start, instances by state,
 * releases, builds, certificates, the process itself.
 */
#ifndef SCHEDULER_METRICS_H
#define SCHEDULER_METRICS_H

#include "dowding.h"
#include "hub.h"

int64_t metrics_clock(void); /* microseconds, monotonic */
/* {"STACK/NODE": {"requests": 12, ...}}: the latest report of a host's router ("" = ours). */
void metrics_router(struct sched *s, const char *host, const json_t *nodes);
/* An operation of this kind ("push", "scale" ...) has ended. */
void metrics_operation(struct sched *s, const char *kind, bool ok, int64_t ms);
/* A transaction of so many bytes of keys and values has ended. */
void metrics_commit(struct sched *s, int64_t us, size_t bytes);
/* A plan that decides (not a question) was made for a cluster of so many instances. */
void metrics_plan(struct sched *s, int64_t us, size_t instances, const struct dow_plan *plan);
void metrics_text(struct sched *s, struct vk_buf *out);
void metrics_free(struct metrics *m);

#endif
