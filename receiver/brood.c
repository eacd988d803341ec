/* Nurseries from the listener's side: starting, renewing after a crash, hearing of sessions' ends. */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <viking/log.h>
#include <viking/str.h>

#include "listener.h"

#define AGAIN_MS 1000 /* a nursery that died is not started in a tight circle */

static void free_brood(struct brood *b)
{
	vk_io_free(b->io);
	vk_child_free(b->child);
	vk_closep(&b->sock);
	free(b);
}

static void unlink_brood(struct brood *b)
{
	struct listener *l = b->l;
	if (l->brood == b)
		l->brood = NULL;
	for (struct brood **p = &l->old_broods; *p != NULL; p = &(*p)->next)
		if (*p == b) {
			*p = b->next;
			break;
		}
}

/* It is gone: of its sessions nothing more will be heard. Their monitors know by themselves. */
static void brood_gone(struct brood *b)
{
	struct listener *l = b->l;
	bool was_current = l->brood == b;
	unlink_brood(b);
	for (struct connection *c = l->connections, *next; c != NULL; c = next) {
		next = c->next;
		if (c->brood == b) {
			c->brood = NULL;
			connection_session_over(c, 0);
		}
	}
	free_brood(b);
	if (was_current && !l->stopping)
		vk_timer_set(l->brood_timer, AGAIN_MS);
}

void brood_retire(struct listener *l)
{
	struct brood *b = l->brood;
	struct vk_err err = {0};
	if (b == NULL)
		return;
	b->retired = true;
	b->next = l->old_broods;
	l->old_broods = b;
	l->brood = NULL;
	if (!l->stopping && brood_start(l, &err) != 0) {
		vk_log_err(VK_ERROR, "nursery", &err);
		vk_timer_set(l->brood_timer, AGAIN_MS);
	}
}

void brood_left(struct brood *b)
{
	if (b->sessions > 0)
		b->sessions--;
	if (!b->retired || b->sessions > 0)
		return;
	unlink_brood(b);
	free_brood(b); /* its end of the socket closes, and it ends */
}

static void on_ended(struct listener *l, uint32_t id, int status)
{
	struct connection *c = connection_find(l, id);
	bool crashed = WIFSIGNALED(status) && (c == NULL || !c->graced);
	if (crashed) {
		vk_log(VK_WARN, "session-crashed", "signal=%d from=\"%s\"", WTERMSIG(status),
			c != NULL ? c->addr : "");
		/* sessions of one nursery share their address layout: no second guess at it */
		if (c == NULL || c->brood == l->brood)
			brood_retire(l);
	}
	if (c != NULL)
		connection_session_over(c, status);
}

static void on_note(void *arg, int fd, int what)
{
	(void)what;
	struct brood *b = arg;
	struct listener *l = b->l;
	struct nursery_note n;
	if (nursery_recv(fd, &n, NULL) != 0) {
		brood_gone(b);
		return;
	}
	if (n.kind == NURSERY_ENDED) {
		on_ended(l, n.id, (int)n.value);
	} else if (n.kind == NURSERY_READY && l->ready != NULL) {
		void (*ready)(void *) = l->ready;
		l->ready = NULL;
		ready(l->ready_arg);
	}
}

static void on_exit_status(void *arg, pid_t pid, int status)
{
	struct brood *b = arg;
	vk_log(VK_ERROR, "nursery-ended", "pid=%d status=%d", (int)pid, status);
	brood_gone(b);
}

static int spawn(struct listener *l, int sock, pid_t *ret, struct vk_err *err)
{
	char fd[16];
	const char *argv[8] = {"viking-session"};
	size_t n = 1 + listener_config_words(l, argv + 1);
	snprintf(fd, sizeof(fd), "%d", sock);
	argv[n++] = "--control";
	argv[n] = fd;
	const int keep[] = {sock, -1};
	return listener_spawn(l, argv, keep, ret, err);
}

int brood_start(struct listener *l, struct vk_err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return vk_err_errno(err, errno, "socketpair");
	struct brood *b = vk_alloc(sizeof(*b));
	*b = (struct brood){.l = l, .sock = pair[0]};
	int rc = spawn(l, pair[1], &b->pid, err);
	close(pair[1]);
	if (rc != 0) {
		free_brood(b);
		return rc;
	}
	b->io = vk_io_new(l->loop, b->sock, VK_READ, on_note, b);
	b->child = vk_child_new(l->loop, b->pid, on_exit_status, b);
	l->brood = b;
	return 0;
}

void broods_free(struct listener *l)
{
	if (l->brood != NULL)
		free_brood(l->brood);
	for (struct brood *b = l->old_broods, *next; b != NULL; b = next) {
		next = b->next;
		free_brood(b);
	}
	l->brood = l->old_broods = NULL;
}
