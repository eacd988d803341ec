/* What runs for a channel: from the request to the report of its end. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "far.h"
#include "monitor.h"
#include "program.h"

/* Silence of the client, which may well compute deltas for minutes before its first byte of pack; what the
 * server's side may compute is bounded by its CPU limit. */
#define RECEIVE_MS         600000
#define RECEIVE_MS_PER_MIB 500
#define COPY_MS            120000 /* then the next push brings it */
#define PIPE_BYTES         (1 << 20)
#define WINDOW_BYTES       (8u << 20)
#define NAME_UNKNOWN       "UNKNOWN"

static const struct {
	const char *name;
	int number;
	bool accepted; /* from a client */
} signals[] = {
	{"HUP", SIGHUP, true},
	{"INT", SIGINT, true},
	{"TERM", SIGTERM, true},
	{"QUIT", SIGQUIT, true},
	{"KILL", SIGKILL, true},
	{"USR1", SIGUSR1, true},
	{"USR2", SIGUSR2, true},
	{"ALRM", SIGALRM, false},
	{"PIPE", SIGPIPE, false},
	{"ABRT", SIGABRT, false},
	{"FPE", SIGFPE, false},
	{"ILL", SIGILL, false},
	{"SEGV", SIGSEGV, false},
	{"XCPU", SIGXCPU, false},
	{"XFSZ", SIGXFSZ, false},
	{"BUS", SIGBUS, false},
	{"SYS", SIGSYS, false},
};

static const char *signal_name(int number)
{
	for (size_t i = 0; i < VK_COUNT(signals); i++)
		if (signals[i].number == number)
			return signals[i].name;
	return NAME_UNKNOWN;
}

bool jobs_none(const struct monitor *m)
{
	for (unsigned i = 0; i < CHANNELS_MAX; i++)
		if (m->jobs[i].used)
			return false;
	return true;
}

static void tell_listener(const struct monitor *m, const char *stack)
{
	char note[VK_NAME_MAX + 2];
	int n = snprintf(note, sizeof(note), "%c%s", NOTE_PUSHED, stack);
	(void)send(
		m->listener, note, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT); /* only housekeeping */
}

static void release(struct job *j)
{
	vk_child_free(j->child);
	vk_io_free(j->stage_io);
	vk_timer_free(j->deadline);
	vk_timer_free(j->kill);
	vk_closep(&j->terminal);
	vk_closep(&j->stage);
	repo_close(&j->repo);
	command_release(&j->command);
	free(j->host);
	free(j->copy_to);
	*j = (struct job){.m = j->m,
		.channel = j->channel,
		.terminal = -1,
		.stage = -1,
		.repo = {.lock = -1}};
}

/* The whole answer of a channel without a program. */
static void say(struct job *j, unsigned stream, unsigned status, const char *text, bool pty)
{
	struct message a = MESSAGE_INIT(MESSAGE_SAY, j->channel);
	vk_autobuf lines = VK_BUF_INIT(MESSAGE_MAX / 2);
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\n' && pty) /* the client's terminal is raw */
			vk_buf_addc(&lines, '\r');
		vk_buf_addc(&lines, *p);
	}
	a.num[0] = stream;
	a.num[1] = status;
	a.str[0] = (char *)(uintptr_t)vk_buf_str(&lines);
	monitor_tell(j->m, &a);
}

static void say_err(struct job *j, const struct vk_err *err, bool pty)
{
	vk_autofree char *text = err->hint[0] != '\0'
		? vk_asprintf(" !     %s\n       try: %s\n", err->msg, err->hint)
		: vk_asprintf(" !     %s\n", err->msg);
	say(j, 2, (unsigned)vk_err_exit(err->code), text, pty);
}

/* ---- the end ---- */

static void on_exit_status(void *arg, pid_t pid, int status);

static struct program_context context(const struct job *j, const struct message *q, int stage_fd)
{
	const struct monitor *m = j->m;
	return (struct program_context){.config = m->config,
		.config_file = m->config_file,
		.token = keyhold_token(m->key),
		.key = keyhold_name(m->key),
		.api = m->api,
		.term = q != NULL && command_env_value(q->str[1]) ? q->str[1] : "",
		.lang = q != NULL && command_env_value(q->str[2]) ? q->str[2] : "",
		.git_protocol = q != NULL && command_env_value(q->str[3]) ? q->str[3] : "",
		.copy = far_is_copy(m->far),
		.stage_fd = stage_fd};
}

