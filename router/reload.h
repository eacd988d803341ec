/*
 * A seamless reload through HAProxy's master socket. `reload` is answered at once and empty (2.6),
 * so `show proc` is asked until a new worker is there or the master counts one more failed reload.
 */
#ifndef ROUTER_RELOAD_H
#define ROUTER_RELOAD_H

#include <sys/types.h>
#include <viking/err.h>
#include <viking/loop.h>

struct reload;

/* err->code 0: worker is the new one. The reload is freed when done returns. */
typedef void reload_done_fn(void *arg, const struct vk_err *err, pid_t worker);
struct reload *reload_start(struct vk_loop *l, const char *master, reload_done_fn *done, void *arg);
void reload_free(struct reload *r); /* stops watching; done is not called */

#endif
