/*
 * The engine's events about our containers: one stream, filtered by our label, reconnected from the time
 * of the last event. Lost events cost nothing but time: every connect and every 30 s is followed by a
 * listing.
 */
#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H

#include "agent.h"

struct events;
struct events *events_new(struct agent *a);
void events_free(struct events *e);

/* One event as the engine prints it. Pure; false if it is none of a container. Borrowed strings. */
struct event {
	const char *id, *action, *instance;
	int64_t time_ns;
	int exit_code; /* of "die", else -1 */
};
bool event_read(const json_t *line, struct event *ret);

#endif
