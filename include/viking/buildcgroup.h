/*
 * Limits for builds as a class. BuildKit inside the engine takes no limits per build; all its steps run in
 * control groups below one parent, so that limits on the parent hold for all builds together:
 *
 *   engine with the cgroupfs driver   <controller>/docker/buildkit (v1), docker/buildkit (v2)
 *   engine with the systemd driver    no common parent: each step gets system.slice:docker:<id> below
 *                                     system.slice (v2); limits are put on each as it appears
 *
 * vk_build_cgroup_apply writes and so needs root: vikingd calls it at its start, when the engine has
 * restarted, and, where the report names a directory to watch, when a directory appears in it (inotify
 * IN_CREATE). Calling it again is harmless. The readers need no rights: doctor and the builder use them.
 * sysfs_root is /sys/fs/cgroup, or a made-up tree in tests. Paths and formats: Linux
 * Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
 */
#ifndef VIKING_BUILDCGROUP_H
#define VIKING_BUILDCGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>

#define VK_CGROUP_ROOT "/sys/fs/cgroup"
/* What to give the classic builder as cgroupparent with the cgroupfs driver: the same class. */
#define VK_BUILD_CGROUP_PARENT "/docker/buildkit"

struct vk_build_cgroup_limits {
	uint64_t memory;     /* bytes, swap included; 0 = leave */
	uint64_t cpu_weight; /* 1..10000, cgroup v2 scale, 100 = an ordinary group; 0 = leave */
	uint64_t pids;       /* 0 = leave */
};

struct vk_build_cgroup_report {
	int version;            /* 1 or 2 */
	bool memory, cpu, pids; /* the limit stands on the class */
	unsigned steps;         /* groups of single steps (systemd driver) that were limited */
	char watch[256];        /* directory whose new entries need another apply, or "" */
	char why[256];          /* reason why one of the three does not hold, or "" */
};

/* VK_NOTFOUND: no control groups there; VK_DENIED: not root. A controller that is missing is no error: the
 * report says so. */
int vk_build_cgroup_apply(const char *sysfs_root, const struct vk_build_cgroup_limits *limits,
	struct vk_build_cgroup_report *ret, struct vk_err *err);
/* Which limits stand now on the class (any value but "no limit"). */
int vk_build_cgroup_check(
	const char *sysfs_root, struct vk_build_cgroup_report *ret, struct vk_err *err);
/* A number that rises when a build step is killed for want of memory: a rise during a build whose step was
 * killed means out of memory. v2 counts kills in the class; v1 all kills on the host, once the class has been at
 * its limit. 0 when not known. */
uint64_t vk_build_cgroup_memory_hits(const char *sysfs_root);

#endif
