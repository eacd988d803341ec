#include "exports.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <viking/httpd.h>
#include <viking/log.h>
#include <viking/proc.h>

#include "environ.h"

#define EXPORTS_MAX 16
#define EXPORT_MS   900000
#define BACKLOG     64

struct export
{
	struct exports *all;
	pid_t pid; /* 0 = free */
	struct vk_child *child;
	struct vk_timer *deadline;
};

struct exports {
	struct vk_loop *loop;
	const struct vk_config *config;
	const char *config_file;
	char *path;
	int fd;
	struct vk_io *io;
	uid_t builder;
	struct export rows[EXPORTS_MAX];
};

static struct export *free_row(struct exports *e)
{
	for (size_t i = 0; i < EXPORTS_MAX; i++)
		if (e->rows[i].pid == 0)
			return &e->rows[i];
	return NULL;
}

static void clear(struct export *x)
{
	vk_child_free(x->child);
	vk_timer_free(x->deadline);
	*x = (struct export){.all = x->all};
}

static void on_exit_status(void *arg, pid_t pid, int status)
{
	struct export *x = arg;
	struct exports *e = x->all;
	if (status != 0)
		vk_log(VK_WARN, "export-failed", "pid=%d status=%d", (int)pid, status);
	clear(x);
	vk_io_set(e->io, VK_READ);
}

static void on_deadline(void *arg)
{
	vk_proc_kill(((struct export *)arg)->pid, SIGKILL);
}

static bool may_ask(const struct exports *e, int fd, uid_t *ret_uid)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
		return false;
	*ret_uid = peer.uid;
	return peer.uid == 0 || peer.uid == getuid() || peer.uid == e->builder;
}

static int spawn(const struct exports *e, int fd, pid_t *ret, struct vk_err *err)
{
	const char *argv[8] = {"viking-export"};
	size_t n = 1;
	if (*e->config_file != '\0') {
		argv[n++] = "--config";
		argv[n++] = e->config_file;
	}
	if (e->config->root != NULL) {
		argv[n++] = "--root";
		argv[n++] = e->config->root;
	}
	argv[n] = "serve";
	vk_autofree char *path = vk_libexec_path(e->config, "viking-export");
	vk_autostrv env = {0};
	environ_program(&env);
	const struct vk_proc_opts o = {.path = path,
		.argv = argv,
		.env = (const char *const *)env.v,
		.in = fd,
		.out = fd,
		.err = VK_FD_INHERIT,
		.die_with_parent = true};
	struct vk_proc p;
	int rc = vk_proc_start(&o, &p, err);
	if (rc == 0)
		*ret = p.pid;
	return rc;
}

static void serve(struct exports *e, struct export *x, int fd)
{
	struct vk_err err = {0};
	if (spawn(e, fd, &x->pid, &err) != 0) {
		vk_log_err(VK_ERROR, "export", &err);
		x->pid = 0;
		return;
	}
	x->child = vk_child_new(e->loop, x->pid, on_exit_status, x);
	x->deadline = vk_timer_new(e->loop, on_deadline, x);
	vk_timer_set(x->deadline, EXPORT_MS);
	if (free_row(e) == NULL)
		vk_io_set(e->io, 0); /* the others wait in the socket's queue */
}

static void on_accept(void *arg, int listening, int what)
{
	(void)what;
	struct exports *e = arg;
	struct export *x = free_row(e);
	uid_t uid = (uid_t)-1;
	vk_autoclose int fd = x != NULL ? accept4(listening, NULL, NULL, SOCK_CLOEXEC) : -1;
	if (fd < 0)
		return;
	if (may_ask(e, fd, &uid))
		serve(e, x, fd);
	else
		vk_log(VK_WARN, "export-refused", "uid=%u", (unsigned)uid);
}

int exports_new(struct vk_loop *l, const struct vk_config *c, const char *config_file,
	struct exports **ret, struct vk_err *err)
{
	struct exports *e = vk_alloc(sizeof(*e));
	*e = (struct exports){.loop = l,
		.config = c,
		.config_file = config_file,
		.fd = -1,
		.path = vk_run_path(c, "export.sock"),
		.builder = getuid()};
	for (size_t i = 0; i < EXPORTS_MAX; i++)
		e->rows[i].all = e;
	const struct passwd *pw = c->single_uid ? NULL : getpwnam("viking-build");
	if (pw != NULL)
		e->builder = pw->pw_uid;
	/* peers are checked, not the file's mode */
	int rc = vk_listen_unix(e->path, 0666, NULL, BACKLOG, &e->fd, err);
	if (rc != 0) {
		exports_free(e);
		return rc;
	}
	e->io = vk_io_new(l, e->fd, VK_READ, on_accept, e);
	*ret = e;
	return 0;
}

void exports_free(struct exports *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < EXPORTS_MAX; i++) {
		if (e->rows[i].pid != 0)
			vk_proc_kill(e->rows[i].pid, SIGKILL);
		clear(&e->rows[i]);
	}
	vk_io_free(e->io);
	if (e->fd >= 0)
		unlink(e->path);
	vk_closep(&e->fd);
	free(e->path);
	free(e);
}
