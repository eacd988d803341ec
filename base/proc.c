#include <viking/proc.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/str.h>

#define GROUPS_MAX 64
#define TAIL_MAX   4096 /* of stderr, kept for the error message */

static const char *const default_env[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"LANG=C.UTF-8",
	NULL,
};

/* All that the child needs, prepared before the fork: between vfork and exec it shares our memory and
 * may only make system calls. It writes why it failed into the same struct. */
struct plan {
	const struct vk_proc_opts *o;
	int fds[3]; /* for 0, 1, 2; -1 = leave as it is */
	pid_t parent;
	bool switch_user;
	uid_t uid;
	gid_t gid, groups[GROUPS_MAX];
	int ngroups;
	char nice[12];
	const char *volatile failed; /* the step, NULL = exec went through */
	volatile int errnum;
};

static void step_failed(struct plan *p, const char *step)
{
	p->errnum = errno;
	p->failed = step;
	_exit(127);
}

static void step(struct plan *p, bool ok, const char *what)
{
	if (!ok)
		step_failed(p, what);
}

static void child_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &dfl, NULL);
}

static void child_descriptors(struct plan *p)
{
	/* sources out of 0..2 first, so that no dup2 below covers one that is still needed */
	for (int i = 0; i < 3; i++)
		if (p->fds[i] >= 0 && p->fds[i] < 3 && p->fds[i] != i) {
			p->fds[i] = fcntl(p->fds[i], F_DUPFD_CLOEXEC, 3);
			step(p, p->fds[i] >= 0, "descriptors");
		}
	for (int i = 0; i < 3; i++) {
		if (p->fds[i] == i)
			step(p, fcntl(i, F_SETFD, 0) == 0, "descriptors");
		else if (p->fds[i] >= 0)
			step(p, dup2(p->fds[i], i) == i, "descriptors");
	}
	vk_cloexec_from(3);
	for (const int *fd = p->o->keep; fd != NULL && *fd != -1; fd++)
		step(p, fcntl(*fd, F_SETFD, 0) == 0, "descriptors to keep");
}

static void child_limit(struct plan *p, int resource, uint64_t limit)
{
	struct rlimit r = {.rlim_cur = limit, .rlim_max = limit};
	if (limit != 0)
		step(p, setrlimit((__rlimit_resource_t)resource, &r) == 0, "resource limits");
}

static void child_limits(struct plan *p)
{
	child_limit(p, RLIMIT_AS, p->o->limit_as);
	child_limit(p, RLIMIT_CPU, p->o->limit_cpu_s);
	child_limit(p, RLIMIT_FSIZE, p->o->limit_fsize);
	child_limit(p, RLIMIT_NOFILE, p->o->limit_nofile);
	child_limit(p, RLIMIT_NPROC, p->o->limit_nproc);
}

static void child_ambient(struct plan *p)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}, {0}};
	for (const int *c = p->o->ambient_caps; *c != -1; c++) {
		unsigned bit = 1u << (*c % 32);
		data[*c / 32].effective |= bit;
		data[*c / 32].permitted |= bit;
		data[*c / 32].inheritable |= bit;
	}
	step(p, syscall(SYS_capset, &head, data) == 0, "capabilities");
	for (const int *c = p->o->ambient_caps; *c != -1; c++)
		step(p, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, *c, 0, 0) == 0, "capabilities");
}

/* Raw system calls: the C library's wrappers would tell other threads, whose memory we share. */
static void child_user(struct plan *p)
{
	bool caps = p->o->ambient_caps != NULL && p->o->ambient_caps[0] != -1;
	if (!p->switch_user)
		return;
	if (caps)
		step(p, prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0, "capabilities");
	step(p, syscall(SYS_setgroups, p->ngroups, p->groups) == 0, "groups");
	step(p, syscall(SYS_setresgid, p->gid, p->gid, p->gid) == 0, "group");
	step(p, syscall(SYS_setresuid, p->uid, p->uid, p->uid) == 0, "user");
	if (caps)
		child_ambient(p);
}

/* Where sessions are groups, a process's nice value counts within its session alone; the group has one of its own. */
static void child_priority(const struct plan *p)
{
	if (p->o->nice == 0)
		return;
	setpriority(PRIO_PROCESS, 0, p->o->nice);
	int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
	ssize_t done = fd >= 0 ? write(fd, p->nice, strlen(p->nice)) : 0;
	(void)done; /* a wish */
}

