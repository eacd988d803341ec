#include "link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <viking/mem.h>

#define BACKOFF_MIN_MS 20

struct link {
	struct vk_loop *l;
	char *path;
	int fd;
	struct vk_io *io;
	struct vk_timer *retry;
	int64_t backoff_ms, most_ms;
	bool up; /* as told to the owner */
	link_fn *fn;
	void *arg;
};

static void drop(struct link *k)
{
	vk_io_free(k->io);
	k->io = NULL;
	vk_closep(&k->fd);
	k->fd = -1;
}

static void lost(struct link *k)
{
	bool was = k->up;
	drop(k);
	k->up = false;
	vk_timer_set(k->retry, k->backoff_ms);
	k->backoff_ms = k->backoff_ms * 2 > k->most_ms ? k->most_ms : k->backoff_ms * 2;
	if (was)
		k->fn(k->arg, false);
}

/* The prompts are of no interest; the end is. */
static void on_io(void *arg, int fd, int what)
{
	struct link *k = arg;
	char part[256];
	ssize_t n = recv(fd, part, sizeof(part), MSG_DONTWAIT);
	(void)what;
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	lost(k);
}

static bool open_connection(struct link *k)
{
	static const char hold[] = "prompt;set timeout cli 2000000\n"; /* seconds; 23 days */
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(k->path) >= sizeof(a.sun_path))
		return false;
	memcpy(a.sun_path, k->path, strlen(k->path));
	k->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return k->fd >= 0 && connect(k->fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
		send(k->fd, hold, strlen(hold), MSG_NOSIGNAL) == (ssize_t)strlen(hold);
}

static void on_retry(void *arg)
{
	struct link *k = arg;
	if (!open_connection(k)) {
		lost(k);
		return;
	}
	k->io = vk_io_new(k->l, k->fd, VK_READ | VK_CLOSED, on_io, k);
	k->backoff_ms = BACKOFF_MIN_MS;
	bool was = k->up;
	k->up = true;
	if (!was)
		k->fn(k->arg, true);
}

struct link *link_new(struct vk_loop *l, const char *path, int64_t most_ms, link_fn *fn, void *arg)
{
	struct link *k = vk_alloc(sizeof(*k));
	*k = (struct link){.l = l,
		.path = vk_strdup(path),
		.fd = -1,
		.backoff_ms = BACKOFF_MIN_MS,
		.most_ms = most_ms,
		.fn = fn,
		.arg = arg};
	k->retry = vk_timer_new(l, on_retry, k);
	vk_timer_set(k->retry, 0);
	return k;
}

bool link_up(const struct link *k)
{
	return k->up;
}

void link_restart(struct link *k)
{
	drop(k);
	vk_timer_set(k->retry, 0);
}

void link_free(struct link *k)
{
	if (k == NULL)
		return;
	drop(k);
	vk_timer_free(k->retry);
	free(k->path);
	free(k);
}
