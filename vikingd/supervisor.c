#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "etcd_setup.h"
#include "joined.h"
#include "layout.h"
#include "notify.h"
#include "program.h"

#define STOP_MS    10000
#define AHEAD_NICE (-10)

struct program {
	struct supervisor *s;
	const struct program_row *row;
	pid_t pid; /* 0 = not running */
	int pidfd, ready_fd;
	struct vk_io *died, *told;
	struct vk_timer *again;
	struct vk_buf line; /* what came over ready_fd, up to a newline */
	char sandbox[320];
	bool ready, adopted, wanted;
	unsigned failures, restarts;
	int64_t started_ms, started_mono;
};

struct supervisor {
	struct vk_loop *loop;
	const struct vk_config *config;
	struct vk_config *reloaded; /* what config points to after a reload */
	const char *config_file;
	struct program *programs;
	struct vk_timer *kill_timer;
	int inotify; /* of STATE/sched: the scheduler's word about the registry */
	struct vk_io *told;
	bool stopping, told_ready;
};

static void program_start(struct program *p);

static struct program *find(struct supervisor *s, const char *name)
{
	for (size_t i = 0; i < program_rows_n; i++)
		if (vk_streq(s->programs[i].row->name, name))
			return &s->programs[i];
	return NULL;
}

static bool enabled(const struct program *p)
{
	if (vk_streq(p->row->name, "haproxy") || vk_streq(p->row->name, "links"))
		return p->s->config->run_haproxy;
	if (vk_streq(p->row->name, "registry"))
		return p->s->config->run_registry;
	if (vk_streq(p->row->name, "etcd"))
		return p->s->config->run_etcd;
	return true;
}

/* RUN/processes.json, for doctor: what runs since when, and how it is confined. */
static void write_table(struct supervisor *s)
{
	vk_autojson *all = json_object();
	for (size_t i = 0; i < program_rows_n; i++) {
		struct program *p = &s->programs[i];
		if (!enabled(p))
			continue;
		json_object_set_new(all, p->row->name,
			json_pack("{s:i s:I s:i s:s s:b s:b}", "pid", (int)p->pid, "started_ms",
				(json_int_t)p->started_ms, "restarts", (int)p->restarts, "sandbox",
				p->sandbox, "ready", p->ready, "adopted", p->adopted));
	}
	vk_autofree char *path = vk_run_path(s->config, "processes.json");
	vk_autofree char *text = vk_json_text(all);
	struct vk_err err = {0};
	if (vk_fs_write_atomic(path, text, strlen(text), 0644, &err) < 0)
		vk_log_err(VK_WARN, "process-table", &err);
}

static void tell_if_all_ready(struct supervisor *s)
{
	for (size_t i = 0; i < program_rows_n; i++)
		if (enabled(&s->programs[i]) && !s->programs[i].ready)
			return;
	if (!s->told_ready) {
		notify_send("READY=1\nSTATUS=all processes serve");
		vk_log(VK_INFO, "ready", "processes=%zu", program_rows_n);
	}
	s->told_ready = true;
}

static void became_ready(struct program *p)
{
	struct supervisor *s = p->s;
	p->ready = true;
	for (size_t i = 0; i < program_rows_n; i++) {
		struct program *q = &s->programs[i];
		if (q->row->after && vk_streq(q->row->after, p->row->name) && q->pid == 0 &&
			!q->wanted)
			program_start(q);
	}
	write_table(s);
	tell_if_all_ready(s);
}

static void take_line(struct program *p, const char *line)
{
	if (vk_starts(line, "SANDBOX="))
		vk_str_printable(line + 8, strlen(line + 8), p->sandbox, sizeof(p->sandbox));
	else if (vk_streq(line, "READY=1"))
		became_ready(p);
}

static void close_told(struct program *p)
{
	vk_io_free(VK_TAKE(p->told));
	vk_closep(&p->ready_fd);
	p->ready_fd = -1;
	vk_buf_clear(&p->line);
}

static void on_told(void *arg, int fd, int what)
{
	struct program *p = arg;
	(void)what;
	char chunk[512];
	ssize_t n = read(fd, chunk, sizeof(chunk));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || vk_buf_add(&p->line, chunk, (size_t)n) < 0) {
		close_told(p);
		return;
	}
	for (char *end; p->line.len && (end = memchr(p->line.data, '\n', p->line.len)) != NULL;) {
		*end = '\0';
		size_t used = (size_t)(end - p->line.data) + 1;
		vk_autofree char *line = vk_strdup(p->line.data);
		vk_buf_consume(&p->line, used);
		take_line(p, line);
	}
}

static void start_again(void *arg)
{
	program_start(arg);
}

