/* Does something answer on a TCP port? Connect, say something or nothing, look at the first bytes. For doctor, and the roll call. */
#ifndef SCHEDULER_PING_H
#define SCHEDULER_PING_H

#include <stdint.h>
#include <viking/err.h>
#include <viking/loop.h>

struct ping;
struct ping_spec {
	const char *address; /* an IP address; any ("0.0.0.0", "::") means loopback */
	uint16_t port;
	const char *say; /* NULL = the server speaks first */
	/* how its first bytes begin; NULL: it is enough that the machine takes or refuses the connection */
	const char *expect;
};
typedef void ping_fn(
	void *arg, const struct vk_err *err); /* err NULL = it answers; ping is freed after it */

/* Calls fn once, from the loop, within deadline_ms. */
struct ping *ping_start(struct vk_loop *l, const struct ping_spec *spec, int64_t deadline_ms,
	ping_fn *fn, void *arg);
void ping_cancel(struct ping *p);

#endif
