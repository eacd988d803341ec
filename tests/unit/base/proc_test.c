#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "tmpdir.h"

#define TIMEOUT_MS 10000

static int count_fds(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* Tests may use a shell where the product may not. */
#define SHELL(text) \
	{ \
		.path = "/bin/sh", .argv = (const char *const[]) \
		{ \
			"sh", "-c", text, NULL \
		} \
	}

static int run(const struct vk_proc_opts *o, struct vk_buf *out, struct vk_err *err)
{
	return vk_proc_run(o, NULL, 0, out, NULL, TIMEOUT_MS, err);
}

static void output_is(const struct vk_proc_opts *o, const char *want)
{
	vk_autobuf out = VK_BUF_INIT(65536);
	struct vk_err e = {0};
	cr_assert_eq(run(o, &out, &e), 0, "%s", e.msg);
	cr_assert_str_eq(vk_buf_str(&out), want);
}

Test(proc, environment_directory_and_arguments_are_what_was_given)
{
	struct vk_proc_opts env = {
		.path = "/usr/bin/env", .argv = (const char *const[]){"env", NULL}};
	setenv("LEAK", "secret", 1);
	output_is(&env,
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/"
		"bin\nLANG=C.UTF-8\n");
	env.env = (const char *const[]){"A=1", "B=x y", NULL};
	output_is(&env, "A=1\nB=x y\n");
	struct vk_proc_opts pwd = {.path = "/bin/sh",
		.argv = (const char *const[]){
			"sh", "-c", "pwd; echo \"$0|$1\"", "a b", "$HOME;x", NULL}};
	output_is(&pwd, "/\na b|$HOME;x\n");
	pwd.cwd = "/usr";
	output_is(&pwd, "/usr\na b|$HOME;x\n");
}

Test(proc, input_and_both_outputs)
{
	vk_autobuf out = VK_BUF_INIT(4 << 20), errout = VK_BUF_INIT(100);
	struct vk_err e = {0};
	struct vk_proc_opts o = SHELL("cat; echo problem >&2");
	size_t n = 3 << 20;
	vk_autofree char *input = vk_alloc(n);
	for (size_t i = 0; i < n; i++)
		input[i] = (char)('a' + i % 26);
	cr_assert_eq(vk_proc_run(&o, input, n, &out, &errout, TIMEOUT_MS, &e), 0, "%s", e.msg);
	cr_assert_eq(out.len, n);
	cr_assert_eq(memcmp(out.data, input, n), 0);
	cr_assert_str_eq(vk_buf_str(&errout), "problem\n");
}

Test(proc, input_that_nobody_reads_is_no_problem)
{
	struct vk_proc_opts o = SHELL("exit 0");
	vk_autofree char *input = vk_alloc(1 << 20);
	struct vk_err e = {0};
	cr_assert_eq(vk_proc_run(&o, input, 1 << 20, NULL, NULL, TIMEOUT_MS, &e), 0, "%s", e.msg);
}

Test(proc, failure_tells_the_last_line)
{
	static const struct {
		const char *script, *msg;
	} rows[] = {{"echo one >&2; echo two >&2; echo >&2; exit 3", "sh: two"},
		{"exit 3", "sh: exit status 3"}, {"kill -9 $$", "sh: ended by signal 9"},
		{"echo out; printf '  x y  ' >&2; exit 1", "sh:   x y"}};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct vk_proc_opts o = SHELL(rows[i].script);
		struct vk_err e = {0};
		cr_assert_eq(run(&o, NULL, &e), VK_FAILED);
		cr_assert_str_eq(e.msg, rows[i].msg);
	}
}

Test(proc, a_flood_on_stderr_keeps_its_end_and_blocks_nothing)
{
	struct vk_proc_opts o =
		SHELL("i=0; while [ $i -lt 20000 ]; do echo \"line $i of the flood\"; "
		      "i=$((i+1)); done >&2; exit 1");
	vk_autobuf errout = VK_BUF_INIT(1000);
	struct vk_err e = {0};
	cr_assert_eq(vk_proc_run(&o, NULL, 0, NULL, &errout, 60000, &e), VK_FAILED);
	cr_assert_str_eq(e.msg, "sh: line 19999 of the flood");
	cr_assert_eq(errout.len, 1000);
	cr_assert(vk_starts(vk_buf_str(&errout), "line 0 of"));
}

