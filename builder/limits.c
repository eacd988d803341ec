#include "limits.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <viking/buildcgroup.h>
#include <viking/fs.h>
#include <viking/str.h>

#define EXIT_KILLED \
	137 /* 128 + SIGKILL: nothing but the kernel or an operator sends that to a step */
#define SHARES_PER_WEIGHT_100 1024

void limits_from_config(const struct vk_config *c, const char *sysfs_root, struct limits *ret)
{
	struct vk_build_cgroup_report r;
	*ret = (struct limits){.memory = c->build_memory,
		.cpu_weight = c->build_cpu_weight,
		.pids = c->build_pids,
		.disk = c->build_disk};
	/* vikingd makes it only where the engine's driver puts containers below it */
	ret->class_there = vk_build_cgroup_check(sysfs_root, &r, NULL) == 0 && r.pids;
}

void limits_query(const struct limits *l, struct vk_buf *query)
{
	if (l->memory > 0)
		vk_buf_addf(query, "&memory=%llu&memswap=%llu", (unsigned long long)l->memory,
			(unsigned long long)l->memory);
	if (l->cpu_weight > 0)
		vk_buf_addf(query, "&cpushares=%llu",
			(unsigned long long)(l->cpu_weight * SHARES_PER_WEIGHT_100 / 100));
	if (l->class_there)
		vk_buf_adds(query, "&cgroupparent=" VK_BUILD_CGROUP_PARENT);
}

static bool said(const struct limit_signs *s, const char *text)
{
	return strcasestr(s->message, text) != NULL || buildlog_tail_has(s->log, text);
}

static void explain(struct vk_err *err, const char *what, const char *hint)
{
	size_t n = strlen(err->msg);
	snprintf(err->msg + n, sizeof(err->msg) - n, "%s", what);
	vk_err_hint(err, "%s", hint);
}

static bool is_memory(const struct limit_signs *s)
{
	return s->exit_code == EXIT_KILLED || (s->memory_hit && said(s, "Killed")) ||
		(s->memory_hit && said(s, "annot allocate memory"));
}

static bool is_pids(const struct limit_signs *s)
{
	return said(s, "can't fork") || said(s, "annot fork") ||
		said(s, "Resource temporarily unavailable") || said(s, "pthread_create");
}

void limits_explain(const struct limits *l, const struct limit_signs *s, struct vk_err *err)
{
	char text[160], size[24];
	if (said(s, "no space left on device") || said(s, "No space left on device")) {
		explain(err, ": the disk of the host is full",
			"free space on the host: sudo viking gc, docker system df; images.budget "
			"caps what is kept");
	} else if (is_memory(s)) {
		vk_format_size(l->memory, size);
		snprintf(text, sizeof(text), ": %s (builds.memory is %s)",
			s->memory_hit ? "out of memory" : "killed, most likely out of memory",
			size);
		explain(err, text,
			"use less memory in this step, or raise builds.memory in "
			"/etc/viking/viking.conf");
	} else if (is_pids(s)) {
		snprintf(text, sizeof(text), ": too many processes (builds.pids is %llu)",
			(unsigned long long)l->pids);
		explain(err, text,
			"start fewer processes in this step, or raise builds.pids in "
			"/etc/viking/viking.conf");
	}
}
