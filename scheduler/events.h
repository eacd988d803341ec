/*
 * What happened lately: a ring of events in memory, with followers. Sequence numbers rise over restarts (the epoch is in their
 * upper part). Events never hold values of configuration.
 */
#ifndef SCHEDULER_EVENTS_H
#define SCHEDULER_EVENTS_H

#include <jansson.h>
#include <stdint.h>

struct events;
struct events_follower;

struct event {
	const char
		*type; /* "stage", "deploy", "instance", "build", "config", "key", "process" ... */
	const char *stack, *node, *instance, *who; /* NULL = none */
	const char *what;
};

struct events *events_new(uint64_t epoch, size_t keep);
void events_free(struct events *e);
void events_add(struct events *e, const struct event *ev);
/* Events after `since` that fn takes; fn gets borrowed objects {"seq", "t", "type", ...}. */
typedef void events_fn(void *arg, json_t *event);
void events_each(const struct events *e, uint64_t since, events_fn *fn, void *arg);
/* fn for each new event until unfollowed. */
struct events_follower *events_follow(struct events *e, events_fn *fn, void *arg);
void events_unfollow(struct events *e, struct events_follower *f);

#endif
