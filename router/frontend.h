/*
 * The text of the one frontend: where connections come in, how a request finds its route in the maps,
 * and the rules of policies (policy.h), which are all there from the start and ask the maps. So no
 * change of a domain or a policy needs another configuration. Pure.
 *
 * Variables of a transaction: host; route (a line of the maps); backend, policy (its id) and group, the
 * fields of the route; flags, one letter a rule that applies, set only where there is a policy.
 */
#ifndef ROUTER_FRONTEND_H
#define ROUTER_FRONTEND_H

#include "render.h"

/* The host of a request as the maps have it. */
#define FRONTEND_HOST "req.fhdr(host),field(1,:),lower,rtrim(.)"

void render_frontend(const struct render_settings *s, struct vk_buf *out);

#endif
