/*
 * The router's state: the table from the scheduler, the assignment of backends, and the parts that
 * apply it. All of it runs on one loop.
 */
#ifndef ROUTER_H
#define ROUTER_H

#include <viking/config.h>
#include <viking/err.h>
#include <viking/loop.h>
#include <viking/sandbox.h>

struct router;

/* Makes the directories, pages and a first valid haproxy.cfg. It is closed (no server is ready)
 * unless haproxy is running and this is still the boot in which the file was written. */
int router_new(
	struct vk_loop *l, const struct vk_config *c, struct router **ret, struct vk_err *err);
/* Write access to STATE/route and RUN/route. Exec is left open for one program, `haproxy -c`;
 * landlock holds it to that file and its libraries, and passes on to it. */
int router_confine(const struct vk_config *c, struct vk_sandbox_report *ret, struct vk_err *err);
/* Connects to the API and to HAProxy. Separate, so that the sandbox lies between. */
void router_start(struct router *r);
void router_free(struct router *r);

#endif
