/*
 * Each layer is tried alone, in a child: what it is there to stop is refused, with the other layers off; and the same
 * act succeeds without it, so that a refusal means the layer.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/sandbox.h>
#include <viking/str.h>

#include "tmpdir.h"

#define KILLED 1000 /* outcome: ended by SIGSYS */

typedef int act_fn(const char *arg); /* 0 = it worked, else errno */

/* Runs act in a child, confined by s (NULL = not at all); 0, an errno, or KILLED. */
static int outcome(const struct vk_sandbox *s, act_fn *act, const char *arg)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct vk_err e = {0};
		if (s != NULL && vk_sandbox_enter(s, NULL, &e) != 0) {
			fprintf(stderr, "%s\n", e.msg);
			_exit(255);
		}
		_exit(act(arg));
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		cr_assert_eq(WTERMSIG(status), SIGSYS, "signal %d", WTERMSIG(status));
		return KILLED;
	}
	cr_assert_neq(WEXITSTATUS(status), 255, "the sandbox could not be entered");
	return WEXITSTATUS(status);
}

static int result(long rc)
{
	return rc < 0 ? errno : 0;
}

static int act_read(const char *path)
{
	return result(open(path, O_RDONLY));
}

static int act_write(const char *path)
{
	return result(open(path, O_WRONLY | O_CREAT, 0600));
}

static int act_truncate(const char *path)
{
	return result(truncate(path, 0));
}

static int act_remove(const char *path)
{
	return result(unlink(path));
}

static int act_list(const char *path)
{
	return result(open(path, O_RDONLY | O_DIRECTORY));
}

static int act_exec(const char *path)
{
	char prog[] = "x";
	char *argv[] = {prog, NULL};
	execve(path, argv, argv + 1);
	return errno;
}

