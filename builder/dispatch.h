/*
 * The builder: joins the scheduler's wanted list, the queue and the running jobs. Level-triggered: after any
 * break of the connection the list comes whole and everything that is still true is told again.
 */
#ifndef BUILDER_DISPATCH_H
#define BUILDER_DISPATCH_H

#include <viking/config.h>
#include <viking/err.h>
#include <viking/loop.h>

struct dispatch;
/* argv: our own arguments, handed on to viking-job (--config and --root). Both are borrowed. */
struct dispatch *dispatch_new(struct vk_loop *l, const struct vk_config *c, char *const *argv);
void dispatch_free(struct dispatch *d); /* ends all running jobs */

#endif
