#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/loop.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "tmpdir.h"

#define DEADLINE_MS 5000

static struct vk_loop *loop;

static void setup(void)
{
	cr_assert_eq(vk_loop_new(&loop, NULL), 0);
}

static void teardown(void)
{
	vk_loop_free(loop);
}

TestSuite(loop, .init = setup, .fini = teardown);

struct seen {
	int calls, what, status, signo;
	pid_t pid;
	struct vk_io *io;
	struct vk_timer *timer;
	struct vk_child *child;
	bool free_me;
};

static void on_io(void *arg, int fd, int what)
{
	struct seen *s = arg;
	char c;
	s->calls++;
	s->what |= what;
	if ((what & VK_READ) && read(fd, &c, 1) == 0)
		s->what |= 64;
	if (s->free_me) {
		vk_io_free(s->io);
		s->io = NULL;
	}
}

static void on_timer(void *arg)
{
	struct seen *s = arg;
	s->calls++;
	if (s->free_me) {
		vk_timer_free(s->timer);
		s->timer = NULL;
	}
}

static void on_child(void *arg, pid_t pid, int status)
{
	struct seen *s = arg;
	s->calls++;
	s->pid = pid;
	s->status = status;
	if (s->free_me) {
		vk_child_free(s->child);
		s->child = NULL;
	}
}

static void on_signal(void *arg, int signo)
{
	struct seen *s = arg;
	s->calls++;
	s->signo = signo;
}

static void run_until(struct seen *s, int calls)
{
	int64_t end = vk_mono_ms() + DEADLINE_MS;
	while (s->calls < calls && vk_mono_ms() < end)
		vk_loop_once(loop, 100);
	cr_assert_geq(s->calls, calls, "no call within %d ms", DEADLINE_MS);
}

/* Nothing ready: passes must wait, not spin. */
static void stays_idle(struct seen *s)
{
	int calls = s->calls, passes = 0;
	int64_t start = vk_mono_ms();
	while (vk_mono_ms() - start < 100) {
		vk_loop_once(loop, 50);
		passes++;
	}
	cr_assert_eq(s->calls, calls);
	cr_assert_lt(passes, 10);
}

Test(loop, reading_pausing_and_freeing)
{
	int pair[2];
	struct seen s = {0};
	cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
	struct vk_io *io = vk_io_new(loop, pair[0], VK_READ, on_io, &s);
	stays_idle(&s);
	cr_assert_eq(write(pair[1], "ab", 2), 2);
	run_until(&s, 2); /* level-triggered: one byte a call */
	cr_assert_eq(write(pair[1], "c", 1), 1);
	vk_io_set(io, 0);
	stays_idle(&s);
	vk_io_set(io, VK_READ);
	run_until(&s, 3);
	vk_io_free(io);
	cr_assert_eq(write(pair[1], "d", 1), 1);
	stays_idle(&s);
	vk_io_free(NULL);
}

Test(loop, an_io_is_freed_inside_its_callback)
{
	int pair[2];
	struct seen s = {.free_me = true};
	cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
	cr_assert_eq(write(pair[1], "ab", 2), 2);
	s.io = vk_io_new(loop, pair[0], VK_READ, on_io, &s);
	run_until(&s, 1);
	stays_idle(&s);
	cr_assert_eq(s.calls, 1);
}

static void free_other(void *arg, int fd, int what)
{
	struct seen *s = arg;
	(void)fd;
	(void)what;
	s->calls++;
	vk_io_free(VK_TAKE(s->io));
}

