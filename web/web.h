/* The web process: the table of sites from the scheduler and the listener for HAProxy, on one
 * loop. Socket and directory are opened before the sandbox. */
#ifndef WEB_H
#define WEB_H

#include <viking/role.h>

extern const struct vk_role_ops web_role;

#endif
