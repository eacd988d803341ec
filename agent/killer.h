/*
 * Ends (or signals) an exec'd process: the engine has no call for that. Its host pid is in exec/json; it is
 * signalled directly where we may (one uid for all), after its cgroup has proved that the pid still is
 * in that container; otherwise, as the agent is not root, by the container's own shell. An image without a
 * shell leaves only the end of input and of the terminal: such a process must end by itself.
 */
#ifndef AGENT_KILLER_H
#define AGENT_KILLER_H

#include "agent.h"

/* signal: "KILL", "INT", "SIGTERM" ...; unknown names are ignored. */
void killer_exec(struct agent *a, const char *container, const char *exec, const char *signal);
void killer_forget(struct agent *a);   /* after the engine is freed: no answer comes any more */
int killer_number(const char *signal); /* 0 = unknown */
/* The last number of the NSpid line of /proc/PID/status, 0 if there is none. Pure. */
int killer_inner_pid(const char *status);

#endif
