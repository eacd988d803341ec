/*
 * The TCP ports that are listened on in the network of a process, from /proc/PID/net/tcp and tcp6: so
 * that a failing health check can say "nothing listens on 80, but 8080 does". Loopback-only listeners
 * are left out: no health check reaches them.
 */
#ifndef AGENT_LISTENING_H
#define AGENT_LISTENING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Sorted array of ports; NULL when /proc does not show them. New reference. */
json_t *listening_ports(int pid);
/* One line of /proc/net/tcp or tcp6: the port if it is a reachable listener, else 0. Pure. */
unsigned listening_line(const char *line, size_t n);

#endif
