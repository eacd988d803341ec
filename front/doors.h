/* RUN/hosts/H/: the sockets that lead to another host. */
#ifndef FRONT_DOORS_H
#define FRONT_DOORS_H

#include "front.h"

/* Opens those of new hosts, closes those of hosts that have left. */
void doors_refresh(struct front *f);
void doors_free(struct front *f);

#endif
