/*
 * Collecting what no kept release needs. Kept: the serving release, the newest releases.keep good ones, and every older release that bore a
 * version one of those runs; so the target of a rollback is never lost. Rows of images beyond them go, releases beyond them lose
 * their document, and the builder gets a job with the references to keep.
 */
#ifndef SCHEDULER_GC_H
#define SCHEDULER_GC_H

#include "builds.h"
#include "txn.h"

/* Numbers of the releases of a stack that are kept, as {"7": true}. Pure; new reference. */
json_t *gc_kept(const struct stack *sk, size_t keep);
/* References (image names with digest) that all kept releases of all stacks name. Pure; new reference. */
/* Commits of these releases: whose websites' files stay. A new array. */
json_t *gc_commits(const struct stack *sk, size_t keep);
json_t *gc_refs(const struct state *st, size_t keep);
/* After a deploy has drained: collects when something fell out. */
void gc_after_deploy(struct sched *s);
/* A collection somebody asked for. */
struct build *gc_start(struct sched *s, const char *who, const struct build_events *ev, void *arg);

#endif