static void gone(struct program *p, int status, bool known)
{
	struct supervisor *s = p->s;
	int64_t lived = vk_mono_ms() - p->started_mono;
	vk_log(s->stopping ? VK_INFO : VK_WARN, "exited", "process=%s pid=%d %s=%d lived_ms=%lld",
		p->row->name, (int)p->pid,
		!known                        ? "status_unknown"
			: WIFSIGNALED(status) ? "signal"
					      : "status",
		!known                        ? -1
			: WIFSIGNALED(status) ? WTERMSIG(status)
					      : WEXITSTATUS(status),
		(long long)lived);
	vk_io_free(VK_TAKE(p->died));
	vk_closep(&p->pidfd);
	p->pidfd = -1;
	close_told(p);
	p->pid = 0;
	p->ready = p->adopted = false;
	if (s->stopping) {
		for (size_t i = 0; i < program_rows_n; i++)
			if (s->programs[i].pid && s->programs[i].row->kind == PROGRAM_ROLE)
				return;
		vk_loop_stop(s->loop, 0);
		return;
	}
	p->failures = program_failures(p->failures, lived);
	p->restarts++;
	vk_timer_set(p->again, program_backoff_ms(p->row->kind, p->failures));
	write_table(s);
}

static void on_died(void *arg, int fd, int what)
{
	struct program *p = arg;
	(void)fd;
	(void)what;
	int status = 0;
	pid_t r = waitpid(p->pid, &status, WNOHANG);
	if (r == 0)
		return;
	gone(p, status, r == p->pid); /* an adopted helper is not our child: ECHILD */
}

static int watch(struct program *p, struct vk_err *err)
{
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0)
		return vk_err_errno(err, errno, "pidfd of %s", p->row->name);
	fcntl(p->pidfd, F_SETFD, FD_CLOEXEC);
	p->died = vk_io_new(p->s->loop, p->pidfd, VK_READ, on_died, p);
	p->started_mono = vk_mono_ms();
	p->started_ms = vk_now_ms();
	return 0;
}

static char *record_path(const struct program *p)
{
	return vk_run_path(p->s->config, "helpers/%s", p->row->name);
}

/* A helper that a vikingd before us left running. */
static bool adopt(struct program *p)
{
	vk_autofree char *path = record_path(p);
	vk_autobuf text = VK_BUF_INIT(256);
	pid_t pid;
	uint64_t recorded, now;
	if (vk_fs_read(path, &text, NULL) < 0 ||
		!program_record_parse(vk_buf_str(&text), &pid, &recorded) ||
		vk_proc_start_time(pid, &now) < 0 || now != recorded)
		return false;
	p->pid = pid;
	struct vk_err err = {0};
	if (watch(p, &err) < 0) {
		p->pid = 0;
		return false;
	}
	p->adopted = true;
	vk_log(VK_INFO, "adopted", "process=%s pid=%d", p->row->name, (int)pid);
	became_ready(p);
	return true;
}

static void record(struct program *p)
{
	uint64_t start;
	struct vk_err err = {0};
	if (vk_proc_start_time(p->pid, &start) < 0)
		return;
	vk_autofree char *path = record_path(p);
	vk_autofree char *text = vk_asprintf("%d %llu\n", (int)p->pid, (unsigned long long)start);
	if (vk_fs_write_atomic(path, text, strlen(text), 0600, &err) < 0)
		vk_log_err(VK_WARN, "helper-record", &err);
}

