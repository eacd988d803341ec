/* Tells vikingd that this process serves: the lines SANDBOX=... and READY=1 on the descriptor that
 * VIKING_READY_FD names, which is then closed. Without the variable nothing happens. */
#ifndef VIKING_READY_H
#define VIKING_READY_H

#include <viking/sandbox.h>

/* The descriptor (to be kept open by vk_sandbox_enter), -1 = none. Set close-on-exec. */
int vk_ready_fd(void);
void vk_ready(int fd, const struct vk_sandbox_report *r); /* r may be NULL; fd -1 is fine */

#endif
