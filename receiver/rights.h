/*
 * What the listener and, narrower, the monitor with all it starts may touch (landlock). One place, since
 * the second confinement can only take away from the first.
 */
#ifndef RECEIVER_RIGHTS_H
#define RECEIVER_RIGHTS_H

#include <viking/config.h>
#include <viking/mem.h>
#include <viking/sandbox.h>

enum rights_of { RIGHTS_LISTENER, RIGHTS_MONITOR };

/* Confines the calling process. config_file: "" = none. */
int rights_take(const struct vk_config *c, const char *config_file, enum rights_of who,
	struct vk_sandbox_report *ret, struct vk_err *err);

#endif
