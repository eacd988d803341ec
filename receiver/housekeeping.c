#include "housekeeping.h"

#include <signal.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/proc.h>

#include "repo.h"

#define QUIET_MS  30000
#define RUN_MS    900000
#define PACKS_MAX 24
#define QUEUE_MAX 1024

struct housekeeping {
	struct vk_loop *loop;
	const struct vk_config *config;
	struct vk_strv stacks; /* pushed to since they were last looked at */
	struct vk_timer *quiet, *deadline;
	struct vk_child *child;
	pid_t pid;
};

static void next(struct housekeeping *h);

static void on_exit_status(void *arg, pid_t pid, int status)
{
	struct housekeeping *h = arg;
	(void)pid;
	if (status != 0)
		vk_log(VK_WARN, "repack-failed", "status=%d", status);
	vk_child_free(h->child);
	h->child = NULL;
	vk_timer_set(h->deadline, -1);
	next(h);
}

static void on_deadline(void *arg)
{
	vk_proc_kill(((struct housekeeping *)arg)->pid, SIGKILL);
}

static void repack(struct housekeeping *h, const char *path)
{
	/* an hour is longer than any push stays between its objects and its ref */
	static const char *const argv[] = {"git", "-c", "core.fsync=all", "-c", "pack.threads=1",
		"-c", "pack.windowMemory=64m", "gc", "--quiet", "--no-cruft", "--prune=1.hour.ago",
		NULL};
	const struct vk_proc_opts o = {.path = h->config->git_path,
		.argv = argv,
		.env = repo_git_env,
		.cwd = path,
		.in = VK_FD_NULL,
		.out = VK_FD_NULL,
		.err = VK_FD_NULL,
		.die_with_parent = true};
	struct vk_proc p;
	struct vk_err err = {0};
	if (vk_proc_start(&o, &p, &err) != 0) {
		vk_log_err(VK_WARN, "repack", &err);
		return;
	}
	h->pid = p.pid;
	h->child = vk_child_new(h->loop, p.pid, on_exit_status, h);
	vk_timer_set(h->deadline, RUN_MS);
}

static void next(struct housekeeping *h)
{
	while (h->child == NULL && h->stacks.n > 0) {
		h->stacks.n--;
		vk_autofree char *stack = VK_TAKE(h->stacks.v[h->stacks.n]);
		vk_autofree char *path = vk_state_path(h->config, "repos/%s.git", stack);
		if (repo_packs(path) > PACKS_MAX)
			repack(h, path);
	}
}

static void on_quiet(void *arg)
{
	next(arg);
}

struct housekeeping *housekeeping_new(struct vk_loop *l, const struct vk_config *c)
{
	struct housekeeping *h = vk_alloc(sizeof(*h));
	*h = (struct housekeeping){.loop = l, .config = c};
	h->quiet = vk_timer_new(l, on_quiet, h);
	h->deadline = vk_timer_new(l, on_deadline, h);
	repos_sweep(c);
	return h;
}

void housekeeping_pushed(struct housekeeping *h, const char *stack)
{
	if (!vk_strv_has(&h->stacks, stack) && h->stacks.n < QUEUE_MAX)
		vk_strv_add(&h->stacks, stack);
	vk_timer_set(h->quiet, QUIET_MS);
}

void housekeeping_free(struct housekeeping *h)
{
	if (h == NULL)
		return;
	if (h->child != NULL)
		vk_proc_kill(h->pid, SIGKILL);
	vk_child_free(h->child);
	vk_timer_free(h->quiet);
	vk_timer_free(h->deadline);
	vk_strv_release(&h->stacks);
	free(h);
}
