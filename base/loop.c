/* Every callback below ends in the user's function: the handle may be gone when it returns. */
#include <viking/loop.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/mem.h>

#define CHILD_POLL_MS 50 /* only while no pidfd is to be had */

struct vk_loop {
	struct event_base *base;
	bool stopped;
	int status;
};

struct vk_io {
	struct vk_loop *loop;
	struct event *ev; /* NULL while paused */
	int fd, what;
	int closed_fd; /* see watch_closed; else -1 */
	vk_io_fn *fn;
	void *arg;
};

struct vk_timer {
	struct event *ev;
	vk_timer_fn *fn;
	void *arg;
};

struct vk_child {
	pid_t pid;
	int pidfd;
	struct vk_io *io;
	struct vk_timer *timer;
	vk_child_fn *fn;
	void *arg;
};

struct vk_signal {
	struct event *ev;
	vk_signal_fn *fn;
	void *arg;
};

/* Running out of memory or descriptors inside the loop, or a handle for a closed descriptor: a daemon
 * that went on would wait for something that never comes. */
static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "event loop: %s: %s\n", what, strerror(errno));
	abort();
}

/* Base does not log; and a descriptor that epoll will not have (see watch_always) is no event. */
static void no_log(int severity, const char *msg)
{
	(void)severity;
	(void)msg;
}

int vk_loop_new(struct vk_loop **ret, struct vk_err *err)
{
	event_set_log_callback(no_log);
	struct event_config *cfg = event_config_new();
	must(cfg != NULL, "configuration");
	event_config_require_features(cfg, EV_FEATURE_EARLY_CLOSE);
	/* timers count from the call, not from the start of the pass, and to the millisecond */
	event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME);
	struct event_base *base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (base == NULL)
		return vk_err_set(
			err, VK_INTERNAL, "cannot make an event loop (epoll): %s", strerror(errno));
	struct vk_loop *l = vk_alloc(sizeof(*l));
	l->base = base;
	*ret = l;
	return 0;
}

void vk_loop_free(struct vk_loop *l)
{
	if (l == NULL)
		return;
	event_base_free(l->base);
	free(l);
}

int vk_loop_run(struct vk_loop *l)
{
	while (!l->stopped)
		must(event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY) >= 0, "run");
	l->stopped = false;
	return l->status;
}

void vk_loop_stop(struct vk_loop *l, int status)
{
	l->stopped = true;
	l->status = status;
	event_base_loopbreak(l->base);
}

