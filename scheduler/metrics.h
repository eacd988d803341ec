/*
 * Figures for Prometheus (text format 0.0.4, prometheus.io/docs/instrumenting/exposition_formats): requests by stack and
 * node as the router last reported them, operations and store transactions since this start, instances by state, releases, builds,
 * certificates, the process itself.
 */
#ifndef SCHEDULER_METRICS_H
#define SCHEDULER_METRICS_H

#include "hub.h"

/* {"STACK/NODE": {"requests": 12, ...}}: the router's latest report; borrowed by the text below. */
void metrics_router(struct sched *s, const json_t *nodes);
/* An operation of this kind ("push", "scale" ...) has ended. */
void metrics_operation(struct sched *s, const char *kind, bool ok, int64_t ms);
/* A transaction was committed. */
void metrics_commit(struct sched *s, int64_t us);
void metrics_text(struct sched *s, struct vk_buf *out);
void metrics_free(struct metrics *m);

#endif