static int act_fork(const char *arg)
{
	(void)arg;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int act_socket(const char *arg)
{
	(void)arg;
	return result(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int act_inet_socket(const char *arg)
{
	(void)arg;
	return result(socket(AF_INET, SOCK_STREAM, 0));
}

static int act_packet_socket(const char *arg)
{
	(void)arg;
	return result(socket(AF_PACKET, SOCK_RAW, 0));
}

static int act_connect(const char *arg)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons(1),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	(void)arg;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return fd < 0 ? errno : result(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}

static int act_ptrace(const char *arg)
{
	(void)arg;
	return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int act_unshare(const char *arg)
{
	(void)arg;
	return result(unshare(CLONE_NEWUTS));
}

static int act_clone_namespace(const char *arg)
{
	(void)arg;
	long pid = syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int act_clone3(const char *arg)
{
	(void)arg;
	return result(syscall(SYS_clone3, NULL, 0));
}

static int act_mount(const char *path)
{
	return result(mount("none", path, "tmpfs", 0, NULL));
}

static int act_exec_memory(const char *arg)
{
	(void)arg;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			MAP_FAILED
		? errno
		: 0;
}

static int act_protect_exec(const char *arg)
{
	(void)arg;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? 200 : result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int act_kill_parent(const char *arg)
{
	(void)arg;
	return result(kill(getppid(), 0));
}

/* ---- landlock alone ---- */

struct places {
	char *dir, *in, *out;
};

static struct places make_places(char *dir)
{
	struct places p = {.dir = vk_asprintf("%s/in", dir),
		.in = vk_asprintf("%s/in/f", dir),
		.out = vk_asprintf("%s/out", dir)};
	cr_assert_eq(mkdir(p.dir, 0755), 0);
	cr_assert_eq(vk_fs_write_atomic(p.in, "x", 1, 0644, NULL), 0);
	cr_assert_eq(vk_fs_write_atomic(p.out, "x", 1, 0644, NULL), 0);
	return p;
}

static void places_release(struct places *p)
{
	free(p->dir);
	free(p->in);
	free(p->out);
}

#define autoplaces __attribute__((cleanup(places_release))) struct places

Test(sandbox, landlock_read_paths)
{
	autotmp dir = tmpdir_new();
	autoplaces p = make_places(dir);
	const char *const read[] = {p.dir, "/nonexistent-is-fine", NULL};
	struct vk_sandbox s = {.read_paths = read, .use_landlock = true, .mode = "require"};
	cr_assert_eq(outcome(&s, act_read, p.in), 0);
	cr_assert_eq(outcome(&s, act_list, p.dir), 0);
	cr_assert_eq(outcome(&s, act_read, p.out), EACCES);
	cr_assert_eq(outcome(NULL, act_read, p.out), 0);
	cr_assert_eq(outcome(&s, act_list, "/"), EACCES);
	cr_assert_eq(outcome(&s, act_write, p.in), EACCES);
	cr_assert_eq(outcome(NULL, act_write, p.in), 0);
	cr_assert_eq(outcome(&s, act_truncate, p.in), EACCES);
	cr_assert_eq(outcome(NULL, act_truncate, p.out), 0);
	cr_assert_eq(outcome(&s, act_exec, "/bin/true"), EACCES);
	cr_assert_eq(outcome(&s, act_remove, p.in), EACCES);
	cr_assert_eq(outcome(NULL, act_remove, p.in), 0);
}

Test(sandbox, landlock_write_paths)
{
	autotmp dir = tmpdir_new();
	autoplaces p = make_places(dir);
	vk_autofree char *fresh = vk_asprintf("%s/fresh", p.dir),
			 *outside = vk_asprintf("%s/fresh", dir);
	const char *const write[] = {p.dir, p.out, NULL};
	struct vk_sandbox s = {.write_paths = write, .use_landlock = true, .mode = "require"};
	cr_assert_eq(outcome(&s, act_write, fresh), 0);
	cr_assert_eq(outcome(&s, act_read, fresh), 0);
	cr_assert_eq(outcome(&s, act_remove, fresh), 0);
	cr_assert_eq(outcome(&s, act_write, p.out), 0); /* a rule on a single file */
	cr_assert_eq(outcome(&s, act_write, outside), EACCES);
	cr_assert_eq(outcome(NULL, act_write, outside), 0);
	cr_assert_eq(outcome(&s, act_exec, "/bin/true"), EACCES);
}

Test(sandbox, landlock_exec_paths)
{
	const char *const exec[] = {"/usr", "/bin", "/lib", "/lib64", NULL};
	struct vk_sandbox s = {.exec_paths = exec, .use_landlock = true, .mode = "require"};
	autotmp dir = tmpdir_new();
	vk_autofree char *copy = vk_asprintf("%s/true", dir);
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	cr_assert_eq(vk_fs_read("/bin/true", &b, NULL), 0);
	cr_assert_eq(vk_fs_write_atomic(copy, b.data, b.len, 0755, NULL), 0);
	cr_assert_eq(outcome(&s, act_exec, "/bin/true"), 0);
	cr_assert_eq(outcome(&s, act_exec, copy), EACCES);
	cr_assert_eq(outcome(NULL, act_exec, copy), 0);
}

Test(sandbox, landlock_without_any_file)
{
	const char *const ignored[] = {"/", NULL};
	struct vk_sandbox s = {
		.read_paths = ignored, .no_files = true, .use_landlock = true, .mode = "require"};
	cr_assert_eq(outcome(&s, act_read, "/etc/passwd"), EACCES);
	cr_assert_eq(outcome(NULL, act_read, "/etc/passwd"), 0);
	cr_assert_eq(outcome(&s, act_socket, NULL), 0); /* of sockets it knows nothing */
}

/* The network and signal rights go with the closed profiles; seccomp itself is left out. */
Test(sandbox, landlock_net_and_signals_of_closed_profiles)
{
	struct vk_sandbox s = {.no_files = true,
		.use_landlock = true,
		.seccomp = VK_SECCOMP_SESSION,
		.mode = "no-seccomp"};
	struct vk_sandbox_report r;
	vk_sandbox_probe(&r);
	if (r.landlock_abi >= 4) {
		cr_assert_eq(outcome(&s, act_connect, NULL), EACCES);
		cr_assert_eq(outcome(NULL, act_connect, NULL), ECONNREFUSED);
	}
	if (r.landlock_abi >= 6) {
		cr_assert_eq(outcome(&s, act_kill_parent, NULL), EPERM);
		cr_assert_eq(outcome(NULL, act_kill_parent, NULL), 0);
	}
	s.seccomp = VK_SECCOMP_DAEMON;
	cr_assert_eq(outcome(&s, act_connect, NULL), ECONNREFUSED);
}

/* ---- seccomp alone ---- */

static struct vk_sandbox filter(enum vk_seccomp profile)
{
	return (struct vk_sandbox){
		.no_files = true, .use_landlock = true, .seccomp = profile, .mode = "no-landlock"};
}

Test(sandbox, seccomp_daemon)
{
	struct vk_sandbox s = filter(VK_SECCOMP_DAEMON);
	cr_assert_eq(outcome(&s, act_read, "/etc/passwd"), 0);
	cr_assert_eq(outcome(&s, act_socket, NULL), 0);
	cr_assert_eq(outcome(&s, act_exec, "/bin/true"), EPERM);
	cr_assert_eq(outcome(&s, act_fork, NULL), EPERM);
	cr_assert_eq(outcome(&s, act_ptrace, NULL), EPERM);
	cr_assert_eq(outcome(NULL, act_ptrace, NULL), 0);
	cr_assert_eq(outcome(&s, act_unshare, NULL), EPERM);
	cr_assert_eq(outcome(&s, act_clone3, NULL), ENOSYS);
	cr_assert_eq(outcome(&s, act_packet_socket, NULL), EPERM);
}

Test(sandbox, seccomp_spawn)
{
	struct vk_sandbox s = filter(VK_SECCOMP_SPAWN);
	cr_assert_eq(outcome(&s, act_exec, "/bin/true"), 0);
	cr_assert_eq(outcome(&s, act_fork, NULL), 0);
	cr_assert_eq(outcome(&s, act_ptrace, NULL), EPERM);
	cr_assert_eq(outcome(&s, act_clone_namespace, NULL), EPERM);
	cr_assert_eq(outcome(&s, act_mount, "/mnt"), EPERM);
	cr_assert_eq(outcome(&s, act_packet_socket, NULL), EPERM);
}

Test(sandbox, seccomp_client)
{
	struct vk_sandbox s = filter(VK_SECCOMP_CLIENT);
	cr_assert_eq(outcome(&s, act_exec, "/bin/true"), 0);
	cr_assert_eq(outcome(&s, act_inet_socket, NULL), 0);
	cr_assert_eq(outcome(&s, act_socket, NULL), EPERM, "one of this host");
	cr_assert_eq(outcome(&s, act_packet_socket, NULL), EPERM);
	cr_assert_eq(outcome(&s, act_mount, "/mnt"), EPERM);
}

static void closed_profile(enum vk_seccomp profile)
{
	struct vk_sandbox s = filter(profile);
	cr_assert_eq(outcome(&s, act_read, "/etc/passwd"), EPERM);
	cr_assert_eq(outcome(&s, act_write, "/tmp/viking-unit-never"), EPERM);
	cr_assert_eq(outcome(&s, act_socket, NULL), EPERM);
	cr_assert_eq(outcome(&s, act_fork, NULL), EPERM);
	cr_assert_eq(outcome(&s, act_exec, "/bin/true"), KILLED);
	cr_assert_eq(outcome(&s, act_ptrace, NULL), KILLED);
	cr_assert_eq(outcome(&s, act_unshare, NULL), KILLED);
	cr_assert_eq(outcome(&s, act_mount, "/mnt"), KILLED);
	cr_assert_eq(outcome(&s, act_exec_memory, NULL), EPERM);
	cr_assert_eq(outcome(&s, act_protect_exec, NULL), EPERM);
	cr_assert_eq(outcome(&s, act_kill_parent, NULL), EPERM);
}

Test(sandbox, seccomp_pure)
{
	closed_profile(VK_SECCOMP_PURE);
}

Test(sandbox, seccomp_session)
{
	closed_profile(VK_SECCOMP_SESSION);
}

static int pair[2];

static int act_pipe_work(const char *arg)
{
	char text[8] = "";
	struct pollfd p = {.fd = pair[0], .events = POLLIN};
	struct stat st;
	char *memory = malloc(1 << 20);
	(void)arg;
	if (memory == NULL || write(pair[1], "hello", 5) != 5 || poll(&p, 1, 1000) != 1)
		return 1;
	memory[12345] = 1;
	free(memory);
	if (fstat(pair[0], &st) != 0 || read(pair[0], text, 5) != 5 || strcmp(text, "hello") != 0)
		return 2;
	return vk_mono_ms() > 0 ? 0 : 3;
}

static int act_socket_work(const char *arg)
{
	char text[8] = "";
	int value;
	socklen_t len = sizeof(value);
	(void)arg;
	if (send(pair[1], "hello", 5, MSG_NOSIGNAL) != 5 || recv(pair[0], text, 5, 0) != 5)
		return 1;
	if (getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &value, &len) != 0 ||
		shutdown(pair[1], SHUT_WR) != 0)
		return 2;
	return fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0 ? 0 : 3;
}

Test(sandbox, closed_profiles_can_do_their_work)
{
	struct vk_sandbox pure = filter(VK_SECCOMP_PURE), session = filter(VK_SECCOMP_SESSION);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_assert_eq(outcome(&pure, act_pipe_work, NULL), 0);
	cr_assert_eq(outcome(&session, act_pipe_work, NULL), 0);
	cr_assert_eq(outcome(&pure, act_socket_work, NULL), 1); /* no socket calls for pure work */
	cr_assert_eq(outcome(&session, act_socket_work, NULL), 0);
}

/* ---- the rest, with both off ---- */

/* Opens 3 .. 39, lets all but two be closed, and says which descriptor is not as it should be. */
static int act_descriptors(const char *arg)
{
	const int keep[] = {12, 7, -1};
	struct vk_sandbox s = {.keep_fds = arg == NULL ? keep : NULL, .mode = "off"};
	for (int fd = 3; fd < 40; fd++)
		dup2(0, fd);
	if (vk_sandbox_enter(&s, NULL, NULL) != 0)
		return 100;
	for (int fd = 0; fd < 40; fd++) {
		bool open = fcntl(fd, F_GETFD) >= 0;
		if (open != (fd < 3 || fd == 7 || fd == 12))
			return fd;
	}
	return 0;
}

Test(sandbox, descriptors)
{
	cr_assert_eq(outcome(NULL, act_descriptors, NULL), 0);
	cr_assert_eq(outcome(NULL, act_descriptors, "keep all"), 3);
}

static int act_limits(const char *arg)
{
	struct rlimit r;
	(void)arg;
	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur != 20 || r.rlim_max != 20)
		return 1;
	if (getrlimit(RLIMIT_CORE, &r) != 0 || r.rlim_max != 0)
		return 2;
	if (getrlimit(RLIMIT_FSIZE, &r) != 0 || r.rlim_cur != 4096)
		return 3;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_DUMPABLE) == 0 ? 0 : 4;
}

Test(sandbox, limits_and_privileges)
{
	struct vk_sandbox s = {.limit_nofile = 20, .limit_fsize = 4096, .mode = "off"};
	cr_assert_neq(outcome(NULL, act_limits, NULL), 0);
	cr_assert_eq(outcome(&s, act_limits, NULL), 0);
}

static int act_capabilities(const char *arg)
{
	vk_autobuf b = VK_BUF_INIT(8192);
	static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapAmb"};
	(void)arg;
	if (vk_fs_read("/proc/self/status", &b, NULL) != 0)
		return 100;
	for (int i = 0; i < 4; i++) {
		char want[40];
		snprintf(want, sizeof(want), "%s:\t0000000000000000", sets[i]);
		if (strstr(b.data, want) == NULL)
			return i + 1;
	}
	return 0;
}

static int act_chown(const char *path)
{
	return result(chown(path, 1, 1));
}

Test(sandbox, capabilities)
{
	autotmp dir = tmpdir_new();
	struct vk_sandbox s = {.mode = "off"};
	cr_assert_eq(outcome(&s, act_capabilities, NULL), 0);
	cr_assert_eq(outcome(&s, act_chown, dir), EPERM);
	if (geteuid() == 0)
		cr_assert_eq(outcome(NULL, act_chown, dir), 0);
}

static int act_regain(const char *arg)
{
	char sh[] = "sh", c[] = "-c",
	     script[] = "grep -q 'CapEff:.0000000000000000' /proc/self/status";
	char *argv[] = {sh, c, script, NULL};
	(void)arg;
	execve("/bin/sh", argv, environ);
	return errno;
}

Test(sandbox, capabilities_do_not_come_back_by_exec)
{
	struct vk_sandbox s = {.mode = "off"};
	cr_assert_eq(outcome(&s, act_regain, NULL), 0);
	if (geteuid() == 0)
		cr_assert_neq(outcome(NULL, act_regain, NULL), 0);
}

/* ---- reports ---- */

static char described[320];

static void describe_in_child(const struct vk_sandbox *s)
{
	int fds[2];
	cr_assert_eq(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct vk_sandbox_report r;
		char text[320] = "failed";
		if (vk_sandbox_enter(s, &r, NULL) == 0)
			vk_sandbox_describe(&r, text);
		_exit(write(fds[1], text, sizeof(text)) == sizeof(text) ? 0 : 1);
	}
	cr_assert_eq(read(fds[0], described, sizeof(described)), sizeof(described));
	waitpid(pid, NULL, 0);
	close(fds[0]);
	close(fds[1]);
}

Test(sandbox, reports)
{
	struct vk_sandbox s = {
		.no_files = true, .use_landlock = true, .seccomp = VK_SECCOMP_PURE, .mode = "auto"};
	struct vk_sandbox_report r;
	char want[320];
	vk_sandbox_probe(&r);
	cr_assert(r.landlock && r.seccomp, "this kernel lacks what these tests need");
	vk_sandbox_describe(&r, want);
	describe_in_child(&s);
	cr_assert_str_eq(described, want);
	s.mode = "off";
	describe_in_child(&s);
	cr_assert_str_eq(
		described, "landlock=off(off by configuration) seccomp=off(off by configuration)");
	s = (struct vk_sandbox){.mode = "require"};
	describe_in_child(&s);
	cr_assert_str_eq(described,
		"landlock=off(not used by this process) seccomp=off(not used by this process)");
}

/* A kernel without landlock, played by a filter that answers ENOSYS to its first call. */
static int act_without_landlock(const char *mode)
{
	struct vk_sandbox s = {.no_files = true, .use_landlock = true, .mode = mode};
	struct vk_sandbox_report r;
	struct vk_err e = {0};
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	if (seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0) !=
			0 ||
		seccomp_load(f) != 0)
		return 100;
	seccomp_release(f);
	int rc = vk_sandbox_enter(&s, &r, &e);
	if (strcmp(mode, "require") == 0)
		return rc == VK_UNAVAILABLE && strstr(e.msg, "not in this kernel") != NULL ? 0 : 1;
	return rc == 0 && !r.landlock && strstr(r.landlock_why, "not in this kernel") != NULL ? 0
											      : 2;
}

Test(sandbox, a_missing_layer_is_reported_or_fatal)
{
	cr_assert_eq(outcome(NULL, act_without_landlock, "auto"), 0);
	cr_assert_eq(outcome(NULL, act_without_landlock, "require"), 0);
}
