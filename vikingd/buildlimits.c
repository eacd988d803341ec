#include "buildlimits.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <viking/buildcgroup.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#define AGAIN_MS 30000

struct buildlimits {
	struct vk_loop *loop;
	struct vk_build_cgroup_limits limits;
	struct vk_timer *again;
	struct vk_io *io;
	int inotify;
	char watched[256];
	char said[256];
};

static void watch(struct buildlimits *b, const char *directory)
{
	if (directory[0] == '\0' || vk_streq(directory, b->watched))
		return;
	if (inotify_add_watch(b->inotify, directory, IN_CREATE | IN_ONLYDIR) >= 0)
		snprintf(b->watched, sizeof(b->watched), "%s", directory);
}

static void say(struct buildlimits *b, const char *why, const struct vk_build_cgroup_report *r)
{
	if (vk_streq(b->said, why[0] ? why : "all hold"))
		return;
	snprintf(b->said, sizeof(b->said), "%s", why[0] ? why : "all hold");
	vk_log(why[0] ? VK_WARN : VK_INFO, "build-limits", "memory=%d cpu=%d pids=%d why=\"%s\"",
		r->memory, r->cpu, r->pids, b->said);
}

static void apply(void *arg)
{
	struct buildlimits *b = arg;
	struct vk_build_cgroup_report r = {0};
	struct vk_err err = {0};
	if (vk_build_cgroup_apply(VK_CGROUP_ROOT, &b->limits, &r, &err) < 0)
		say(b, err.msg, &r);
	else
		say(b, r.why, &r);
	watch(b, r.watch);
	vk_timer_set(b->again, AGAIN_MS);
}

static void on_created(void *arg, int fd, int what)
{
	char events[4096];
	(void)what;
	while (read(fd, events, sizeof(events)) > 0)
		;
	apply(arg);
}

struct buildlimits *buildlimits_new(struct vk_loop *l, const struct vk_config *c)
{
	struct buildlimits *b = vk_alloc(sizeof(*b));
	b->loop = l;
	b->limits = (struct vk_build_cgroup_limits){.memory = c->build_memory,
		.cpu_weight = c->build_cpu_weight,
		.pids = c->build_pids};
	b->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (b->inotify >= 0)
		b->io = vk_io_new(l, b->inotify, VK_READ, on_created, b);
	b->again = vk_timer_new(l, apply, b);
	apply(b);
	return b;
}

void buildlimits_free(struct buildlimits *b)
{
	if (b == NULL)
		return;
	vk_timer_free(b->again);
	vk_io_free(b->io);
	vk_closep(&b->inotify);
	free(b);
}
