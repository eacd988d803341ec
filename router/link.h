/*
 * One connection to HAProxy's runtime socket that is kept open and never used: its end is how the
 * router learns, without polling, that haproxy died or was started again. While it is down it is
 * tried again after 20 ms to 500 ms.
 */
#ifndef ROUTER_LINK_H
#define ROUTER_LINK_H

#include <stdbool.h>
#include <viking/loop.h>

struct link;
typedef void link_fn(void *arg, bool up);

/* Tries again after 20, 40 ... most_ms while nobody listens. */
struct link *link_new(struct vk_loop *l, const char *path, int64_t most_ms, link_fn *fn, void *arg);
bool link_up(const struct link *k);
/* Leaves the present worker and connects to the new one, without a word if that works: an old
 * worker would wait for the connection before it ends. */
void link_restart(struct link *k);
void link_free(struct link *k);

#endif
