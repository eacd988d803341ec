/*
 * The link proxy: a HAProxy of its own (vikingd's helper "links") with one TCP listener for each link, on the gateway address of the
 * stack that links. Servers come and go through its runtime socket; a listener that comes or goes is one seamless reload. It is apart
 * from the front's HAProxy so that neither a link's reload nor its long connections touch the front.
 */
#ifndef ROUTER_PROXY_H
#define ROUTER_PROXY_H

#include <viking/role.h>

struct proxy;
/* Writes a file without listeners unless the helper runs: addresses of another boot may be anybody's. */
int proxy_new(struct vk_role *role, unsigned maxconn, struct proxy **ret, struct vk_err *err);
void proxy_start(struct proxy *p);
void proxy_free(struct proxy *p);

#endif
