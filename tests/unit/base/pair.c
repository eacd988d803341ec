#include "pair.h"

#include <criterion/criterion.h>
#include <sys/wait.h>
#include <viking/fs.h>
#include <viking/str.h>

#define DEADLINE_MS 10000

void pair_init(struct pair *p)
{
	struct vk_err err = {0};
	*p = (struct pair){.dir = "/tmp/viking-base-XXXXXX"};
	cr_assert_not_null(mkdtemp(p->dir));
	snprintf(p->socket, sizeof(p->socket), "%s/s", p->dir);
	cr_assert_eq(vk_loop_new(&p->loop, &err), 0, "%s", err.msg);
}

void pair_release(struct pair *p)
{
	vk_loop_free(p->loop);
	vk_fs_remove_tree(p->dir, NULL);
}

static void on_deadline(void *arg)
{
	*(bool *)arg = true;
}

static void ended(void *arg, pid_t pid, int status)
{
	(void)pid;
	*(int *)arg = status;
}

void pair_until(struct pair *p, const bool *flag)
{
	bool late = false;
	struct vk_timer *t = vk_timer_new(p->loop, on_deadline, &late);
	vk_timer_set(t, DEADLINE_MS);
	while (!*flag && !late)
		vk_loop_once(p->loop, -1);
	vk_timer_free(t);
	cr_assert(*flag, "it did not happen within %d ms", DEADLINE_MS);
}

void pair_run(struct pair *p, int (*client)(const char *socket))
{
	fflush(NULL);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		alarm(DEADLINE_MS / 1000);
		_exit(client(p->socket));
	}
	int status = -1;
	bool late = false;
	struct vk_timer *t = vk_timer_new(p->loop, on_deadline, &late);
	struct vk_child *c = vk_child_new(p->loop, pid, ended, &status);
	vk_timer_set(t, DEADLINE_MS + 2000);
	while (status == -1 && !late)
		vk_loop_once(p->loop, -1);
	vk_child_free(c);
	vk_timer_free(t);
	cr_assert(!late, "the client did not end");
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		"the client ended with status 0x%x", status);
}