Test(proc, too_much_output_ends_it)
{
	struct vk_proc_opts o = {
		.path = "/usr/bin/yes", .argv = (const char *const[]){"yes", NULL}};
	vk_autobuf out = VK_BUF_INIT(100000);
	struct vk_err e = {0};
	cr_assert_eq(run(&o, &out, &e), VK_LIMIT);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1); /* killed and reaped */
	cr_assert_eq(errno, ECHILD);
}

Test(proc, a_deadline_kills_the_whole_group)
{
	struct vk_proc_opts o = SHELL("sleep 1000 & echo $!; wait");
	vk_autobuf out = VK_BUF_INIT(100);
	struct vk_err e = {0};
	uint64_t started;
	cr_assert_eq(vk_proc_run(&o, NULL, 0, &out, NULL, 300, &e), VK_TIMEOUT);
	cr_assert_not_null(strstr(e.msg, "300 ms"));
	cr_assert_gt(out.len, 0);
	out.data[out.len - 1] = '\0';
	uint64_t pid;
	cr_assert_eq(vk_parse_u64(out.data, 2, 1 << 30, &pid), 0);
	int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	cr_assert(pidfd < 0 || poll(&p, 1, TIMEOUT_MS) == 1);
	cr_assert_eq(vk_proc_start_time((pid_t)pid, &started), VK_NOTFOUND);
}

Test(proc, what_it_leaves_behind_is_not_waited_for)
{
	struct vk_proc_opts o = SHELL("sleep 1000 & echo $!");
	vk_autobuf out = VK_BUF_INIT(100);
	struct vk_err e = {0};
	int64_t start = vk_mono_ms();
	uint64_t pid;
	cr_assert_eq(run(&o, &out, &e), 0, "%s", e.msg);
	cr_assert_lt(vk_mono_ms() - start, TIMEOUT_MS);
	out.data[out.len - 1] = '\0';
	cr_assert_eq(vk_parse_u64(out.data, 2, 1 << 30, &pid), 0);
	cr_assert_eq(kill((pid_t)pid, SIGKILL), 0);
}

Test(proc, exec_errors_come_back)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *plain = vk_asprintf("%s/plain", dir);
	vk_autofree char *garbage = vk_asprintf("%s/garbage", dir);
	struct vk_err e = {0};
	struct vk_proc p;
	const char *const argv[] = {"x", NULL};
	cr_assert_eq(vk_fs_write_atomic(plain, "x", 1, 0644, NULL), 0);
	cr_assert_eq(vk_fs_write_atomic(garbage, "x", 1, 0755, NULL), 0);
	int fds = count_fds();
	struct vk_proc_opts o = {.path = "/nonexistent",
		.argv = argv,
		.in = VK_FD_PIPE,
		.out = VK_FD_PIPE,
		.err = VK_FD_NULL};
	cr_assert_eq(vk_proc_start(&o, &p, &e), VK_NOTFOUND);
	cr_assert_str_eq(e.msg, "cannot start /nonexistent: No such file or directory");
	o.path = plain;
	cr_assert_eq(vk_proc_start(&o, &p, &e), VK_DENIED);
	cr_assert_not_null(strstr(e.msg, plain));
	o.path = garbage;
	cr_assert_eq(vk_proc_start(&o, &p, &e), VK_INTERNAL);
	cr_assert_not_null(strstr(e.msg, "Exec format error"));
	o.path = "sh";
	cr_assert_eq(vk_proc_start(&o, &p, &e), VK_INVALID);
	o.path = "/bin/sh";
	o.cwd = "/nonexistent";
	cr_assert_eq(vk_proc_start(&o, &p, &e), VK_NOTFOUND);
	cr_assert_not_null(strstr(e.msg, "working directory"));
	o.cwd = NULL;
	o.user = "no-such-user";
	cr_assert_eq(vk_proc_start(&o, &p, &e), VK_NOTFOUND);
	cr_assert_not_null(strstr(e.msg, "no-such-user"));
	o.user = NULL;
	o.keep = (const int[]){999, -1};
	cr_assert_lt(vk_proc_start(&o, &p, &e), 0);
	cr_assert_eq(count_fds(), fds);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
}

