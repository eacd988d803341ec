#include "inetd.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <viking/httpd.h>
#include <viking/id.h>
#include <viking/log.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "environ.h"
#include "monitor.h"

#define RUNNING_MAX 32
#define BACKLOG     64

struct service {
	const char *socket, *program;
	const char *user;     /* whose peers may come, besides root and our own */
	bool hosts;           /* only with the name of another host */
	unsigned running_max; /* the others wait in the socket's queue */
	int64_t longest_ms;   /* < 0: until it ends */
};
static const struct service exports = {.socket = "export.sock",
	.program = "viking-export",
	.user = "viking-build",
	.running_max = 16,
	.longest_ms = 900000};
static const struct service hosts = {.socket = "receiver.sock",
	.program = "viking-monitor",
	.user = "viking-front",
	.hosts = true,
	.running_max = RUNNING_MAX,
	.longest_ms = -1};

struct running {
	struct inetd *all;
	pid_t pid; /* 0 = free */
	struct vk_child *child;
	struct vk_timer *deadline;
	int notes; /* -1: it has none */
};

struct inetd {
	struct vk_loop *loop;
	const struct vk_config *config;
	const char *config_file;
	const struct service *service;
	struct housekeeping *house;
	char *path;
	int fd;
	struct vk_io *io;
	uid_t user;
	struct running rows[RUNNING_MAX];
};

static struct running *free_row(struct inetd *e)
{
	for (size_t i = 0; i < e->service->running_max; i++)
		if (e->rows[i].pid == 0)
			return &e->rows[i];
	return NULL;
}

static void clear(struct running *x)
{
	vk_child_free(x->child);
	vk_timer_free(x->deadline);
	vk_closep(&x->notes);
	*x = (struct running){.all = x->all, .notes = -1};
}

/* Of a far monitor: there was a push. */
static void read_notes(const struct running *x)
{
	char note[VK_NAME_MAX + 2];
	ssize_t n;
	while (x->notes >= 0 && (n = recv(x->notes, note, sizeof(note) - 1, MSG_DONTWAIT)) > 1) {
		note[n] = '\0';
		if (note[0] == NOTE_PUSHED)
			housekeeping_pushed(x->all->house, note + 1);
	}
}

static void on_exit_status(void *arg, pid_t pid, int status)
{
	struct running *x = arg;
	struct inetd *e = x->all;
	if (status != 0)
		vk_log(VK_WARN, "failed", "program=%s pid=%d status=%d", e->service->program,
			(int)pid, status);
	read_notes(x);
	clear(x);
	vk_io_set(e->io, VK_READ);
}

static void on_deadline(void *arg)
{
	vk_proc_kill(((struct running *)arg)->pid, SIGKILL);
}

/* host: its name, "" when it is not another's. */
static bool may_come(
	const struct inetd *e, int fd, uid_t *ret_uid, char host[static VK_NAME_MAX + 1])
{
	struct ucred peer;
	socklen_t n = sizeof(peer);
	host[0] = '\0';
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
		return false;
	*ret_uid = peer.uid;
	if (e->service->hosts && (!vk_peer_host(fd, host) || !vk_is_host(host)))
		return false;
	return peer.uid == 0 || peer.uid == getuid() || peer.uid == e->user;
}

static void add_words(const struct inetd *e, const char *host, struct vk_strv *argv)
{
	vk_strv_add(argv, e->service->program);
	if (*e->config_file != '\0') {
		vk_strv_add(argv, "--config");
		vk_strv_add(argv, e->config_file);
	}
	if (e->config->root != NULL) {
		vk_strv_add(argv, "--root");
		vk_strv_add(argv, e->config->root);
	}
	vk_strv_add(argv, e->service->hosts ? "far" : "serve");
	if (!e->service->hosts)
		return;
	vk_strv_add(argv, "1"); /* its notes */
	vk_strv_add(argv, e->config_file);
	vk_strv_add(argv, host);
}