static void child_run(struct plan *p)
{
	const struct vk_proc_opts *o = p->o;
	sigset_t none;
	child_signals();
	if (o->new_session)
		step(p, setsid() >= 0, "session");
	else
		step(p, setpgid(0, 0) == 0, "process group");
	child_priority(p);
	child_limits(p);
	child_user(p);
	if (o->no_new_privs)
		step(p, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no-new-privs");
	/* after the switch, which clears it; the parent may have died before it was set */
	if (o->die_with_parent) {
		step(p, prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "death signal");
		if (getppid() != p->parent)
			_exit(127);
	}
	step(p, chdir(o->cwd != NULL ? o->cwd : "/") == 0, "working directory");
	child_descriptors(p);
	if (o->controlling_tty)
		step(p, ioctl(0, TIOCSCTTY, 0) == 0, "controlling terminal");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(o->path, (char *const *)(uintptr_t)o->argv,
		(char *const *)(uintptr_t)(o->env != NULL ? o->env : default_env));
	step_failed(p, "exec");
}

/* A frame of its own, which the child never leaves: after vfork it runs on our stack. */
static __attribute__((noinline)) pid_t fork_child(struct plan *p)
{
	pid_t pid = vfork();
	if (pid == 0)
		child_run(p);
	return pid;
}

static int find_user(struct plan *p, struct vk_err *err)
{
	const char *user = p->o->user;
	struct passwd pw, *found = NULL;
	char buf[4096];
	if (user == NULL)
		return 0;
	int rc = getpwnam_r(user, &pw, buf, sizeof(buf), &found);
	if (rc != 0)
		return vk_err_errno(err, rc, "user %s", user);
	if (found == NULL)
		return vk_err_set(err, VK_NOTFOUND, "there is no user %s", user);
	p->uid = pw.pw_uid;
	p->gid = pw.pw_gid;
	p->switch_user = true;
	p->groups[0] = pw.pw_gid;
	p->ngroups = 1;
	if (p->o->no_groups)
		return 0;
	p->ngroups = GROUPS_MAX;
	if (getgrouplist(user, pw.pw_gid, p->groups, &p->ngroups) < 0)
		return vk_err_set(
			err, VK_LIMIT, "user %s is in more than %d groups", user, GROUPS_MAX);
	return 0;
}

struct ends {
	int null;     /* shared by all VK_FD_NULL, -1 if none */
	int child[3]; /* pipe ends for the child, to close here */
	int ours[3];
};

static void ends_release(struct ends *e)
{
	vk_closep(&e->null);
	for (int i = 0; i < 3; i++) {
		vk_closep(&e->child[i]);
		vk_closep(&e->ours[i]);
	}
}

static int open_null(struct ends *e, struct vk_err *err)
{
	if (e->null < 0)
		e->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	return e->null >= 0 ? 0 : vk_err_errno(err, errno, "/dev/null");
}

static int open_end(struct plan *p, struct ends *e, int i, int wanted, struct vk_err *err)
{
	int pair[2];
	p->fds[i] = wanted;
	if (wanted == VK_FD_INHERIT) {
		p->fds[i] = -1;
	} else if (wanted == VK_FD_NULL) {
		int rc = open_null(e, err);
		if (rc != 0)
			return rc;
		p->fds[i] = e->null;
	} else if (wanted == VK_FD_PIPE) {
		if (pipe2(pair, O_CLOEXEC) != 0)
			return vk_err_errno(err, errno, "pipe");
		e->child[i] = pair[i == 0 ? 0 : 1];
		e->ours[i] = pair[i == 0 ? 1 : 0];
		p->fds[i] = e->child[i];
	}
	return 0;
}

static int launch(struct plan *p, pid_t *ret, struct vk_err *err)
{
	sigset_t all, old;
	/* a handler of ours must not run in the child, on our memory */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid_t pid = fork_child(p);
	int saved = errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return vk_err_errno(err, saved, "cannot start %s", p->o->path);
	if (p->failed != NULL) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		if (strcmp(p->failed, "exec") == 0)
			return vk_err_errno(err, p->errnum, "cannot start %s", p->o->path);
		return vk_err_errno(err, p->errnum, "cannot start %s: %s", p->o->path, p->failed);
	}
	*ret = pid;
	return 0;
}

int vk_proc_start(const struct vk_proc_opts *o, struct vk_proc *ret, struct vk_err *err)
{
	struct plan p = {.o = o, .parent = getpid()};
	__attribute__((cleanup(ends_release))) struct ends e = {
		.null = -1, .child = {-1, -1, -1}, .ours = {-1, -1, -1}};
	const int wanted[3] = {o->in, o->out, o->err};
	pid_t pid = -1;
	if (o->path[0] != '/')
		return vk_err_set(
			err, VK_INVALID, "cannot start %s: not an absolute path", o->path);
	snprintf(p.nice, sizeof(p.nice), "%d", o->nice);
	int rc = find_user(&p, err);
	for (int i = 0; i < 3 && rc == 0; i++)
		rc = open_end(&p, &e, i, wanted[i], err);
	if (rc != 0) {
		vk_err_wrap(err, "cannot start %s", o->path);
		return rc;
	}
	rc = launch(&p, &pid, err);
	if (rc != 0)
		return rc;
	*ret = (struct vk_proc){.pid = pid,
		.in = VK_TAKE_FD(e.ours[0]),
		.out = VK_TAKE_FD(e.ours[1]),
		.err = VK_TAKE_FD(e.ours[2])};
	return 0;
}

