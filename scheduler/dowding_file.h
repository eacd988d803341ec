/*
 * A described cluster, DESIGN.md 11: {"hosts": [...], "services": [...], "placed": [...]}, into a planner. The arrays are read
 * an element at a time, so a million of them need no tree in memory. cpus in cores (number or "0.5"), memory and disk in
 * bytes or with a unit ("512M"); what is absent is 0, replicas 1.
 */
#ifndef SCHEDULER_DOWDING_FILE_H
#define SCHEDULER_DOWDING_FILE_H

#include <viking/err.h>

#include "dowding.h"

/* text[n] must be readable and NUL. Errors name the element: "hosts[3]: ...". */
int dow_read(struct dowding *d, const char *text, size_t n, struct vk_err *err);

#endif