/* Helpers outlive us, so they must not write to our stderr: it may be a pipe that ends with us. */
static int helper_log(const struct program *p, struct vk_err *err)
{
	vk_autofree char *path = vk_run_path(p->s->config, "helpers/%s.log", p->row->name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : vk_err_errno(err, errno, "%s", path);
}

static int start_helper(struct program *p, struct vk_proc_opts *o, struct vk_err *err)
{
	vk_autoclose int log = helper_log(p, err);
	if (log < 0)
		return log;
	o->new_session = true;
	o->out = o->err = log;
	/* The registry is not to have its user's way to the engine, which is root's in all but name. */
	o->no_groups = vk_streq(p->row->name, "registry");
	o->no_new_privs = true;
	struct vk_proc proc;
	int r = vk_proc_start(o, &proc, err);
	if (r < 0)
		return r;
	p->pid = proc.pid;
	record(p);
	return 0;
}

static void base_environment(struct vk_strv *env)
{
	vk_strv_add(env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	vk_strv_add(env, "LANG=C.UTF-8");
	for (char **e = environ; *e != NULL;
		e++) /* settings reach the children as they reached us */
		if (vk_starts(*e, "VIKING_") || vk_starts(*e, "ASAN_OPTIONS=") ||
			vk_starts(*e, "LOG_LEVEL="))
			vk_strv_add(env, *e);
}

static int start_role(
	struct program *p, struct vk_proc_opts *o, struct vk_strv *env, struct vk_err *err)
{
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return vk_err_errno(err, errno, "pipe");
	int keep[] = {ready[1], -1};
	vk_strv_addf(env, "VIKING_READY_FD=%d", ready[1]);
	o->env = (const char *const *)env->v;
	o->keep = keep;
	o->die_with_parent = true;
	o->err = VK_FD_INHERIT;
	struct vk_proc proc;
	int r = vk_proc_start(o, &proc, err);
	close(ready[1]);
	if (r < 0) {
		close(ready[0]);
		return r;
	}
	fcntl(ready[0], F_SETFL, O_NONBLOCK);
	p->ready_fd = ready[0];
	p->told = vk_io_new(p->s->loop, p->ready_fd, VK_READ, on_told, p);
	p->pid = proc.pid;
	return 0;
}

/* What a program keeps of root's rights when it becomes its own user. */
static const int *ambient_caps(const struct program *p)
{
	static const int bind_low_ports[] = {CAP_NET_BIND_SERVICE, -1};
	static const int network[] = {CAP_NET_ADMIN, -1};
	if (vk_streq(p->row->name, "firewall"))
		return network;
	bool binds = vk_streq(p->row->name, "haproxy") || vk_streq(p->row->name, "dns");
	return binds ? bind_low_ports : NULL;
}

static int launch(struct program *p, struct vk_err *err)
{
	vk_autostrv argv = {0}, env = {0};
	program_argv(p->row, p->s->config, p->s->config_file, &argv);
	base_environment(&env);
	struct vk_proc_opts o = {
		.path = argv.v[0],
		.argv = (const char *const *)argv.v,
		.env = (const char *const *)env.v,
		.in = VK_FD_NULL,
		.out = VK_FD_NULL,
		.user = p->s->config->single_uid ? NULL : p->row->user,
		.new_session = p->row->ahead,
		.nice = p->row->ahead ? AHEAD_NICE : 0,
	};
	if (o.user != NULL)
		o.ambient_caps = ambient_caps(p);
	int r = p->row->kind == PROGRAM_ROLE ? start_role(p, &o, &env, err)
					     : start_helper(p, &o, err);
	return r < 0 ? r : watch(p, err);
}

/* Is it still what the settings say? Only for etcd, which has all of its settings on its command line. */
static bool runs_as_set(const struct program *p)
{
	vk_autostrv argv = {0};
	vk_autofree char *path = vk_asprintf("/proc/%d/cmdline", (int)p->pid);
	vk_autobuf now = VK_BUF_INIT(65536);
	size_t at = 0;
	if (!vk_streq(p->row->name, "etcd") || vk_fs_read(path, &now, NULL) != 0)
		return true;
	program_argv(p->row, p->s->config, p->s->config_file, &argv);
	for (size_t i = 0; i < argv.n; at += strlen(argv.v[i++]) + 1)
		if (at >= now.len || strcmp(now.data + at, argv.v[i]) != 0)
			return false;
	return at == now.len;
}

/* A helper that the settings no longer want, or want otherwise, ends; gone() starts it again if it is wanted. */
static void end_unwanted(struct supervisor *s)
{
	for (size_t i = 0; i < program_rows_n; i++) {
		struct program *p = &s->programs[i];
		if (p->pid != 0 && p->row->kind == PROGRAM_HELPER &&
			(!enabled(p) || !runs_as_set(p)))
			vk_proc_kill(p->pid, SIGTERM);
	}
}

static void end_roles(struct supervisor *s)
{
	for (size_t i = 0; i < program_rows_n; i++)
		if (s->programs[i].pid != 0 && s->programs[i].row->kind == PROGRAM_ROLE)
			vk_proc_kill(s->programs[i].pid, SIGTERM);
}

static void read_settings(struct supervisor *s)
{
	struct vk_err err = {0};
	struct vk_config *fresh = NULL;
	bool joined = false;
	if (vk_config_load(s->config_file, s->config->root, &fresh, &err) < 0) {
		vk_log_err(VK_ERROR, "settings-not-read", &err);
		return;
	}
	vk_config_free(s->reloaded);
	s->config = s->reloaded = fresh;
	if (joined_install(fresh, &joined, &err) < 0)
		vk_log_err(VK_ERROR, "join", &err);
	fresh->run_etcd = fresh->run_etcd || etcd_is_member(fresh);
	if (etcd_setup(fresh, &err) < 0)
		vk_log_err(VK_ERROR, "etcd", &err);
	fresh->run_registry = layout_registry_here(fresh);
	if (layout_registry(fresh, &err) < 0)
		vk_log_err(VK_ERROR, "registry", &err);
	end_unwanted(s);
	program_start(find(s, "etcd"));
	program_start(find(s, "registry"));
	if (joined)
		end_roles(s); /* everything they know is another's now */
}

static void program_start(struct program *p)
{
	if (p->s->stopping || p->pid != 0)
		return;
	if (vk_streq(p->row->name, "scheduler")) /* they say which store, and so which program */
		read_settings(p->s);
	if (!enabled(p))
		return;
	p->wanted = true;
	if (p->row->kind == PROGRAM_HELPER && adopt(p)) {
		end_unwanted(p->s);
		return;
	}
	struct vk_err err = {0};
	if (launch(p, &err) < 0) {
		vk_log_err(VK_ERROR, "start-failed", &err);
		p->failures++;
		vk_timer_set(p->again, program_backoff_ms(p->row->kind, p->failures));
		return;
	}
	vk_log(VK_INFO, "started", "process=%s pid=%d", p->row->name, (int)p->pid);
	if (p->row->kind == PROGRAM_HELPER)
		became_ready(p);
	else
		write_table(p->s);
}

static void on_sched_file(void *arg, int fd, int what)
{
	struct supervisor *s = arg;
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool moved = false;
	(void)what;
	for (ssize_t n; (n = read(fd, events, sizeof(events))) > 0;)
		for (const char *p = events; p < events + n;) {
			const struct inotify_event *e = (const void *)p;
			moved = moved ||
				(e->len > 0 &&
					vk_streq(e->name, strchr(LAYOUT_REGISTRY_HOST, '/') + 1));
			p += sizeof(*e) + e->len;
		}
	if (moved && !s->stopping)
		supervisor_reload(s);
}

static void watch_sched(struct supervisor *s)
{
	vk_autofree char *dir = vk_state_path(s->config, "sched");
	s->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->inotify < 0 || inotify_add_watch(s->inotify, dir, IN_MOVED_TO | IN_ONLYDIR) < 0)
		vk_log(VK_WARN, "watch", "dir=%s errno=%d", dir, errno);
	else
		s->told = vk_io_new(s->loop, s->inotify, VK_READ, on_sched_file, s);
}

int supervisor_new(struct vk_loop *l, const struct vk_config *c, const char *config_file,
	struct supervisor **ret, struct vk_err *err)
{
	(void)err;
	struct supervisor *s = vk_alloc(sizeof(*s));
	*s = (struct supervisor){.loop = l, .config = c, .config_file = config_file, .inotify = -1};
	s->programs = vk_calloc(program_rows_n, sizeof(*s->programs));
	for (size_t i = 0; i < program_rows_n; i++) {
		struct program *p = &s->programs[i];
		*p = (struct program){.s = s, .row = &program_rows[i], .pidfd = -1, .ready_fd = -1};
		vk_buf_init(&p->line, 1024);
		p->again = vk_timer_new(l, start_again, p);
	}
	*ret = s;
	return 0;
}

void supervisor_start(struct supervisor *s)
{
	watch_sched(s);
	program_start(find(s, "scheduler"));
	program_start(find(s, "registry"));
}

void supervisor_reload(struct supervisor *s)
{
	vk_log(VK_INFO, "reload", "%s", "settings=read");
	read_settings(s);
}

static void kill_rest(void *arg)
{
	struct supervisor *s = arg;
	for (size_t i = 0; i < program_rows_n; i++)
		if (s->programs[i].pid && s->programs[i].row->kind == PROGRAM_ROLE)
			vk_proc_kill(s->programs[i].pid, SIGKILL);
}

void supervisor_stop(struct supervisor *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	notify_send("STOPPING=1");
	bool any = false;
	for (size_t i = 0; i < program_rows_n; i++) {
		struct program *p = &s->programs[i];
		vk_timer_set(p->again, -1);
		if (p->pid == 0 || p->row->kind != PROGRAM_ROLE)
			continue;
		any = true;
		vk_proc_kill(p->pid, SIGTERM);
	}
	if (!any) {
		vk_loop_stop(s->loop, 0);
		return;
	}
	s->kill_timer = vk_timer_new(s->loop, kill_rest, s);
	vk_timer_set(s->kill_timer, STOP_MS);
}

void supervisor_free(struct supervisor *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < program_rows_n; i++) {
		struct program *p = &s->programs[i];
		vk_io_free(p->died);
		vk_closep(&p->pidfd);
		close_told(p);
		vk_timer_free(p->again);
		vk_buf_release(&p->line);
	}
	vk_timer_free(s->kill_timer);
	vk_io_free(s->told);
	vk_closep(&s->inotify);
	vk_config_free(s->reloaded);
	free(s->programs);
	free(s);
}