Test(proc, pipes_are_returned_and_null_is_null)
{
	struct vk_proc_opts o = {.path = "/bin/cat",
		.argv = (const char *const[]){"cat", NULL},
		.in = VK_FD_PIPE,
		.out = VK_FD_PIPE,
		.err = VK_FD_NULL};
	struct vk_proc p;
	struct vk_err e = {0};
	char buf[16] = "";
	int status;
	cr_assert_eq(vk_proc_start(&o, &p, &e), 0, "%s", e.msg);
	cr_assert_eq(p.err, -1);
	cr_assert(fcntl(p.in, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(write(p.in, "hello", 5), 5);
	cr_assert_eq(read(p.out, buf, 5), 5);
	cr_assert_str_eq(buf, "hello");
	close(p.in);
	cr_assert_eq(vk_proc_wait(p.pid, TIMEOUT_MS, &status, &e), 0, "%s", e.msg);
	cr_assert_eq(status, 0);
	close(p.out);
}

Test(proc, only_the_descriptors_named_are_passed_on)
{
	int leaky = open("/dev/zero", O_RDONLY); /* without O_CLOEXEC, as a library might */
	int kept = fcntl(leaky, F_DUPFD_CLOEXEC, 50);
	struct vk_proc_opts o = {.path = "/bin/ls",
		.argv = (const char *const[]){"ls", "/proc/self/fd", NULL},
		.keep = (const int[]){kept, -1}};
	char want[32];
	snprintf(want, sizeof(want), "0\n1\n2\n3\n%d\n", kept); /* 3 is ls's own */
	cr_assert_eq(kept, 50);
	output_is(&o, want);
	cr_assert(fcntl(kept, F_GETFD) & FD_CLOEXEC, "ours has to stay close-on-exec");
	close(leaky);
	close(kept);
}

/* 0, 1 and 2 crossed over: the parent's 1 becomes 0, its 0 becomes 1. */
Test(proc, crossed_standard_descriptors)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *in = vk_asprintf("%s/in", dir), *out = vk_asprintf("%s/out", dir);
	cr_assert_eq(vk_fs_write_atomic(in, "from in", 7, 0600, NULL), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct vk_proc_opts o = {.path = "/bin/cat",
			.argv = (const char *const[]){"cat", NULL},
			.in = 1,
			.out = 0,
			.err = VK_FD_NULL};
		struct vk_proc p;
		int status = -1;
		dup2(open(in, O_RDONLY | O_CLOEXEC), 1);
		dup2(open(out, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), 0);
		if (vk_proc_start(&o, &p, NULL) != 0 ||
			vk_proc_wait(p.pid, TIMEOUT_MS, &status, NULL) != 0)
			_exit(1);
		_exit(status == 0 ? 0 : 2);
	}
	int status;
	vk_autobuf b = VK_BUF_INIT(100);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_eq(vk_fs_read(out, &b, NULL), 0);
	cr_assert_str_eq(vk_buf_str(&b), "from in");
}

static void status_lines(const struct vk_proc_opts *given, const char *pattern, const char *want)
{
	struct vk_proc_opts o = *given;
	o.path = "/bin/grep";
	o.argv = (const char *const[]){"grep", "-E", pattern, "/proc/self/status", NULL};
	output_is(&o, want);
}

Test(proc, signals_are_as_new)
{
	sigset_t set;
	struct vk_proc_opts o = {0};
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	status_lines(&o, "^Sig(Blk|Ign)", "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	sigprocmask(SIG_SETMASK, NULL, &set);
	cr_assert(sigismember(&set, SIGINT));
	cr_assert_eq(signal(SIGTERM, SIG_DFL), SIG_IGN); /* ours are untouched */
}

Test(proc, its_own_process_group_or_session)
{
	vk_autobuf out = VK_BUF_INIT(1000);
	long pid, pgid, sid;
	struct vk_proc_opts o =
		SHELL("read -r pid name state parent group session rest < /proc/self/stat; "
		      "echo $pid $group $session");
	for (int i = 0; i < 2; i++) {
		o.new_session = i == 1;
		vk_buf_clear(&out);
		cr_assert_eq(run(&o, &out, NULL), 0);
		char *at = out.data;
		pid = strtol(at, &at, 10);
		pgid = strtol(at, &at, 10);
		sid = strtol(at, &at, 10);
		cr_assert_eq(pid, pgid);
		cr_assert_eq(sid, i == 1 ? pid : (long)getsid(0));
	}
}

Test(proc, a_session_of_its_own_stands_back_or_ahead)
{
	vk_autobuf out = VK_BUF_INIT(1000);
	struct vk_proc_opts o = SHELL("nice; sed 's/.* nice //' /proc/self/autogroup");
	o.new_session = true;
	o.nice = 5;
	cr_assert_eq(run(&o, &out, NULL), 0);
	cr_assert(vk_starts(vk_buf_str(&out), "5\n"), "%s", vk_buf_str(&out));
	if (access("/proc/self/autogroup", W_OK) == 0)
		cr_assert_str_eq(vk_buf_str(&out), "5\n5\n");
}

Test(proc, limits)
{
	struct vk_proc_opts o = SHELL("ulimit -v; ulimit -t; ulimit -f; ulimit -n");
	o.limit_as = 1 << 30;
	o.limit_cpu_s = 7;
	o.limit_fsize = 1 << 20;
	o.limit_nofile = 33;
	output_is(&o, "1048576\n7\n2048\n33\n");
}

/* Without root a switch is refused, which is all there is to see then. */
static bool may_switch(void)
{
	struct vk_proc_opts o = SHELL("exit 0");
	struct vk_err e = {0};
	o.user = "nobody";
	int rc = run(&o, NULL, &e);
	cr_assert_eq(rc, geteuid() == 0 ? 0 : VK_DENIED, "%s", e.msg);
	return rc == 0;
}

Test(proc, another_user)
{
	struct vk_proc_opts o = {.user = "nobody"};
	if (!may_switch())
		return;
	status_lines(&o, "^(Uid|Gid|Groups|CapEff|CapAmb)",
		"Uid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\nGroups:"
		"\t65534 \n"
		"CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n");
}

Test(proc, a_capability_over_the_switch)
{
	struct vk_proc_opts o = {
		.user = "nobody", .ambient_caps = (const int[]){CAP_NET_BIND_SERVICE, -1}};
	if (!may_switch())
		return;
	status_lines(&o, "^Cap(Prm|Eff|Amb)",
		"CapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapAmb:"
		"\t0000000000000400\n");
}

Test(proc, a_helper_gains_nothing_but_keeps_its_capability)
{
	struct vk_proc_opts o = {.user = "nobody",
		.no_groups = true,
		.no_new_privs = true,
		.ambient_caps = (const int[]){CAP_NET_BIND_SERVICE, -1}};
	if (!may_switch())
		return;
	status_lines(&o, "^(Groups|NoNewPrivs|CapEff)",
		"Groups:\t65534 \nCapEff:\t0000000000000400\nNoNewPrivs:\t1\n");
}

Test(proc, the_parent_keeps_its_user)
{
	uid_t uid = getuid();
	may_switch();
	cr_assert_eq(getuid(), uid);
	cr_assert_eq(geteuid(), uid);
}

Test(proc, it_dies_with_its_parent)
{
	int pids[2];
	pid_t inner = 0;
	const char *const users[] = {NULL, geteuid() == 0 ? "nobody" : NULL};
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(pipe2(pids, O_CLOEXEC), 0);
		pid_t pid = fork();
		if (pid == 0) {
			struct vk_proc_opts o = SHELL("exec sleep 1000");
			struct vk_proc p;
			o.in = o.out = o.err = VK_FD_NULL;
			o.die_with_parent = true;
			o.user = users[i];
			if (vk_proc_start(&o, &p, NULL) != 0)
				_exit(1);
			_exit(write(pids[1], &p.pid, sizeof(p.pid)) == sizeof(p.pid) ? 0 : 1);
		}
		cr_assert_eq(read(pids[0], &inner, sizeof(inner)), sizeof(inner));
		int pidfd = (int)syscall(SYS_pidfd_open, inner, 0);
		struct pollfd p = {.fd = pidfd, .events = POLLIN};
		cr_assert(pidfd < 0 || poll(&p, 1, TIMEOUT_MS) == 1, "still alive");
		waitpid(pid, NULL, 0);
	}
}

Test(proc, wait)
{
	struct vk_proc_opts o = SHELL("exit 9");
	struct vk_proc p;
	struct vk_err e = {0};
	int status = 0;
	cr_assert_eq(vk_proc_start(&o, &p, &e), 0);
	cr_assert_eq(vk_proc_wait(p.pid, -1, &status, &e), 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 9);
	cr_assert_lt(vk_proc_wait(p.pid, 100, &status, &e), 0); /* nothing to wait for */
	o = (struct vk_proc_opts)SHELL("sleep 1000");
	cr_assert_eq(vk_proc_start(&o, &p, &e), 0);
	cr_assert_eq(vk_proc_wait(p.pid, 50, &status, &e), VK_TIMEOUT);
	cr_assert_eq(waitpid(p.pid, NULL, WNOHANG), -1);
	vk_proc_kill(p.pid, SIGTERM); /* gone: fine */
	vk_proc_kill(0, SIGTERM);     /* never our own group, nor everybody */
	vk_proc_kill(-1, SIGTERM);
	vk_proc_kill(1, SIGTERM);
}

Test(proc, start_time_tells_processes_apart)
{
	struct vk_proc_opts o = SHELL("sleep 1000");
	struct vk_proc p;
	uint64_t mine = 0, mine2 = 0, its = 0;
	cr_assert_eq(vk_proc_start_time(getpid(), &mine), 0);
	cr_assert_eq(vk_proc_start_time(getpid(), &mine2), 0);
	cr_assert_gt(mine, 0);
	cr_assert_eq(mine, mine2);
	cr_assert_eq(vk_proc_start(&o, &p, NULL), 0);
	cr_assert_eq(vk_proc_start_time(p.pid, &its), 0);
	cr_assert_geq(its, mine);
	vk_proc_kill(p.pid, SIGKILL);
	siginfo_t info;
	cr_assert_eq(waitid(P_PID, (id_t)p.pid, &info, WEXITED | WNOWAIT), 0);
	cr_assert_eq(vk_proc_start_time(p.pid, &its), VK_NOTFOUND); /* a zombie */
	cr_assert_eq(waitpid(p.pid, NULL, 0), p.pid);
	cr_assert_eq(vk_proc_start_time(p.pid, &its), VK_NOTFOUND);
	cr_assert_eq(vk_proc_start_time(0, &its), VK_NOTFOUND);
}

/* A program whose name has the characters that a naive reader of /proc/PID/stat stumbles over. */
Test(proc, start_time_of_a_program_with_a_strange_name)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/a) R 1 (b", dir);
	struct vk_proc_opts copy = {
		.path = "/bin/cp", .argv = (const char *const[]){"cp", "/bin/sleep", path, NULL}};
	struct vk_proc_opts o = {.path = path, .argv = (const char *const[]){"x", "1000", NULL}};
	struct vk_proc p;
	uint64_t mine, its;
	cr_assert_eq(run(&copy, NULL, NULL), 0);
	cr_assert_eq(vk_proc_start_time(getpid(), &mine), 0);
	cr_assert_eq(vk_proc_start(&o, &p, NULL), 0);
	cr_assert_eq(vk_proc_start_time(p.pid, &its), 0);
	cr_assert_geq(its, mine);
	cr_assert_lt(its, mine + 100000);
	vk_proc_kill(p.pid, SIGKILL);
	cr_assert_eq(waitpid(p.pid, NULL, 0), p.pid);
}

Test(proc, nothing_leaks_over_many_runs)
{
	struct vk_proc_opts o = {.path = "/bin/true", .argv = (const char *const[]){"true", NULL}};
	vk_autobuf out = VK_BUF_INIT(10);
	int fds = count_fds();
	for (int i = 0; i < 50; i++)
		cr_assert_eq(vk_proc_run(&o, "x", 1, &out, &out, TIMEOUT_MS, NULL), 0);
	cr_assert_eq(count_fds(), fds);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
}
