/*
 * The TCP ports that are listened on in the network of a process, from /proc/PID/net/tcp and tcp6: so
 * that a failing health check can say what listens instead. Loopback-only listeners are left out: no health
 * check reaches them. The kernel walks every connection of the machine for a look (some 10 ms): none is taken
 * of what is well.
 */
#ifndef AGENT_LISTENING_H
#define AGENT_LISTENING_H

#include <stddef.h>

/* "80, 8080", "no port"; NULL when /proc does not show them. Freed by the caller. */
char *listening_ports(int pid);
/* One line of /proc/net/tcp or tcp6: the port if it is a reachable listener, else 0. Pure. */
unsigned listening_line(const char *line, size_t n);

#endif
