/*
 * The second policy check (the scheduler makes the first): what this host's configuration lets a
 * container ask for. Pure. The message names the instance's wish and the setting that would allow it.
 */
#ifndef AGENT_POLICY_H
#define AGENT_POLICY_H

#include <viking/config.h>
#include <viking/err.h>

#include "desired.h"

int policy_check(const struct vk_config *c, const struct desired_instance *in, struct vk_err *err);

#endif