/* What was pushed goes to a second host before the client's git ends: in the client's name, and while its right lasts. */
static int start_copy(struct job *j, struct vk_err *err)
{
	const struct program_context x = context(j, NULL, -1);
	const int keep[] = {j->repo.lock, -1};
	struct program p;
	struct vk_proc proc;
	program_copy(&x, j->copy_to, j->command.stack, j->repo.path, &p);
	const struct vk_proc_opts o = {.path = p.path,
		.argv = (const char *const *)p.argv.v,
		.env = (const char *const *)p.env.v,
		.in = VK_FD_NULL,
		.out = VK_FD_NULL,
		.err = VK_FD_NULL,
		.keep = keep,
		.die_with_parent = true};
	int rc = vk_proc_start(&o, &proc, err);
	program_release(&p);
	if (rc != 0)
		return rc;
	j->pid = proc.pid;
	vk_child_free(j->child);
	j->child = vk_child_new(j->m->loop, j->pid, on_exit_status, j);
	vk_timer_set(j->deadline, COPY_MS);
	j->copying = true;
	return 0;
}

/* Is there something to do before the end of the push is told? */
static bool copy_first(struct job *j, int status)
{
	struct vk_err err = {0};
	if (j->copying) {
		vk_log(status == 0 ? VK_INFO : VK_WARN, "copied", "stack=%s host=%s status=%d",
			j->command.stack, j->copy_to, status);
		return false;
	}
	j->status = status;
	if (j->copy_to == NULL || j->ending || status != 0)
		return false;
	if (start_copy(j, &err) == 0)
		return true;
	vk_log_err(VK_WARN, "copy", &err);
	return false;
}

static void on_exit_status(void *arg, pid_t pid, int status)
{
	struct job *j = arg;
	struct monitor *m = j->m;
	struct message a = MESSAGE_INIT(MESSAGE_EXITED, j->channel);
	if (j->ending)
		kill(-pid, SIGKILL); /* what the group's leader left behind */
	if (copy_first(j, status))
		return;
	status = j->status;
	a.num[0] = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 255;
	a.str[0] = (char *)(uintptr_t)(WIFSIGNALED(status) ? signal_name(WTERMSIG(status)) : "");
	if (j->command.kind == COMMAND_RECEIVE && j->host == NULL) {
		repo_clean(&j->repo);
		tell_listener(m, j->command.stack);
	}
	release(j);
	monitor_tell(m, &a);
	monitor_settle(m);
}

static void on_kill(void *arg)
{
	vk_proc_kill(((struct job *)arg)->pid, SIGKILL);
}

void job_end(struct job *j)
{
	if (j->ending)
		return;
	j->ending = true;
	vk_proc_kill(j->pid, SIGHUP);
	vk_proc_kill(j->pid, SIGCONT);
	j->kill = vk_timer_new(j->m->loop, on_kill, j);
	vk_timer_set(j->kill, HANGUP_MS);
}

static void on_deadline(void *arg)
{
	struct job *j = arg;
	vk_log(VK_WARN, "receive-timeout", "stack=%s", j->command.stack);
	job_end(j);
}

/* pre-receive runs: what was received has been checked, and the hooks have deadlines of their own. */
static void on_stage(void *arg, int fd, int what)
{
	(void)fd, (void)what;
	struct job *j = arg;
	vk_timer_set(j->deadline, -1);
	vk_io_free(j->stage_io);
	j->stage_io = NULL;
}

void job_progress(struct job *j, uint32_t mib)
{
	if (j->used && j->stage_io != NULL)
		vk_timer_set(j->deadline, RECEIVE_MS + (int64_t)mib * RECEIVE_MS_PER_MIB);
}

