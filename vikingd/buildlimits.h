/*
 * Keeps the limits of builds in force (include/viking/buildcgroup.h): only root may write control groups. Applied at start,
 * every 30 s (an engine that restarted may have made them anew) and when a build's group appears.
 */
#ifndef VIKINGD_BUILDLIMITS_H
#define VIKINGD_BUILDLIMITS_H

#include <viking/config.h>
#include <viking/loop.h>

struct buildlimits;
/* Logs once what holds and what does not. Never fails: without rights builds are unlimited, and doctor says so. */
struct buildlimits *buildlimits_new(struct vk_loop *l, const struct vk_config *c);
void buildlimits_free(struct buildlimits *b);

#endif
