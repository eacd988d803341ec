/*
 * A described cluster, DESIGN.md 11: {"hosts": [...], "services": [...], "placed": [...]}, into a planner. The arrays are read
 * an element at a time, so a million of them need no tree in memory. cpus in cores (number or "0.5"), memory and disk in
 * bytes or with a unit ("512M"); what is absent is 0, replicas 1.
 */
#ifndef SCHEDULER_DOWDING_FILE_H
#define SCHEDULER_DOWDING_FILE_H

#include <jansson.h>
#include <viking/err.h>

#include "dowding.h"

/* text[n] must be readable and NUL. Errors name the element: "hosts[3]: ...". */
int dow_read(struct dowding *d, const char *text, size_t n, struct vk_err *err);

/* One value of a JSON document in these units; NULL = 0. */
int dow_read_cpus(const json_t *j, uint64_t *ret_milli, struct vk_err *err);
int dow_read_bytes(const json_t *j, const char *key, uint64_t *ret, struct vk_err *err);

#endif
