/* One connection from the listener's side: its two processes, grace time, end. */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <viking/id.h>
#include <viking/log.h>
#include <viking/str.h>

#include "listener.h"
#include "monitor.h"

#define ROOM_MS 3000 /* shorter than the monitor waits for our word */

struct connection *connection_find(struct listener *l, uint32_t id)
{
	struct connection *c = l->connections;
	while (c != NULL && c->id != id)
		c = c->next;
	return c;
}

static enum ending ending_of(const struct connection *c)
{
	int status = c->session_status;
	if (c->graced)
		return ENDING_GRACE;
	if (WIFSIGNALED(status))
		return ENDING_CRASHED;
	switch (WEXITSTATUS(status)) {
	case SESSION_NO_KEY:
		return ENDING_NO_LOGIN;
	case SESSION_DENIED:
		return ENDING_FAILED;
	case SESSION_GARBAGE:
		return ENDING_GARBAGE;
	default:
		return ENDING_FINE;
	}
}

static void unlink_connection(struct connection *c)
{
	for (struct connection **p = &c->l->connections; *p != NULL; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			return;
		}
}

static void admit_waiting(struct listener *l);

/* Over when both processes are. */
static void settle(struct connection *c)
{
	struct listener *l = c->l;
	if (!c->session_over || !c->monitor_over)
		return;
	enum ending how = ending_of(c);
	if (!c->logged_in || how == ENDING_CRASHED)
		vk_log(VK_INFO, "connection-ended", "from=\"%s\" ending=%d", c->addr, (int)how);
	sources_end(l->sources, &c->source, how, c->logged_in, vk_mono_ms());
	unlink_connection(c);
	vk_timer_free(c->grace);
	vk_timer_free(c->room);
	vk_io_free(c->notes_io);
	vk_closep(&c->notes);
	free(c);
	admit_waiting(l);
	listener_place_free(l);
	listener_settle(l);
}

void connection_session_over(struct connection *c, int status)
{
	if (c->session_over)
		return;
	c->session_over = true;
	c->session_status = status;
	if (c->brood != NULL)
		brood_left(c->brood);
	c->brood = NULL;
	settle(c);
}

static void on_monitor_exit(void *arg, pid_t pid, int status)
{
	(void)pid;
	struct connection *c = arg;
	if (status != 0 && !c->graced)
		vk_log(VK_WARN, "monitor-ended", "status=%d from=\"%s\"", status, c->addr);
	vk_child_free(c->child);
	c->child = NULL;
	c->monitor_over = true;
	settle(c);
}

static void on_grace(void *arg)
{
	struct connection *c = arg;
	const struct nursery_note n = {
		.kind = NURSERY_KILL, .id = c->id, .client = -1, .monitor = -1};
	c->graced = true;
	vk_log(VK_INFO, "grace-over", "from=\"%s\"", c->addr);
	if (c->brood != NULL)
		(void)nursery_send(c->brood->sock, &n, NULL); /* gone: its end is reported */
}

static bool key_has_room(const struct connection *c, const char *fingerprint)
{
	unsigned n = 0;
	for (const struct connection *o = c->l->connections; o != NULL; o = o->next)
		n += o->logged_in && vk_streq(o->fingerprint, fingerprint);
	return n < SESSIONS_PER_KEY;
}

static void admit(struct connection *c)
{
	c->logged_in = true;
	vk_timer_set(c->grace, -1);
	vk_timer_set(c->room, -1);
	sources_login(c->l->sources, &c->source);
	(void)send(c->notes, "y", 1, MSG_NOSIGNAL);
	listener_place_free(c->l);
}

/* Scripts open many short connections with one key at once: those over the limit wait a moment for one of
 * the others to end. */
static void on_no_room(void *arg)
{
	struct connection *c = arg;
	c->fingerprint[0] = '\0';
	(void)send(c->notes, "n", 1, MSG_NOSIGNAL);
}

static void on_login(struct connection *c, const char *fingerprint)
{
	if (c->logged_in || c->fingerprint[0] != '\0')
		return; /* a monitor says it once */
	snprintf(c->fingerprint, sizeof(c->fingerprint), "%s", fingerprint);
	if (key_has_room(c, fingerprint))
		admit(c);
	else
		vk_timer_set(c->room, ROOM_MS);
}