Test(loop, an_io_freed_by_another_of_the_same_pass_is_not_called)
{
	int a[2], b[2];
	cr_assert_eq(pipe2(a, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(b, O_CLOEXEC), 0);
	struct seen s1 = {0}, s2 = {0};
	struct vk_io *io1 = vk_io_new(loop, a[0], VK_READ, free_other, &s1);
	struct vk_io *io2 = vk_io_new(loop, b[0], VK_READ, free_other, &s2);
	s1.io = io2;
	s2.io = io1;
	cr_assert_eq(write(a[1], "x", 1), 1);
	cr_assert_eq(write(b[1], "x", 1), 1);
	vk_loop_once(loop, DEADLINE_MS);
	cr_assert_eq(s1.calls + s2.calls, 1);
	vk_io_free(s1.calls ? io1 : io2);
}

Test(loop, closed_is_told_though_bytes_are_unread)
{
	int pair[2];
	struct seen s = {.free_me = true};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s.io = vk_io_new(loop, pair[0], VK_CLOSED, on_io, &s);
	cr_assert_eq(write(pair[1], "unread", 6), 6);
	stays_idle(&s); /* readable, and nobody asked for that */
	shutdown(pair[1], SHUT_WR);
	run_until(&s, 1);
	cr_assert_eq(s.what, VK_CLOSED);
}

Test(loop, closed_with_reading)
{
	int pair[2];
	struct seen s = {.free_me = true};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s.io = vk_io_new(loop, pair[0], VK_READ | VK_CLOSED, on_io, &s);
	close(pair[1]);
	run_until(&s, 1);
	cr_assert_eq(s.what, VK_READ | VK_CLOSED | 64);
}

Test(loop, closed_by_a_reset_connection)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	struct linger hard = {.l_onoff = 1};
	struct seen s = {.free_me = true};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&addr, len), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&addr, len), 0);
	int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	s.io = vk_io_new(loop, server, VK_CLOSED, on_io, &s);
	stays_idle(&s);
	cr_assert_eq(setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(client);
	run_until(&s, 1);
	cr_assert_eq(s.what, VK_CLOSED);
	stays_idle(&s);
}

Test(loop, closed_pipe)
{
	int pair[2];
	struct seen s = {.free_me = true};
	cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
	s.io = vk_io_new(loop, pair[0], VK_CLOSED, on_io, &s);
	close(pair[1]);
	run_until(&s, 1);
	cr_assert_eq(s.what, VK_CLOSED);
}

Test(loop, a_regular_file_is_always_ready)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/f", dir);
	struct seen s = {0};
	cr_assert_eq(vk_fs_write_atomic(path, "abc", 3, 0600, NULL), 0);
	vk_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct vk_io *io = vk_io_new(loop, fd, VK_READ, on_io, &s);
	run_until(&s, 4);
	cr_assert_eq(s.what, VK_READ | 64);
	vk_io_set(io, 0);
	stays_idle(&s);
	vk_io_free(io);
}

Test(loop, timers_fire_once_in_time)
{
	struct seen s = {0};
	struct vk_timer *t = vk_timer_new(loop, on_timer, &s);
	stays_idle(&s); /* not armed */
	int64_t start = vk_mono_ms();
	vk_timer_set(t, 30);
	run_until(&s, 1);
	int64_t took = vk_mono_ms() - start;
	cr_assert_geq(took, 29);
	cr_assert_lt(took, 1000);
	stays_idle(&s);
	vk_timer_set(t, 10);
	vk_timer_set(t, -1);
	stays_idle(&s);
	vk_timer_set(t, 100000);
	vk_timer_set(t, 0);
	run_until(&s, 2);
	vk_timer_free(t);
	vk_timer_free(NULL);
}

Test(loop, a_timer_counts_from_the_call)
{
	struct seen s = {0};
	struct vk_timer *t = vk_timer_new(loop, on_timer, &s);
	vk_loop_once(loop, 1);
	int64_t start = vk_mono_ms();
	while (vk_mono_ms() - start < 50) /* a long callback, as it were */
		;
	vk_timer_set(t, 40);
	start = vk_mono_ms();
	run_until(&s, 1);
	cr_assert_geq(vk_mono_ms() - start, 39);
	vk_timer_free(t);
}

Test(loop, a_timer_is_freed_inside_its_callback)
{
	struct seen s = {.free_me = true};
	s.timer = vk_timer_new(loop, on_timer, &s);
	vk_timer_set(s.timer, 1);
	run_until(&s, 1);
	stays_idle(&s);
}

static pid_t child_that(int exit_status, int signo)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	if (signo != 0)
		raise(signo);
	_exit(exit_status);
}