void job_resize(struct job *j, uint32_t columns, uint32_t rows)
{
	const struct winsize w = {
		.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
	if (j->used && j->terminal >= 0) /* the kernel sends SIGWINCH to the foreground group */
		ioctl(j->terminal, TIOCSWINSZ, &w);
}

void job_signal(struct job *j, const char *name)
{
	for (size_t i = 0; i < VK_COUNT(signals); i++)
		if (j->used && signals[i].accepted && vk_streq(signals[i].name, name))
			vk_proc_kill(j->pid, signals[i].number);
}

/* ---- the start ---- */

/* Descriptors of one start: the program's ends, and ours for the session. */
struct ends {
	int child[3], ours[3], stage_write;
};

static void ends_release(struct ends *e)
{
	for (int i = 0; i < 3; i++) {
		vk_closep(&e->child[i]);
		vk_closep(&e->ours[i]);
	}
	vk_closep(&e->stage_write);
}

static int open_terminal(struct job *j, const struct message *q, struct ends *e, struct vk_err *err)
{
	const struct winsize w = {
		.ws_col = (unsigned short)q->num[1], .ws_row = (unsigned short)q->num[2]};
	if (openpty(&j->terminal, &e->child[0], NULL, NULL, &w) != 0)
		return vk_err_errno(err, errno, "no terminal");
	(void)fcntl(j->terminal, F_SETFD, FD_CLOEXEC);
	(void)fcntl(e->child[0], F_SETFD, FD_CLOEXEC);
	(void)fcntl(j->terminal, F_SETFL, O_NONBLOCK);
	for (int i = 1; i < 3; i++)
		e->child[i] = fcntl(e->child[0], F_DUPFD_CLOEXEC, 3);
	for (int i = 0; i < 2; i++)
		e->ours[i] = fcntl(j->terminal, F_DUPFD_CLOEXEC, 3);
	if (e->child[1] < 0 || e->child[2] < 0 || e->ours[0] < 0 || e->ours[1] < 0)
		return vk_err_errno(err, errno, "no terminal");
	return 0;
}

static int open_pipes(struct ends *e, struct vk_err *err)
{
	for (int i = 0; i < 3; i++) {
		int pair[2];
		if (pipe2(pair, O_CLOEXEC) != 0)
			return vk_err_errno(err, errno, "pipe");
		e->child[i] = pair[i == 0 ? 0 : 1];
		e->ours[i] = pair[i == 0 ? 1 : 0];
		(void)fcntl(e->ours[i], F_SETFL, O_NONBLOCK);
		(void)fcntl(
			e->ours[i], F_SETPIPE_SZ, PIPE_BYTES); /* fewer turns; as it is will do */
	}
	return 0;
}

static int open_stage(struct job *j, struct ends *e, struct vk_err *err)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) != 0)
		return vk_err_errno(err, errno, "pipe");
	j->stage = pair[0];
	e->stage_write = pair[1];
	j->stage_io = vk_io_new(j->m->loop, j->stage, VK_READ, on_stage, j);
	j->deadline = vk_timer_new(j->m->loop, on_deadline, j);
	vk_timer_set(j->deadline, RECEIVE_MS);
	return 0;
}

static int spawn(
	struct job *j, const struct program *p, struct ends *e, bool pty, struct vk_err *err)
{
	const int keep[] = {e->stage_write >= 0 ? e->stage_write : j->repo.lock,
		e->stage_write >= 0 ? j->repo.lock : -1, -1};
	const struct vk_proc_opts o = {.path = p->path,
		.argv = (const char *const *)p->argv.v,
		.env = (const char *const *)p->env.v,
		.in = e->child[0],
		.out = e->child[1],
		.err = e->child[2],
		.keep = keep,
		.new_session = pty,
		.controlling_tty = pty,
		.die_with_parent = true,
		.limit_as = p->limit_as,
		.limit_fsize = p->limit_fsize,
		.limit_cpu_s = p->limit_cpu_s,
		.limit_nofile = p->limit_nofile};
	struct vk_proc proc;
	int rc = vk_proc_start(&o, &proc, err);
	if (rc == 0)
		j->pid = proc.pid;
	return rc;
}

static void hand_over(struct job *j, const struct ends *e)
{
	struct message a = MESSAGE_INIT(MESSAGE_STARTED, j->channel);
	memcpy(a.fd, e->ours, sizeof(a.fd));
	a.num[0] = j->command.kind == COMMAND_RECEIVE ? WINDOW_BYTES : 0;
	monitor_tell(j->m, &a);
}

/* Repositories of destroyed stacks go when the next git comes: nobody else owns them, and nothing else wakes us. */
static void remove_gone(const struct job *j, const struct vk_api_opts *o, const json_t *ids)
{
	struct vk_err err = {0};
	size_t i;
	const json_t *id;
	json_array_foreach(ids, i, id) if (json_is_string(id) &&
		repo_remove(j->m->config, json_string_value(id), &err) != 0)
	{
		vk_log_err(VK_WARN, "repository-not-removed", &err);
		return;
	}
	vk_autojson *body = json_pack("{s:O}", "ids", ids);
	if (json_array_size(ids) > 0 &&
		vk_api_call(o, "POST", "/v1/internal/git/gone", body, NULL, &err) != 0)
		vk_log_err(VK_WARN, "repository-removed", &err);
}

/* May this key, and where? */
static int ask_git(
	struct job *j, const struct vk_api_opts *o, json_t **ret_answer, struct vk_err *err)
{
	bool push = j->command.kind == COMMAND_RECEIVE, copy = far_is_copy(j->m->far);
	vk_autojson *body = json_pack("{s:s, s:s, s:s*}", "stack", j->command.stack, "verb",
		copy           ? "copy"
			: push ? "push"
			       : "fetch",
		"from", copy ? j->m->addr : NULL);
	int rc = vk_api_call(o, "POST", "/v1/internal/git", body, ret_answer, err);
	if (rc != 0)
		return rc;
	j->host = vk_strdup(vk_json_str(*ret_answer, "host", NULL));
	if (push)
		j->copy_to = vk_strdup(vk_json_str(*ret_answer, "copy", NULL));
	if (j->host == NULL || j->m->far == NULL)
		return 0;
	vk_err_set(err, VK_UNAVAILABLE, "the repositories are on host %s now", j->host);
	return vk_err_hint(err, "the same again");
}

