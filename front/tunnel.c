#include "tunnel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <viking/httpd.h>
#include <viking/log.h>
#include <viking/str.h>

#define STRANGERS_MAX  8
#define STRANGER_MS    10000
#define STRANGER_BYTES 65536
#define STRANGER       "?"

struct tunnel {
	struct front *f;
	struct tunnel *next, **at;
	struct vk_tls_join *join;
	char host[VK_TLS_HOST_MAX + 1]; /* "" until the handshake */
	int plain;                      /* outward: what is joined once the handshake is done */
	bool newcomer;                  /* counted in n_newcomers */
};

static struct tunnel *tunnel_new(struct front *f)
{
	struct tunnel *t = vk_alloc(sizeof(*t));
	t->f = f;
	t->plain = -1;
	t->next = f->tunnels;
	t->at = &f->tunnels;
	if (t->next != NULL)
		t->next->at = &t->next;
	f->tunnels = t;
	f->n_tunnels++;
	return t;
}

static void newcomer_over(struct tunnel *t)
{
	t->f->n_newcomers -= t->newcomer;
	t->newcomer = false;
}

static void tunnel_free(struct tunnel *t)
{
	newcomer_over(t);
	*t->at = t->next;
	if (t->next != NULL)
		t->next->at = t->at;
	t->f->n_tunnels--;
	if (vk_streq(t->host, STRANGER))
		t->f->n_strangers--;
	vk_tls_join_free(t->join);
	vk_closep(&t->plain);
	free(t);
}

static void on_end(void *arg, struct vk_tls_join *j, const struct vk_err *err)
{
	struct tunnel *t = arg;
	(void)j;
	t->join = NULL;
	if (err->code != 0)
		vk_log(VK_WARN, "tunnel", "host=\"%s\" error=\"%s\"", t->host, err->msg);
	tunnel_free(t);
}

/* ---- from others ---- */

static int admit(struct tunnel *t, const struct vk_tls_peer *p, struct vk_err *err)
{
	const struct host *h = hosts_find(&t->f->hosts, p->host);
	if (h == NULL || !host_has_key(h, p->key))
		return vk_err_set(err, VK_DENIED, "%s is not a host of this cluster%s", p->host,
			h != NULL ? " with this key" : "");
	memcpy(t->host, p->host, sizeof(t->host));
	return 0;
}

/* Without a certificate: to ask for one, and no more. */
static int admit_stranger(struct tunnel *t, struct vk_tls_join *j, struct vk_err *err)
{
	if (t->f->n_strangers >= STRANGERS_MAX)
		return vk_err_set(err, VK_LIMIT, "%u clients without a certificate already",
			t->f->n_strangers);
	t->f->n_strangers++;
	memcpy(t->host, STRANGER, sizeof(STRANGER));
	vk_tls_join_limit(j, STRANGER_MS, STRANGER_BYTES);
	return 0;
}

static int dial(const struct sockaddr_storage *to, socklen_t n, const char *whom, int *ret_fd,
	struct vk_err *err)
{
	vk_autoclose int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vk_err_errno(err, errno, "socket");
	if (connect(fd, (const struct sockaddr *)to, n) != 0 && errno != EINPROGRESS)
		return vk_err_errno(err, errno, "%s", whom);
	*ret_fd = VK_TAKE_FD(fd);
	return 0;
}

/* The registry has a password of its own, and no use for the name of the host. */
static int reach(struct tunnel *t, enum service s, int *ret_fd, struct vk_err *err)
{
	const struct vk_config *c = t->f->c;
	struct host registry = {0};
	if (services[s].socket != NULL)
		return vk_connect_unix_as(t->f->sockets[s], t->host, ret_fd, err);
	int rc = host_address(&registry, c->registry_address, (int64_t)c->registry_port);
	return rc == 0 ? dial(&registry.addr, registry.addr_len, "the registry", ret_fd, err)
		       : vk_err_set(err, VK_INVALID, "registry.address");
}

static int on_caller(
	void *arg, struct vk_tls_join *j, const struct vk_tls_peer *p, struct vk_err *err)
{
	struct tunnel *t = arg;
	enum service s = SERVICE_API;
	newcomer_over(t);
	for (size_t i = 0; i < SERVICE_COUNT; i++)
		if (vk_streq(p->protocol, services[i].protocol))
			s = (enum service)i;
	int fd = -1;
	int rc = vk_starts(p->protocol, "viking-") ? admit(t, p, err) : admit_stranger(t, j, err);
	if (rc == 0)
		rc = reach(t, s, &fd, err);
	return rc == 0 ? fd : rc;
}

void tunnel_in(struct front *f, int fd, bool newcomer)
{
	const struct vk_tls *tls;
	struct vk_err err = {0};
	if (creds_get(&f->creds, &tls, &err) != 0) {
		vk_log_err(VK_ERROR, "no-credentials", &err);
		vk_closep(&fd);
		return;
	}
	struct tunnel *t = tunnel_new(f);
	const struct vk_tls_opts o = {.loop = f->l, .up = on_caller, .end = on_end, .arg = t};
	t->newcomer = newcomer;
	f->n_newcomers += newcomer;
	t->join = vk_tls_accept(tls, &o, fd);
}

/* ---- to others ---- */

static int on_reached(
	void *arg, struct vk_tls_join *j, const struct vk_tls_peer *p, struct vk_err *err)
{
	struct tunnel *t = arg;
	const struct host *h = hosts_find(&t->f->hosts, p->host);
	(void)j;
	if (h == NULL || !host_has_key(h, p->key))
		return vk_err_set(err, VK_DENIED, "who answers for %s has another key", p->host);
	return VK_TAKE_FD(t->plain);
}

void tunnel_out(struct front *f, const struct host *to, enum service s, int plain)
{
	const struct vk_tls *tls;
	struct vk_err err = {0};
	vk_autoclose int mine = plain;
	int fd = -1;
	int rc = f->n_tunnels < TUNNELS_MAX
		? creds_get(&f->creds, &tls, &err)
		: vk_err_set(&err, VK_LIMIT, "%u connections between hosts", f->n_tunnels);
	if (rc == 0)
		rc = dial(&to->addr, to->addr_len, to->name, &fd, &err);
	if (rc != 0) {
		vk_log(VK_WARN, "tunnel", "host=\"%s\" error=\"%s\"", to->name, err.msg);
		return;
	}
	struct tunnel *t = tunnel_new(f);
	const struct vk_tls_opts o = {.loop = f->l, .up = on_reached, .end = on_end, .arg = t};
	memcpy(t->host, to->name, sizeof(t->host));
	t->plain = VK_TAKE_FD(mine);
	t->join = vk_tls_connect(tls, &o, fd, to->name, services[s].protocol);
}

/* ---- the table ---- */

void tunnels_sweep(struct front *f, const struct hosts *before)
{
	for (struct tunnel *t = f->tunnels, *next; t != NULL; t = next) {
		next = t->next;
		const struct host *was = hosts_find(before, t->host);
		const struct host *is = hosts_find(&f->hosts, t->host);
		if (was != NULL && (is == NULL || !host_same(was, is)))
			tunnel_free(t);
	}
}

void tunnels_free(struct front *f)
{
	while (f->tunnels != NULL)
		tunnel_free(f->tunnels);
}
