/*
 * Figures for Prometheus (text format 0.0.4, prometheus.io/docs/instrumenting/exposition_formats): requests by stack and
 * node as the router last reported them, instances by state, stacks, releases, builds, certificates, the process itself.
 */
#ifndef SCHEDULER_METRICS_H
#define SCHEDULER_METRICS_H

#include "hub.h"

/* {"STACK/NODE": {"requests": 12, ...}}: the router's latest report; borrowed by the text below. */
void metrics_router(struct sched *s, const json_t *nodes);
void metrics_text(struct sched *s, struct vk_buf *out);

#endif
