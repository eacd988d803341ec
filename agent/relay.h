/*
 * The agent's own server on RUN/agent.sock, which the scheduler relays to: logs, exec, run and facts. Only
 * viking-sched, root and (one uid for all) our own uid may connect.
 */
#ifndef AGENT_RELAY_H
#define AGENT_RELAY_H

#include <viking/httpd.h>

#include "agent.h"

struct relay;
int relay_new(struct agent *a, struct relay **ret, struct vk_err *err); /* listens */
void relay_serve(struct relay *r);
void relay_free(struct relay *r);                               /* ends all sessions */
bool relay_holds(const struct relay *r, const char *container); /* of a `run` that is under way */

#endif
