/*
 * What a build may use, and how to tell that it hit a limit. BuildKit's limits are those of the class
 * (viking/buildcgroup.h, set by vikingd); the classic builder takes them per build, as parameters, and its
 * steps join the same class where it is there, which alone limits the number of processes. Pure.
 */
#ifndef BUILDER_LIMITS_H
#define BUILDER_LIMITS_H

#include <stdbool.h>
#include <stdint.h>
#include <viking/config.h>
#include <viking/err.h>
#include <viking/mem.h>

#include "buildlog.h"

struct limits {
	uint64_t memory;     /* bytes */
	uint64_t cpu_weight; /* cgroup v2 scale */
	uint64_t pids;
	uint64_t disk;    /* bytes of a box, see box_disk.h */
	bool class_there; /* the cgroupfs class exists and can be named as cgroupparent */
};

void limits_from_config(const struct vk_config *c, const char *sysfs_root, struct limits *ret);
/* Appends "&memory=..&memswap=..&cpushares=..[&cgroupparent=..]" for the classic builder. */
void limits_query(const struct limits *l, struct vk_buf *query);

struct limit_signs {
	int exit_code;       /* of the failed step, -1 not known */
	bool memory_hit;     /* the class ran into its memory limit during the build */
	const char *message; /* the engine's */
	const struct buildlog *log;
};
/* Adds to a failure's message which limit ended it, and to its hint the setting to change. */
void limits_explain(const struct limits *l, const struct limit_signs *s, struct vk_err *err);

#endif
