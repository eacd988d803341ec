/* One connection between hosts: a TLS side and a unix socket, joined until one of them ends. */
#ifndef FRONT_TUNNEL_H
#define FRONT_TUNNEL_H

#include "front.h"

#define TUNNELS_MAX 2000 /* two descriptors each */

/* Connections from addresses of no host that have not shown a certificate yet. */
#define NEWCOMERS_MAX 64

/* From another host, or a newcomer, over fd (taken over). */
void tunnel_in(struct front *f, int fd, bool newcomer);
/* To another host, for who connected to its door; plain is taken over. */
void tunnel_out(struct front *f, const struct host *to, enum service s, int plain);
/* Ends those whose host has left the table or has another key or address now. */
void tunnels_sweep(struct front *f, const struct hosts *before);
void tunnels_free(struct front *f);

#endif