static struct timeval timeval_of(int64_t ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static void on_once_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

void vk_loop_once(struct vk_loop *l, int timeout_ms)
{
	if (timeout_ms == 0) {
		event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		return;
	}
	struct event *limit = NULL;
	if (timeout_ms > 0) {
		struct timeval tv = timeval_of(timeout_ms);
		limit = event_new(l->base, -1, 0, on_once_timeout, NULL);
		must(limit != NULL && event_add(limit, &tv) == 0, "timer");
	}
	event_base_loop(l->base, EVLOOP_ONCE);
	if (limit != NULL)
		event_free(limit);
}

struct event_base *vk_loop_base(struct vk_loop *l)
{
	return l->base;
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct vk_io *io = arg;
	(void)fd;
	io->fn(io->arg, io->fd,
		(what & EV_READ ? VK_READ : 0) | (what & EV_WRITE ? VK_WRITE : 0) |
			(what & EV_CLOSED ? VK_CLOSED : 0));
}

static void on_closed(evutil_socket_t fd, short what, void *arg)
{
	struct vk_io *io = arg;
	struct epoll_event e;
	(void)what;
	if (epoll_wait(fd, &e, 1, 0) > 0)
		io->fn(io->arg, io->fd, VK_CLOSED);
}

static void on_always(evutil_socket_t fd, short what, void *arg)
{
	struct vk_io *io = arg;
	(void)fd;
	(void)what;
	io->fn(io->arg, io->fd, io->what & (VK_READ | VK_WRITE));
}

/* libevent turns an error or a full hang-up into "readable, writable" and asks no further: who waits
 * for VK_CLOSED alone would never be called while epoll returns at once, for ever. A second epoll set
 * with this one descriptor, itself watched for reading, tells all three. */
static void watch_closed(struct vk_io *io)
{
	struct epoll_event e = {.events = EPOLLRDHUP};
	io->closed_fd = epoll_create1(EPOLL_CLOEXEC);
	must(io->closed_fd >= 0, "epoll");
	must(epoll_ctl(io->closed_fd, EPOLL_CTL_ADD, io->fd, &e) == 0, "epoll");
	io->ev = event_new(io->loop->base, io->closed_fd, EV_READ | EV_PERSIST, on_closed, io);
	must(io->ev != NULL && event_add(io->ev, NULL) == 0, "watch");
}

/* A regular file is always ready and epoll will not have it. */
static void watch_always(struct vk_io *io)
{
	static const struct timeval soon = {.tv_usec = 1};
	event_free(io->ev);
	io->ev = event_new(io->loop->base, -1, EV_PERSIST, on_always, io);
	must(io->ev != NULL && event_add(io->ev, &soon) == 0, "watch");
}

static void watch_ready(struct vk_io *io)
{
	short what =
		(short)((io->what & VK_READ ? EV_READ : 0) | (io->what & VK_WRITE ? EV_WRITE : 0) |
			(io->what & VK_CLOSED ? EV_CLOSED : 0) | EV_PERSIST);
	io->ev = event_new(io->loop->base, io->fd, what, on_io, io);
	must(io->ev != NULL, "watch");
	if (event_add(io->ev, NULL) != 0) {
		must(errno == EPERM, "watch");
		watch_always(io);
	}
}

static void unwatch(struct vk_io *io)
{
	if (io->ev != NULL)
		event_free(io->ev);
	io->ev = NULL;
	vk_closep(&io->closed_fd);
	io->closed_fd = -1;
}

struct vk_io *vk_io_new(struct vk_loop *l, int fd, int what, vk_io_fn *fn, void *arg)
{
	struct vk_io *io = vk_alloc(sizeof(*io));
	*io = (struct vk_io){.loop = l, .fd = fd, .closed_fd = -1, .fn = fn, .arg = arg};
	vk_io_set(io, what);
	return io;
}

void vk_io_set(struct vk_io *io, int what)
{
	if (io->what == what)
		return;
	unwatch(io);
	io->what = what;
	if (what == VK_CLOSED)
		watch_closed(io);
	else if (what != 0)
		watch_ready(io);
}

void vk_io_free(struct vk_io *io)
{
	if (io == NULL)
		return;
	unwatch(io);
	free(io);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct vk_timer *t = arg;
	(void)fd;
	(void)what;
	t->fn(t->arg);
}

struct vk_timer *vk_timer_new(struct vk_loop *l, vk_timer_fn *fn, void *arg)
{
	struct vk_timer *t = vk_alloc(sizeof(*t));
	*t = (struct vk_timer){.fn = fn, .arg = arg};
	t->ev = event_new(l->base, -1, 0, on_timer, t);
	must(t->ev != NULL, "timer");
	return t;
}

void vk_timer_set(struct vk_timer *t, int64_t ms)
{
	event_del(t->ev);
	if (ms < 0)
		return;
	struct timeval tv = timeval_of(ms);
	must(event_add(t->ev, &tv) == 0, "timer");
}

void vk_timer_free(struct vk_timer *t)
{
	if (t == NULL)
		return;
	event_free(t->ev);
	free(t);
}

static void child_ended(struct vk_child *c, int status)
{
	vk_io_free(VK_TAKE(c->io));
	vk_timer_free(VK_TAKE(c->timer));
	vk_closep(&c->pidfd);
	c->pidfd = -1;
	c->fn(c->arg, c->pid, status);
}

static void on_pidfd(void *arg, int fd, int what)
{
	struct vk_child *c = arg;
	int status;
	(void)fd;
	(void)what;
	pid_t pid = waitpid(c->pid, &status, WNOHANG);
	if (pid == c->pid)
		child_ended(c, status);
	else if (pid < 0 && errno != EINTR)
		child_ended(c, VK_CHILD_UNKNOWN); /* not our child, or reaped behind our back */
}

/* Without a pidfd: our children by waitpid, others by signal 0. */
static void on_child_timer(void *arg)
{
	struct vk_child *c = arg;
	int status;
	pid_t pid = waitpid(c->pid, &status, WNOHANG);
	if (pid == c->pid) {
		child_ended(c, status);
	} else if (pid < 0 && kill(c->pid, 0) != 0 && errno == ESRCH) {
		child_ended(c, VK_CHILD_UNKNOWN);
	} else {
		vk_timer_set(c->timer, CHILD_POLL_MS);
	}
}

struct vk_child *vk_child_new(struct vk_loop *l, pid_t pid, vk_child_fn *fn, void *arg)
{
	struct vk_child *c = vk_alloc(sizeof(*c));
	*c = (struct vk_child){.pid = pid, .fn = fn, .arg = arg};
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (c->pidfd >= 0) {
		c->io = vk_io_new(l, c->pidfd, VK_READ, on_pidfd, c);
		return c;
	}
	/* gone already (told in the next pass), or no descriptor to be had */
	c->timer = vk_timer_new(l, on_child_timer, c);
	vk_timer_set(c->timer, 0);
	return c;
}

void vk_child_free(struct vk_child *c)
{
	if (c == NULL)
		return;
	vk_io_free(c->io);
	vk_timer_free(c->timer);
	vk_closep(&c->pidfd);
	free(c);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct vk_signal *s = arg;
	(void)what;
	s->fn(s->arg, (int)fd);
}

struct vk_signal *vk_signal_new(struct vk_loop *l, int signo, vk_signal_fn *fn, void *arg)
{
	struct vk_signal *s = vk_alloc(sizeof(*s));
	*s = (struct vk_signal){.fn = fn, .arg = arg};
	s->ev = evsignal_new(l->base, signo, on_signal, s);
	must(s->ev != NULL && event_add(s->ev, NULL) == 0, "signal");
	return s;
}

void vk_signal_free(struct vk_signal *s)
{
	if (s == NULL)
		return;
	event_free(s->ev);
	free(s);
}