void vk_proc_kill(pid_t pid, int signo)
{
	if (pid <= 1)
		return;
	if (kill(-pid, signo) != 0)
		kill(pid, signo);
}

static int reap(pid_t pid, int *ret_status, struct vk_err *err)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return vk_err_errno(err, errno, "wait for process %d", (int)pid);
	if (ret_status != NULL)
		*ret_status = status;
	return 0;
}

static int kill_and_reap(pid_t pid)
{
	vk_proc_kill(pid, SIGKILL);
	return reap(pid, NULL, NULL);
}

/* poll's timeout for a deadline on vk_mono_ms; -1 = none */
static int poll_ms(int64_t deadline)
{
	if (deadline < 0)
		return -1;
	int64_t left = deadline - vk_mono_ms();
	return left <= 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

static int64_t deadline_of(int64_t timeout_ms)
{
	return timeout_ms < 0 ? -1 : vk_mono_ms() + timeout_ms;
}

static bool passed(int64_t deadline)
{
	return deadline >= 0 && vk_mono_ms() >= deadline;
}

static int open_pidfd(pid_t pid, int *ret, struct vk_err *err)
{
	*ret = (int)syscall(SYS_pidfd_open, pid, 0);
	return *ret >= 0 ? 0 : vk_err_errno(err, errno, "watch process %d", (int)pid);
}

int vk_proc_wait(pid_t pid, int64_t timeout_ms, int *ret_status, struct vk_err *err)
{
	int64_t deadline = deadline_of(timeout_ms);
	vk_autoclose int pidfd = -1;
	if (timeout_ms < 0)
		return reap(pid, ret_status, err);
	int rc = open_pidfd(pid, &pidfd, err);
	if (rc != 0) {
		kill_and_reap(pid); /* without a deadline to hold it to, it must not stay */
		return rc;
	}
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	while (poll(&pfd, 1, poll_ms(deadline)) <= 0) {
		if (!passed(deadline))
			continue;
		kill_and_reap(pid);
		return vk_err_set(err, VK_TIMEOUT, "process %d took longer than %lld ms", (int)pid,
			(long long)timeout_ms);
	}
	return reap(pid, ret_status, err);
}

/* A run to the end: three descriptors are watched, stdout, stderr and the process itself. What the
 * child's own children still hold open when it has ended is not waited for. */
struct run {
	struct vk_proc p;
	int pidfd, status;
	bool reaped;
	struct vk_buf *out, *errout;
	struct vk_buf tail; /* last bytes of stderr */
};

static void run_release(struct run *r)
{
	if (r->p.pid > 0 && !r->reaped)
		kill_and_reap(r->p.pid);
	vk_closep(&r->p.out);
	vk_closep(&r->p.err);
	vk_closep(&r->pidfd);
	vk_buf_release(&r->tail);
}

static int take_out(struct run *r, const char *p, size_t n, struct vk_err *err)
{
	if (r->out == NULL || vk_buf_add(r->out, p, n) == 0)
		return 0;
	return vk_err_set(err, VK_LIMIT, "its output is over the limit of %zu bytes", r->out->max);
}

static int take_err(struct run *r, const char *p, size_t n, struct vk_err *err)
{
	(void)err;
	if (r->errout != NULL) {
		size_t room = r->errout->max - r->errout->len;
		vk_buf_add(r->errout, p, n < room ? n : room);
	}
	if (n > TAIL_MAX) {
		p += n - TAIL_MAX;
		n = TAIL_MAX;
	}
	if (r->tail.len + n > TAIL_MAX)
		vk_buf_consume(&r->tail, r->tail.len + n - TAIL_MAX);
	vk_buf_add(&r->tail, p, n);
	return 0;
}

typedef int take_fn(struct run *r, const char *p, size_t n, struct vk_err *err);

/* Reads once, or with `all` until the pipe is empty; closes *fd at its end. */
static int drain(struct run *r, int *fd, bool all, take_fn *take, struct vk_err *err)
{
	char chunk[16384];
	while (*fd >= 0) {
		ssize_t n = read(*fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0) {
			vk_closep(fd);
			*fd = -1;
			return 0;
		}
		int rc = take(r, chunk, (size_t)n, err);
		if (rc != 0 || !all)
			return rc;
	}
	return 0;
}

static int run_loop(struct run *r, int64_t timeout_ms, struct vk_err *err)
{
	int64_t deadline = deadline_of(timeout_ms);
	bool ended = false;
	while (!ended) {
		struct pollfd pfd[] = {{.fd = r->pidfd, .events = POLLIN},
			{.fd = r->p.out, .events = POLLIN}, {.fd = r->p.err, .events = POLLIN}};
		if (poll(pfd, VK_COUNT(pfd), poll_ms(deadline)) <= 0) {
			if (passed(deadline))
				return vk_err_set(err, VK_TIMEOUT, "took longer than %lld ms",
					(long long)timeout_ms);
			continue;
		}
		ended = pfd[0].revents != 0;
		int rc = 0;
		if (ended || pfd[1].revents != 0)
			rc = drain(r, &r->p.out, ended, take_out, err);
		if (rc == 0 && (ended || pfd[2].revents != 0))
			rc = drain(r, &r->p.err, ended, take_err, err);
		if (rc != 0)
			return rc;
	}
	r->reaped = true;
	return reap(r->p.pid, &r->status, err);
}

static const char *last_line(char *text)
{
	size_t n = strlen(text);
	while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL)
		text[--n] = '\0';
	char *nl = strrchr(text, '\n');
	return nl != NULL ? nl + 1 : text;
}

