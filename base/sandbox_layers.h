/* The two kernel layers of base/sandbox.c, each in a file of its own. Private to base. */
#ifndef VIKING_BASE_SANDBOX_LAYERS_H
#define VIKING_BASE_SANDBOX_LAYERS_H

#include <viking/sandbox.h>

/* The kernel's landlock ABI, or 0 with the reason in why. */
int landlock_abi(char why[static 96]);
/* Needs no-new-privs. VK_UNAVAILABLE when the kernel refuses. */
int landlock_enter(const struct vk_sandbox *s, int abi, struct vk_err *err);

/* false with the reason in why when the kernel has no filters. */
bool seccomp_available(char why[static 96]);
int seccomp_enter(enum vk_seccomp profile, struct vk_err *err);

#endif
