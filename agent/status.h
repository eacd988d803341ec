/*
 * Reports to the scheduler: what changed, as soon as it changed; everything after a connect (`full`). One
 * report is under way at a time and changes meanwhile go into the next, so a scheduler that is away
 * costs no memory. Held back until the agent has seen its containers: a restart of the agent must not look
 * like a restart of the applications.
 */
#ifndef AGENT_STATUS_H
#define AGENT_STATUS_H

#include <viking/api.h>

struct agent;
struct status;
struct status *status_new(struct agent *a, struct vk_api_queue *q); /* q is borrowed */
void status_free(struct status *s);
void status_changed(struct status *s, const char *instance);
void status_gone(struct status *s, const char *instance);
void status_full(struct status *s);                /* everything, with the next report */
void status_release(struct status *s);             /* the containers are known: send from now on */
void status_host(struct status *s, json_t *facts); /* steals facts */

#endif
