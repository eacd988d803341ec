#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/mem.h>
#include <viking/proc.h>

#define CHECK_MS     20000
#define MESSAGES_MAX 65536

struct check {
	struct vk_proc proc;
	struct vk_child *child;
	struct vk_io *io;
	struct vk_timer *deadline;
	struct vk_buf messages;
	bool late;
	check_done_fn *done;
	void *arg;
};

void check_free(struct check *c)
{
	if (c == NULL)
		return;
	if (c->child != NULL && c->proc.pid > 0) {
		vk_child_free(c->child);
		vk_proc_kill(c->proc.pid, SIGKILL);
		vk_proc_wait(c->proc.pid, 1000, NULL, NULL);
	}
	vk_io_free(c->io);
	vk_timer_free(c->deadline);
	vk_closep(&c->proc.err);
	vk_buf_release(&c->messages);
	free(c);
}

/* What does not fit is dropped: the first messages name the fault. */
static bool read_messages(struct check *c)
{
	char part[4096];
	ssize_t n = read(c->proc.err, part, sizeof(part));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n > 0)
		vk_buf_add(&c->messages, part, (size_t)n);
	return n > 0;
}

static void on_output(void *arg, int fd, int what)
{
	struct check *c = arg;
	(void)fd;
	(void)what;
	if (!read_messages(c))
		vk_io_set(c->io, 0);
}

static void on_child(void *arg, pid_t pid, int status)
{
	struct check *c = arg;
	struct vk_err err = {0};
	(void)pid;
	vk_child_free(c->child);
	c->child = NULL;
	for (int i = 0; i < 64 && read_messages(c); i++)
		;
	if (c->late)
		vk_err_set(&err, VK_TIMEOUT, "haproxy -c did not end in %d s", CHECK_MS / 1000);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		vk_err_set(&err, VK_FAILED, "haproxy refuses the rendered configuration");
	c->done(c->arg, &err, vk_buf_str(&c->messages));
	c->proc.pid = 0;
	check_free(c);
}

static void on_deadline(void *arg)
{
	struct check *c = arg;
	c->late = true;
	vk_proc_kill(c->proc.pid, SIGKILL);
}

int check_start(struct vk_loop *l, const char *haproxy, const char *file, check_done_fn *done,
	void *arg, struct check **ret, struct vk_err *err)
{
	const char *const argv[] = {haproxy, "-c", "-f", file, NULL};
	struct vk_proc_opts o = {
		.path = haproxy,
		.argv = argv,
		.in = VK_FD_NULL,
		.out = VK_FD_NULL,
		.err = VK_FD_PIPE,
		.die_with_parent = true,
	};
	struct check *c = vk_alloc(sizeof(*c));
	int rc = vk_proc_start(&o, &c->proc, err);
	if (rc != 0) {
		c->proc.err = -1;
		check_free(c);
		return rc;
	}
	fcntl(c->proc.err, F_SETFL, O_NONBLOCK);
	c->done = done;
	c->arg = arg;
	vk_buf_init(&c->messages, MESSAGES_MAX);
	c->child = vk_child_new(l, c->proc.pid, on_child, c);
	c->io = vk_io_new(l, c->proc.err, VK_READ, on_output, c);
	c->deadline = vk_timer_new(l, on_deadline, c);
	vk_timer_set(c->deadline, CHECK_MS);
	*ret = c;
	return 0;
}

int check_now(const char *haproxy, const char *file, struct vk_buf *messages, struct vk_err *err)
{
	const char *const argv[] = {haproxy, "-c", "-f", file, NULL};
	struct vk_proc_opts o = {.path = haproxy, .argv = argv};
	return vk_proc_run(&o, NULL, 0, NULL, messages, CHECK_MS, err);
}
