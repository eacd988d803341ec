/*
 * The router's state: the table from the scheduler, the assignment of backends, and the parts that
 * apply it. All of it runs on one loop. Files are made before the sandbox (write access to
 * STATE/route and RUN/route stays), the API and HAProxy are connected to within it.
 */
#ifndef ROUTER_H
#define ROUTER_H

#include <viking/role.h>

extern const struct vk_role_ops router_role;

#endif