static void admit_waiting(struct listener *l)
{
	for (struct connection *c = l->connections; c != NULL; c = c->next)
		if (!c->logged_in && c->fingerprint[0] != '\0' && key_has_room(c, c->fingerprint)) {
			admit(c);
			return; /* one place was freed; admitting may change the list */
		}
}

static void on_note(void *arg, int fd, int what)
{
	(void)what;
	struct connection *c = arg;
	char note[sizeof(c->fingerprint)];
	ssize_t n = recv(fd, note, sizeof(note) - 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		vk_io_free(c->notes_io);
		c->notes_io = NULL;
		return;
	}
	note[n] = '\0';
	if (note[0] == NOTE_LOGIN)
		on_login(c, note + 1);
	else if (note[0] == NOTE_PUSHED && vk_stack_name(note + 1, NULL) == 0)
		housekeeping_pushed(c->l->house, note + 1);
}

static int spawn_monitor(struct connection *c, int session, int notes, struct vk_err *err)
{
	char session_fd[16], notes_fd[16];
	const char *argv[12] = {"viking-monitor"};
	size_t n = 1 + listener_config_words(c->l, argv + 1);
	snprintf(session_fd, sizeof(session_fd), "%d", session);
	snprintf(notes_fd, sizeof(notes_fd), "%d", notes);
	argv[n++] = session_fd;
	argv[n++] = notes_fd;
	argv[n++] = c->l->config_file;
	argv[n] = c->addr;
	const int keep[] = {session, notes, -1};
	return listener_spawn(c->l, argv, keep, &c->monitor, err);
}

/* The two socket pairs between listener, monitor and session. */
struct pairs {
	int session[2]; /* monitor's end, session's end */
	int notes[2];   /* ours, monitor's end */
};

static void pairs_release(struct pairs *p)
{
	vk_closep(&p->session[0]);
	vk_closep(&p->session[1]);
	vk_closep(&p->notes[0]);
	vk_closep(&p->notes[1]);
}

static int launch(struct connection *c, int client, struct pairs *p, struct vk_err *err)
{
	if (c->l->brood == NULL)
		return vk_err_set(err, VK_UNAVAILABLE, "no nursery at the moment");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->session) != 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->notes) != 0)
		return vk_err_errno(err, errno, "socketpair");
	/* the session first: the client waits for its banner, the monitor is needed only later */
	const struct nursery_note n = {
		.kind = NURSERY_START, .id = c->id, .client = client, .monitor = p->session[1]};
	int rc = nursery_send(c->l->brood->sock, &n, err);
	if (rc == 0) {
		c->brood = c->l->brood;
		c->brood->sessions++;
		rc = spawn_monitor(c, p->session[0], p->notes[1], err);
	}
	return rc;
}

void connection_start(struct listener *l, int fd, const struct source_id *source, const char *addr)
{
	struct connection *c = vk_alloc(sizeof(*c));
	struct vk_err err = {0};
	__attribute__((cleanup(pairs_release))) struct pairs p = {{-1, -1}, {-1, -1}};
	*c = (struct connection){.l = l, .id = ++l->next_id, .source = *source, .notes = -1};
	snprintf(c->addr, sizeof(c->addr), "%s", addr);
	c->grace = vk_timer_new(l->loop, on_grace, c);
	vk_timer_set(c->grace, (int64_t)l->config->ssh_grace_ms);
	c->room = vk_timer_new(l->loop, on_no_room, c);
	c->next = l->connections;
	l->connections = c;
	int rc = launch(c, fd, &p, &err);
	close(fd);
	if (rc == 0) {
		c->notes = VK_TAKE_FD(p.notes[0]);
		c->notes_io = vk_io_new(l->loop, c->notes, VK_READ, on_note, c);
		c->child = vk_child_new(l->loop, c->monitor, on_monitor_exit, c);
		return;
	}
	vk_log_err(VK_ERROR, "connection", &err);
	/* a session that was started ends by itself: its monitor's socket is closed */
	c->monitor_over = true;
	if (c->brood == NULL)
		c->session_over = true;
	settle(c);
}

void connections_end_all(struct listener *l, int signo)
{
	for (struct connection *c = l->connections, *next; c != NULL; c = next) {
		next = c->next;
		if (!c->monitor_over)
			kill(c->monitor, signo);
		if (signo == SIGKILL)
			connection_session_over(c, 0);
	}
}