Test(loop, children_report_how_they_ended)
{
	struct seen a = {.free_me = true}, b = {0};
	a.child = vk_child_new(loop, child_that(7, 0), on_child, &a);
	pid_t killed = child_that(0, SIGKILL);
	b.child = vk_child_new(loop, killed, on_child, &b);
	run_until(&a, 1);
	run_until(&b, 1);
	cr_assert(WIFEXITED(a.status) && WEXITSTATUS(a.status) == 7);
	cr_assert(WIFSIGNALED(b.status) && WTERMSIG(b.status) == SIGKILL);
	cr_assert_eq(b.pid, killed);
	stays_idle(&b);
	cr_assert_eq(b.calls, 1);
	cr_assert_eq(waitpid(killed, NULL, WNOHANG), -1); /* reaped */
	vk_child_free(b.child);
}

Test(loop, a_child_is_watched_no_more_after_free)
{
	struct seen s = {0};
	pid_t pid = child_that(0, 0);
	vk_child_free(vk_child_new(loop, pid, on_child, &s));
	stays_idle(&s);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(loop, a_process_that_is_not_our_child)
{
	struct seen s = {0};
	int pids[2], hold[2];
	pid_t grandchild = 0;
	cr_assert_eq(pipe2(pids, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(hold, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char c;
		close(hold[1]);
		pid_t inner = fork();
		if (inner == 0)
			_exit(read(hold[0], &c, 1) == 0 ? 3 : 4);
		_exit(write(pids[1], &inner, sizeof(inner)) == sizeof(inner) ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(read(pids[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	struct vk_child *c = vk_child_new(loop, grandchild, on_child, &s);
	stays_idle(&s);
	close(hold[1]);
	run_until(&s, 1);
	cr_assert_eq(s.status, VK_CHILD_UNKNOWN);
	cr_assert_eq(s.pid, grandchild);
	vk_child_free(c);
}

Test(loop, a_process_that_is_gone_already_is_told_later)
{
	struct seen s = {0};
	pid_t pid = child_that(0, 0);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	struct vk_child *c = vk_child_new(loop, pid, on_child, &s);
	cr_assert_eq(s.calls, 0);
	run_until(&s, 1);
	cr_assert_eq(s.status, VK_CHILD_UNKNOWN);
	vk_child_free(c);
}

Test(loop, a_child_is_seen_even_without_free_descriptors)
{
	struct seen s = {0};
	struct rlimit old, none;
	vk_loop_once(loop, 1); /* so that the loop has made its own descriptors */
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
	pid_t pid = child_that(5, 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	struct vk_child *c = vk_child_new(loop, pid, on_child, &s);
	int64_t end = vk_mono_ms() + DEADLINE_MS;
	while (s.calls == 0 && vk_mono_ms() < end)
		vk_loop_once(loop, 100);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	cr_assert_eq(s.calls, 1);
	cr_assert(WIFEXITED(s.status) && WEXITSTATUS(s.status) == 5);
	vk_child_free(c);
}

Test(loop, signals)
{
	struct seen s = {0};
	struct vk_signal *h = vk_signal_new(loop, SIGUSR1, on_signal, &s);
	raise(SIGUSR1);
	run_until(&s, 1);
	cr_assert_eq(s.signo, SIGUSR1);
	vk_signal_free(h);
	vk_signal_free(NULL);
}

static void stop(void *arg)
{
	vk_loop_stop(arg, 42);
}

Test(loop, run_ends_with_the_status_of_stop)
{
	struct vk_timer *t = vk_timer_new(loop, stop, loop);
	vk_timer_set(t, 1);
	cr_assert_eq(vk_loop_run(loop), 42);
	vk_loop_stop(loop, 3); /* before it runs */
	cr_assert_eq(vk_loop_run(loop), 3);
	vk_timer_set(t, 1);
	cr_assert_eq(vk_loop_run(loop), 42); /* and it can run again */
	vk_timer_free(t);
}

Test(loop, once_returns_in_time_with_nothing_to_do)
{
	int64_t start = vk_mono_ms();
	vk_loop_once(loop, 0);
	vk_loop_once(loop, 20);
	int64_t took = vk_mono_ms() - start;
	cr_assert_geq(took, 19);
	cr_assert_lt(took, 1000);
}
