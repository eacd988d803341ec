#include "doors.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/log.h>
#include <viking/str.h>

#include "tunnel.h"

#define BACKLOG 128

struct door {
	struct front *f;
	struct door *next;
	char host[VK_TLS_HOST_MAX + 1];
	enum service service;
	char *path;
	int fd;
	struct vk_io *io;
};

static void door_free(struct door *d)
{
	vk_io_free(d->io);
	if (d->fd >= 0)
		(void)unlink(d->path);
	vk_closep(&d->fd);
	free(d->path);
	free(d);
}

static bool may_use(const struct front *f, enum service s, int fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t n = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid() ||
		(f->users[s] != (uid_t)-1 && peer.uid == f->users[s]);
}

static void on_knock(void *arg, int fd, int what)
{
	struct door *d = arg;
	(void)what;
	vk_autoclose int plain = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	const struct host *to = hosts_find(&d->f->hosts, d->host);
	if (plain < 0 || to == NULL)
		return;
	if (may_use(d->f, d->service, plain))
		tunnel_out(d->f, to, d->service, VK_TAKE_FD(plain));
	else
		vk_log(VK_WARN, "stranger-at-door", "host=\"%s\"", d->host);
}

/* Anybody may connect as far as the file goes; who it is says its uid. */
static struct door *door_open(struct front *f, const struct host *h, enum service s)
{
	vk_autofree char *dir = vk_run_path(f->c, "hosts/%s", h->name);
	struct door *d = vk_alloc(sizeof(*d));
	struct vk_err err = {0};
	*d = (struct door){.f = f, .service = s, .fd = -1};
	memcpy(d->host, h->name, sizeof(d->host));
	d->path = vk_run_path(f->c, "hosts/%s/%s", h->name, services[s].door);
	int rc = vk_fs_mkdir_p(dir, 0755, &err);
	if (rc == 0)
		rc = vk_listen_unix(d->path, 0666, NULL, BACKLOG, &d->fd, &err);
	if (rc == 0) {
		d->io = vk_io_new(f->l, d->fd, VK_READ, on_knock, d);
		return d;
	}
	vk_log_err(VK_ERROR, "no-door", &err);
	door_free(d);
	return NULL;
}

static bool has_door(const struct front *f, const struct host *h, enum service s)
{
	for (const struct door *d = f->doors; d != NULL; d = d->next)
		if (d->service == s && vk_streq(d->host, h->name))
			return true;
	return false;
}

static void close_left(struct front *f)
{
	for (struct door **at = &f->doors, *d; (d = *at) != NULL;) {
		if (hosts_find(&f->hosts, d->host) != NULL) {
			at = &d->next;
			continue;
		}
		vk_autofree char *dir = vk_run_path(f->c, "hosts/%s", d->host);
		*at = d->next;
		door_free(d);
		(void)rmdir(dir); /* with its last door */
	}
}

void doors_refresh(struct front *f)
{
	close_left(f);
	for (size_t i = 0; i < f->hosts.n; i++)
		for (size_t s = 0; s < SERVICE_COUNT; s++) {
			struct door *d = has_door(f, &f->hosts.v[i], (enum service)s)
				? NULL
				: door_open(f, &f->hosts.v[i], (enum service)s);
			if (d == NULL)
				continue;
			d->next = f->doors;
			f->doors = d;
		}
}

void doors_free(struct front *f)
{
	hosts_release(&f->hosts);
	close_left(f);
}
