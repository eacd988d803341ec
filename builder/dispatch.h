/*
 * The builder: joins the scheduler's wanted list, the queue and the running jobs. Level-triggered: after any
 * break of the connection the list comes whole and everything that is still true is told again.
 */
#ifndef BUILDER_DISPATCH_H
#define BUILDER_DISPATCH_H

#include <viking/role.h>

extern const struct vk_role_ops builder_role;

#endif
