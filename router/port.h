/* Could HAProxy listen there? Its own sockets share a port (same user, SO_REUSEPORT); another program's do not. */
#ifndef ROUTER_PORT_H
#define ROUTER_PORT_H

#include <stdbool.h>

/* The address may be of an interface that is not there yet. */
bool port_free(const char *address, unsigned port);

#endif