static int spawn(struct inetd *e, struct running *x, int fd, const char *host, struct vk_err *err)
{
	vk_autofree char *path = vk_libexec_path(e->config, e->service->program);
	vk_autostrv argv = {0}, env = {0};
	int pair[2] = {-1, -1};
	add_words(e, host, &argv);
	environ_program(&env);
	if (e->service->hosts && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return vk_err_errno(err, errno, "socketpair");
	x->notes = pair[0];
	const struct vk_proc_opts o = {.path = path,
		.argv = (const char *const *)argv.v,
		.env = (const char *const *)env.v,
		.in = fd,
		.out = e->service->hosts ? pair[1] : fd,
		.err = VK_FD_INHERIT,
		.die_with_parent = true};
	struct vk_proc p;
	int rc = vk_proc_start(&o, &p, err);
	vk_closep(&pair[1]);
	if (rc == 0)
		x->pid = p.pid;
	return rc;
}

static void serve(struct inetd *e, struct running *x, int fd, const char *host)
{
	struct vk_err err = {0};
	if (spawn(e, x, fd, host, &err) != 0) {
		vk_log_err(VK_ERROR, e->service->program, &err);
		clear(x);
		return;
	}
	x->child = vk_child_new(e->loop, x->pid, on_exit_status, x);
	x->deadline = vk_timer_new(e->loop, on_deadline, x);
	vk_timer_set(x->deadline, e->service->longest_ms);
	if (free_row(e) == NULL)
		vk_io_set(e->io, 0);
}

static void on_accept(void *arg, int listening, int what)
{
	struct inetd *e = arg;
	struct running *x = free_row(e);
	char host[VK_NAME_MAX + 1];
	uid_t uid = (uid_t)-1;
	(void)what;
	vk_autoclose int fd = x != NULL ? accept4(listening, NULL, NULL, SOCK_CLOEXEC) : -1;
	if (fd < 0)
		return;
	if (may_come(e, fd, &uid, host))
		serve(e, x, fd, host);
	else
		vk_log(VK_WARN, "refused", "socket=%s uid=%u", e->service->socket, (unsigned)uid);
}

static int open_service(struct inetd *e, struct vk_err *err)
{
	const struct passwd *pw = e->config->single_uid ? NULL : getpwnam(e->service->user);
	e->user = pw != NULL ? pw->pw_uid : getuid();
	e->fd = -1;
	e->path = vk_run_path(e->config, "%s", e->service->socket);
	for (size_t i = 0; i < RUNNING_MAX; i++)
		e->rows[i] = (struct running){.all = e, .notes = -1};
	/* peers are checked, not the file's mode */
	int rc = vk_listen_unix(e->path, 0666, NULL, BACKLOG, &e->fd, err);
	if (rc == 0)
		e->io = vk_io_new(e->loop, e->fd, VK_READ, on_accept, e);
	else
		inetd_free(e);
	return rc;
}

static struct inetd *inetd_new(struct vk_loop *l, const struct vk_config *c,
	const char *config_file, const struct service *service)
{
	struct inetd *e = vk_alloc(sizeof(*e));
	*e = (struct inetd){.loop = l, .config = c, .config_file = config_file, .service = service};
	return e;
}

int inetd_exports(struct vk_loop *l, const struct vk_config *c, const char *config_file,
	struct inetd **ret, struct vk_err *err)
{
	struct inetd *e = inetd_new(l, c, config_file, &exports);
	int rc = open_service(e, err);
	if (rc == 0)
		*ret = e;
	return rc;
}

int inetd_hosts(struct vk_loop *l, const struct vk_config *c, const char *config_file,
	struct housekeeping *house, struct inetd **ret, struct vk_err *err)
{
	struct inetd *e = inetd_new(l, c, config_file, &hosts);
	e->house = house;
	int rc = open_service(e, err);
	if (rc == 0)
		*ret = e;
	return rc;
}

void inetd_free(struct inetd *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < RUNNING_MAX; i++) {
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