static int judge(struct run *r, struct vk_err *err)
{
	if (WIFEXITED(r->status) && WEXITSTATUS(r->status) == 0)
		return 0;
	vk_autofree char *tail = vk_buf_take(&r->tail);
	const char *line = last_line(tail);
	if (*line != '\0')
		return vk_err_set(err, VK_FAILED, "%s", line);
	if (WIFSIGNALED(r->status))
		return vk_err_set(err, VK_FAILED, "ended by signal %d", WTERMSIG(r->status));
	return vk_err_set(err, VK_FAILED, "exit status %d", WEXITSTATUS(r->status));
}

/* The input lies in memory as a whole already, so a file of memory serves as stdin: nothing to write
 * while it runs, and no broken pipe when it does not read. */
static int input_fd(const void *input, size_t n, int *ret, struct vk_err *err)
{
	vk_autoclose int fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0)
		return vk_err_errno(err, errno, "memory file");
	int rc = vk_write_all(fd, input, n, err);
	if (rc != 0)
		return rc;
	if (lseek(fd, 0, SEEK_SET) != 0)
		return vk_err_errno(err, errno, "memory file");
	*ret = VK_TAKE_FD(fd);
	return 0;
}

static int run_start(const struct vk_proc_opts *given, int in, struct run *r, struct vk_err *err)
{
	struct vk_proc_opts o = *given;
	o.in = in >= 0 ? in : VK_FD_NULL;
	o.out = r->out != NULL ? VK_FD_PIPE : VK_FD_NULL;
	o.err = VK_FD_PIPE;
	int rc = vk_proc_start(&o, &r->p, err);
	if (rc != 0)
		return rc;
	if (r->p.out >= 0)
		fcntl(r->p.out, F_SETFL, O_NONBLOCK);
	fcntl(r->p.err, F_SETFL, O_NONBLOCK);
	return open_pidfd(r->p.pid, &r->pidfd, err);
}

int vk_proc_run(const struct vk_proc_opts *o, const void *input, size_t n, struct vk_buf *out,
	struct vk_buf *errout, int64_t timeout_ms, struct vk_err *err)
{
	vk_autoclose int in = -1;
	__attribute__((cleanup(run_release))) struct run r = {.p = {.out = -1, .err = -1},
		.pidfd = -1,
		.out = out,
		.errout = errout,
		.tail = VK_BUF_INIT(TAIL_MAX)};
	int rc = n > 0 ? input_fd(input, n, &in, err) : 0;
	if (rc == 0)
		rc = run_start(o, in, &r, err);
	if (rc != 0)
		return rc;
	rc = run_loop(&r, timeout_ms, err);
	if (rc == 0)
		rc = judge(&r, err);
	if (rc != 0)
		vk_err_wrap(err, "%s", o->argv[0]);
	return rc;
}

int vk_proc_start_time(pid_t pid, uint64_t *ret)
{
	char path[32];
	vk_autobuf b = VK_BUF_INIT(4096);
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (pid <= 0 || vk_fs_read(path, &b, NULL) != 0)
		return VK_NOTFOUND;
	/* the name in field 2 may hold anything, blanks and brackets too: count from its last ')' */
	char *at = strrchr(b.data, ')');
	if (at == NULL || at[1] != ' ' || strchr("ZX", at[2]) != NULL)
		return VK_NOTFOUND;
	at++;
	for (int field = 3; field < 22 && at != NULL; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL)
		return VK_INTERNAL;
	at++;
	at[strcspn(at, " ")] = '\0';
	return vk_parse_u64(at, 0, UINT64_MAX, ret) == 0 ? 0 : VK_INTERNAL;
}

void vk_cloexec_from(int fd)
{
	close_range((unsigned)fd, ~0u, CLOSE_RANGE_CLOEXEC);
}