/* Asks whether this key may, opens the repository, if it is here, and finishes what a crash left. */
static int prepare_git(struct job *j, struct vk_err *err)
{
	const struct monitor *m = j->m;
	bool push = j->command.kind == COMMAND_RECEIVE;
	const struct vk_api_opts o = {
		.socket = m->api, .role = "receiver", .token = keyhold_token(m->key)};
	vk_autofree char *state = vk_state_path(m->config, "repos");
	vk_autojson *answer = NULL;
	int rc = ask_git(j, &o, &answer, err);
	if (rc != 0 || j->host != NULL)
		return rc;
	if (push && (rc = vk_fs_room(state, m->config->free_bytes_min, err)) != 0)
		/* git itself would only say that index-pack ended */
		return rc == VK_LIMIT ? vk_err_hint(err, VK_ROOM_HINT) : rc;
	rc = repo_open(m->config, j->command.stack, vk_json_str(answer, "id", ""), &j->repo, err);
	if (rc == 0)
		remove_gone(j, &o, json_object_get(answer, "gone"));
	const json_t *pending = json_object_get(answer, "pending");
	if (rc == 0 && json_is_object(pending)) {
		const char *ref = vk_json_str(pending, "ref", ""),
			   *new = vk_json_str(pending, "new", "");
		rc = repo_move_ref(
			m->config, &j->repo, ref, vk_json_str(pending, "old", ""), new, err);
		if (rc ==
			VK_CONFLICT) { /* another push has moved it since: there is nothing to make good */
			vk_log_err(VK_WARN, "branch-moved-on", err);
			rc = 0;
		}
		vk_autojson *moved = json_pack(
			"{s:s, s:s, s:s}", "stack", j->command.stack, "ref", ref, "new", new);
		if (rc == 0)
			rc = vk_api_call(&o, "POST", "/v1/internal/git/moved", moved, NULL, err);
	}
	if (rc == 0 && push)
		rc = repo_lock(&j->repo, err);
	return rc;
}

static int start_program(struct job *j, const struct message *q, struct vk_err *err)
{
	__attribute__((cleanup(ends_release))) struct ends e = {
		.child = {-1, -1, -1}, .ours = {-1, -1, -1}, .stage_write = -1};
	bool viking = j->command.kind == COMMAND_VIKING, pty = viking && q->num[0] == 1;
	int rc = viking ? 0 : prepare_git(j, err);
	if (rc == 0 && j->command.kind == COMMAND_RECEIVE && j->host == NULL)
		rc = open_stage(j, &e, err);
	if (rc == 0)
		rc = pty ? open_terminal(j, q, &e, err) : open_pipes(&e, err);
	if (rc != 0)
		return rc;
	const struct program_context x = context(j, q, e.stage_write);
	struct program p;
	if (viking)
		program_viking(&x, &j->command, &p);
	else if (j->host != NULL)
		program_remote(&x, j->host, q->str[0], &p);
	else
		program_git(&x, &j->command, j->repo.path, &p);
	rc = spawn(j, &p, &e, pty, err);
	program_release(&p);
	if (rc != 0)
		return rc;
	j->child = vk_child_new(j->m->loop, j->pid, on_exit_status, j);
	hand_over(j, &e);
	return 0;
}

void job_start(struct monitor *m, const struct message *q)
{
	struct job *j = &m->jobs[q->channel];
	struct vk_err err = {0};
	bool pty = q->num[0] == 1;
	if (j->used) {
		monitor_end(m); /* a session of ours asks once a channel */
		return;
	}
	int rc = keyhold_renew(m->key, &err);
	if (rc == 0)
		rc = command_parse(q->str[0], strlen(q->str[0]), &j->command, &err);
	if (rc == 0 && j->command.kind == COMMAND_GREETING) {
		vk_autofree char *text = monitor_greeting(m);
		say(j, 1, 0, text, pty);
		release(j);
		return;
	}
	j->used = rc == 0;
	if (rc == 0)
		rc = start_program(j, q, &err);
	if (rc != 0) {
		vk_log_err(VK_INFO, "refused", &err);
		say_err(j, &err, pty);
		release(j);
	}
}
