/* The nursery's loop: forks sessions, reports their ends. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <viking/log.h>
#include <viking/sandbox.h>
#include <viking/str.h>

#include "hostkeys.h"
#include "nursery.h"
#include "session.h"

#define SESSIONS_MAX 4096
#if defined(__SANITIZE_ADDRESS__)
#define SESSION_AS 0 /* its shadow memory is address space */
#else
#define SESSION_AS ((uint64_t)1 << 30)
#endif
#define SESSION_NOFILE 64

struct row {
	uint32_t id;
	pid_t pid;
};

struct nursery {
	int control, children; /* signalfd of SIGCHLD */
	const struct vk_config *config;
	struct hostkeys *keys;
	size_t n;
	struct row rows[SESSIONS_MAX];
};

static int confine(const struct vk_config *c, int client, int monitor, struct vk_err *err)
{
	const int keep[] = {client, monitor, -1};
	const struct vk_sandbox box = {.no_files = true,
		.use_landlock = true,
		.seccomp = VK_SECCOMP_SESSION,
		.keep_fds = keep,
		.limit_as = SESSION_AS,
		.limit_nofile = SESSION_NOFILE,
		.mode = c->sandbox};
	struct vk_sandbox_report report;
	return vk_sandbox_enter(&box, &report, err);
}

/* In the new process; does not return. */
static void __attribute__((noreturn)) be_session(struct nursery *n, int client, int monitor)
{
	struct vk_err err = {0};
	ssh_session ssh = NULL;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (confine(n->config, client, monitor, &err) != 0) {
		vk_log_err(VK_ERROR, "session-sandbox", &err);
		_exit(SESSION_SANDBOX);
	}
	if (hostkeys_accept(n->keys, client, &ssh, &err) != 0) {
		vk_log_err(VK_ERROR, "session", &err);
		_exit(SESSION_GARBAGE);
	}
	_exit(session_run(ssh, monitor, n->config));
}

static void report_end(struct nursery *n, uint32_t id, int status)
{
	const struct nursery_note note = {.kind = NURSERY_ENDED,
		.id = id,
		.value = (uint32_t)status,
		.client = -1,
		.monitor = -1};
	(void)nursery_send(n->control, &note, NULL); /* gone: the loop sees it next */
}

static void start_session(struct nursery *n, struct nursery_note *note)
{
	pid_t pid = n->n < SESSIONS_MAX && note->client >= 0 ? fork() : -1;
	if (pid == 0)
		be_session(n, note->client, note->monitor);
	if (pid > 0)
		n->rows[n->n++] = (struct row){note->id, pid};
	else
		report_end(n, note->id, SESSION_NO_KEY << 8);
	vk_closep(&note->client);
	vk_closep(&note->monitor);
}

static void kill_session(const struct nursery *n, uint32_t id)
{
	for (size_t i = 0; i < n->n; i++)
		if (n->rows[i].id == id)
			kill(n->rows[i].pid,
				SIGKILL); /* not reaped yet, so the pid is still its own */
}

static void reap(struct nursery *n)
{
	struct signalfd_siginfo info;
	while (read(n->children, &info, sizeof(info)) > 0)
		;
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			return;
		for (size_t i = 0; i < n->n; i++)
			if (n->rows[i].pid == pid) {
				report_end(n, n->rows[i].id, status);
				n->rows[i] = n->rows[--n->n];
				break;
			}
	}
}

static int open_children(struct nursery *n, struct vk_err *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	n->children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return n->children >= 0 ? 0 : vk_err_errno(err, errno, "signalfd");
}

static int on_note(struct nursery *n, struct vk_err *err)
{
	struct nursery_note note;
	int rc = nursery_recv(n->control, &note, err);
	if (rc != 0)
		return rc;
	if (note.kind == NURSERY_START)
		start_session(n, &note);
	else if (note.kind == NURSERY_KILL)
		kill_session(n, note.id);
	return 0;
}

int nursery_serve(int control, const struct vk_config *c, struct hostkeys *keys, struct vk_err *err)
{
	vk_autofree struct nursery *n = vk_alloc(sizeof(*n));
	*n = (struct nursery){.control = control, .children = -1, .config = c, .keys = keys};
	const struct nursery_note ready = {.kind = NURSERY_READY, .client = -1, .monitor = -1};
	int rc = open_children(n, err);
	if (rc == 0)
		rc = nursery_send(control, &ready, err);
	while (rc == 0) {
		struct pollfd p[] = {
			{.fd = control, .events = POLLIN}, {.fd = n->children, .events = POLLIN}};
		if (poll(p, VK_COUNT(p), -1) < 0 && errno != EINTR)
			rc = vk_err_errno(err, errno, "poll");
		if (rc == 0 && p[1].revents != 0)
			reap(n);
		if (rc == 0 && p[0].revents != 0)
			rc = on_note(n, err);
	}
	vk_closep(&n->children);
	return rc == VK_UNAVAILABLE ? 0 : rc; /* the listener has ended */
}
