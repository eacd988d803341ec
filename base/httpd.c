/*
 * libmicrohttpd in its external epoll mode, driven by the loop: its epoll descriptor is one vk_io, its
 * time-outs one vk_timer. A request lives as long as either side still holds it: `c` is the connection's
 * half (NULL when MHD is done with the request), `released` the handler's (true once it has answered or
 * was told that the client is gone).
 */
#include "httpd_req.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/str.h>

#define BODY_MAX          (1u << 20)
#define CONNECTIONS_MAX   1024
#define IDLE_MS           60000
#define CONNECTION_MEMORY 24576u /* head and write buffer; longer heads get 431 */
#define CONNECTION_STEP   4096u
#define KEEPALIVE_MS      8000
#define QUEUES_MAX        (64u << 20)

struct vk_httpd {
	struct vk_loop *loop;
	struct MHD_Daemon *mhd;
	struct vk_httpd_opts o;
	vk_httpd_fn *fn;
	void *arg;
	struct vk_io *io;
	struct vk_timer *timeout;
	bool wake;             /* something was resumed since MHD last ran */
	struct vk_timer *tick; /* keep-alive lines of streams */
	bool ticking;
	struct vk_timer *cut; /* tells of clients that were cut off */
	size_t queued;        /* bytes of all streams' queues */
	struct vk_req *first;
};

static struct vk_req *req_new(
	struct vk_httpd *h, struct MHD_Connection *c, const char *method, const char *path)
{
	struct vk_req *r = vk_alloc(sizeof(*r));
	r->h = h;
	r->c = c;
	r->method = vk_strdup(method);
	r->path = vk_strdup(path);
	vk_buf_init(&r->body, h->o.body_max);
	vk_buf_init(&r->queue, 1);
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	r->fd = i != NULL ? i->connect_fd : -1;
	struct ucred peer = {.pid = -1, .uid = (uid_t)-1};
	socklen_t n = sizeof(peer);
	int domain = 0;
	socklen_t dn = sizeof(domain);
	getsockopt(r->fd, SOL_SOCKET, SO_DOMAIN, &domain, &dn);
	if (domain == AF_UNIX)
		getsockopt(r->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n);
	r->uid = peer.uid;
	r->pid = peer.pid;
	(void)vk_peer_host(r->fd, r->peer_host);
	r->next = h->first;
	if (r->next != NULL)
		r->next->prev = r;
	h->first = r;
	return r;
}

/* What waits for a client that is gone, or never will read, is wanted by nobody. */
static void drop_queue(struct vk_req *r)
{
	r->h->queued -= vk_req_queued(r);
	vk_buf_release(&r->queue);
	r->off = 0;
}

static void req_free(struct vk_req *r)
{
	if (r->prev != NULL)
		r->prev->next = r->next;
	else
		r->h->first = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	vk_io_free(r->watch);
	if (r->upgrade != NULL)
		r->upgrade(r->upgrade_arg, -1, NULL, 0);
	if (r->response != NULL)
		MHD_destroy_response(r->response);
	vk_buf_release(&r->body);
	drop_queue(r);
	vk_strv_release(&r->headers);
	free(r->method);
	free(r->path);
	free(r);
}

/* Tells the handler, once, that the client is gone. A handler that did not ask to be told keeps r until
 * it answers. */
static void tell_closed(struct vk_req *r)
{
	if (r->released || r->closed == NULL)
		return;
	r->released = true;
	r->closed(r->closed_arg, r);
}

/* Without threads of its own, MHD notices a resumed connection only when it is run again. */
void vk_httpd_wake(struct vk_httpd *h)
{
	h->wake = true;
	vk_timer_set(h->timeout, 0);
}

void vk_req_resume(struct vk_req *r)
{
	if (!r->suspended)
		return;
	r->suspended = false;
	MHD_resume_connection(r->c);
	vk_httpd_wake(r->h);
}

/* MHD drops a connection whose handler or reader, called again after the resume, says so. */
static void abandon(struct vk_req *r)
{
	r->gone = true;
	drop_queue(r);
	tell_closed(r);
	vk_req_resume(r);
}

static void on_hangup(void *arg, int fd, int what)
{
	struct vk_req *r = arg;
	(void)fd, (void)what;
	vk_io_free(r->watch);
	r->watch = NULL;
	abandon(r);
}

/* A suspended connection is not in MHD's epoll set, so its end would go unseen: we watch the descriptor
 * ourselves, from here until MHD reports the request complete (which it does before it closes it). */
void vk_req_suspend(struct vk_req *r)
{
	MHD_suspend_connection(r->c);
	r->suspended = true;
	if (r->watch == NULL && !r->gone)
		r->watch = vk_io_new(r->h->loop, r->fd, VK_CLOSED, on_hangup, r);
}

void vk_req_cut(struct vk_req *r)
{
	if (r->gone)
		return;
	r->gone = true;
	drop_queue(r);
	if (r->c != NULL)
		shutdown(r->fd, SHUT_RDWR); /* MHD may be waiting to write: this wakes it */
	vk_timer_set(r->h->cut, 0);
}

void vk_req_enqueue(struct vk_req *r, size_t n)
{
	struct vk_httpd *h = r->h;
	h->queued += n;
	while (h->queued > h->o.queues_max) {
		struct vk_req *last = h->first;
		for (struct vk_req *o = last; o != NULL; o = o->next)
			if (vk_req_queued(o) > vk_req_queued(last))
				last = o;
		vk_req_cut(last);
	}
}

void vk_req_dequeue(struct vk_req *r, size_t n)
{
	r->off += n;
	r->h->queued -= n;
}

static void on_cut(void *arg)
{
	struct vk_httpd *h = arg;
	struct vk_req *r = h->first;
	while (r != NULL) {
		bool tell = r->gone && !r->released && r->closed != NULL;
		if (tell)
			tell_closed(r);
		if (r->gone && r->c != NULL)
			vk_req_resume(r);
		if (tell && r->c == NULL)
			req_free(r);
		r = tell ? h->first : r->next; /* closed may have freed others */
	}
}

static void on_tick(void *arg)
{
	struct vk_httpd *h = arg;
	bool any = false;
	for (struct vk_req *r = h->first; r != NULL; r = r->next) {
		if (!r->lines || r->gone || r->released)
			continue;
		any = true;
		if (vk_req_queued(r) == 0)
			vk_req_write(r, "{}\n", 3);
	}
	if (any)
		vk_timer_set(h->tick, KEEPALIVE_MS);
	h->ticking = any;
}

void vk_httpd_tick(struct vk_httpd *h)
{
	if (h->ticking)
		return;
	h->ticking = true;
	vk_timer_set(h->tick, KEEPALIVE_MS);
}

void vk_req_settled(struct vk_req *r)
{
	r->released = true;
	if (r->c == NULL)
		req_free(r);
	else
		vk_req_resume(r);
}

static void completed(
	void *cls, struct MHD_Connection *c, void **slot, enum MHD_RequestTerminationCode why)
{
	struct vk_req *r = *slot;
	(void)cls, (void)c, (void)why;
	if (r == NULL)
		return;
	*slot = NULL;
	vk_io_free(r->watch);
	r->watch = NULL;
	r->c = NULL;
	r->suspended = false;
	r->gone = true;
	drop_queue(r);
	if (!r->handed)
		r->released = true;
	tell_closed(r);
	if (r->released)
		req_free(r);
}

/* Gives MHD what the handler has answered, or waits for it. */
static enum MHD_Result settle(struct vk_req *r)
{
	if (r->gone)
		return MHD_NO;
	if (r->response == NULL) {
		vk_req_suspend(r);
		return MHD_YES;
	}
	struct MHD_Response *response = VK_TAKE(r->response);
	enum MHD_Result rc = MHD_queue_response(r->c, (unsigned)r->status, response);
	MHD_destroy_response(response);
	return rc;
}

static void refuse_body(struct vk_req *r)
{
	struct vk_err err = {0};
	vk_err_set(&err, VK_LIMIT, "the body is over %zu bytes", r->h->o.body_max);
	r->handed = true;
	vk_req_error(r, &err);
}

/* First call of a request: its head is there, its body is not. */
static enum MHD_Result begin(struct vk_httpd *h, struct MHD_Connection *c, const char *method,
	const char *path, void **slot)
{
	struct vk_req *r = req_new(h, c, method, path);
	*slot = r;
	const char *length = vk_req_header(r, "Content-Length");
	uint64_t n;
	if (length == NULL || vk_parse_u64(length, 0, h->o.body_max, &n) == 0)
		return MHD_YES;
	refuse_body(r);
	return settle(r);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *path,
	const char *method, const char *version, const char *data, size_t *n, void **slot)
{
	struct vk_httpd *h = cls;
	struct vk_req *r = *slot;
	(void)version;
	if (r == NULL)
		return begin(h, c, method, path, slot);
	if (*n > 0) {
		/* a chunked body has no length to refuse it by; its excess is dropped, then answered */
		r->over = r->over || vk_buf_add(&r->body, data, *n) != 0;
		*n = 0;
		return MHD_YES;
	}
	if (!r->handed && r->over) {
		refuse_body(r);
	} else if (!r->handed) {
		r->handed = true;
		h->fn(h->arg, r);
	}
	return settle(r);
}

/* %00 would end the path early for us and not for others: such a path becomes one nobody has. */
static size_t unescape(void *cls, struct MHD_Connection *c, char *s)
{
	(void)cls, (void)c;
	size_t n = MHD_http_unescape(s);
	for (char *nul = memchr(s, '\0', n); nul != NULL; nul = memchr(s, '\0', n))
		*nul = '\x01';
	return n;
}

static void run(struct vk_httpd *h)
{
	h->wake = false;
	MHD_run(h->mhd);
	MHD_UNSIGNED_LONG_LONG ms;
	bool wait = MHD_get_timeout(h->mhd, &ms) == MHD_YES;
	vk_timer_set(h->timeout, h->wake ? 0 : wait ? (int64_t)ms : -1);
}

static void on_io(void *arg, int fd, int what)
{
	(void)fd, (void)what;
	run(arg);
}

static int start(struct vk_httpd *h, int listen_fd, struct vk_err *err)
{
	unsigned idle_s = (unsigned)((h->o.idle_ms + 999) / 1000);
	h->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE, 0,
		NULL, NULL, handle, h, MHD_OPTION_LISTEN_SOCKET, listen_fd,
		MHD_OPTION_NOTIFY_COMPLETED, completed, h, MHD_OPTION_UNESCAPE_CALLBACK, unescape,
		h, MHD_OPTION_CONNECTION_LIMIT, h->o.connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
		idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)CONNECTION_STEP,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
	if (h->mhd == NULL)
		return vk_err_set(err, VK_INTERNAL, "the HTTP server does not start");
	const union MHD_DaemonInfo *i = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	h->io = vk_io_new(h->loop, i->epoll_fd, VK_READ, on_io, h);
	return 0;
}

static void on_timeout(void *arg)
{
	run(arg);
}

int vk_httpd_new(struct vk_loop *l, int listen_fd, const struct vk_httpd_opts *o, vk_httpd_fn *fn,
	void *arg, struct vk_httpd **ret, struct vk_err *err)
{
	struct vk_httpd *h = vk_alloc(sizeof(*h));
	h->loop = l;
	h->o = o != NULL ? *o : (struct vk_httpd_opts){0};
	h->o.body_max = h->o.body_max ? h->o.body_max : BODY_MAX;
	h->o.connections_max = h->o.connections_max ? h->o.connections_max : CONNECTIONS_MAX;
	h->o.queues_max = h->o.queues_max ? h->o.queues_max : QUEUES_MAX;
	h->o.idle_ms = h->o.idle_ms ? h->o.idle_ms : IDLE_MS;
	h->fn = fn;
	h->arg = arg;
	h->timeout = vk_timer_new(l, on_timeout, h);
	h->tick = vk_timer_new(l, on_tick, h);
	h->cut = vk_timer_new(l, on_cut, h);
	signal(SIGPIPE, SIG_IGN); /* MHD uses sendfile, which has no MSG_NOSIGNAL */
	int rc = start(h, listen_fd, err);
	if (rc != 0) {
		vk_httpd_free(h);
		return rc;
	}
	*ret = h;
	return 0;
}

static struct vk_req *untold(struct vk_httpd *h)
{
	for (struct vk_req *r = h->first; r != NULL; r = r->next)
		if (!r->released && r->closed != NULL)
			return r;
	return NULL;
}

void vk_httpd_free(struct vk_httpd *h)
{
	if (h == NULL)
		return;
	for (struct vk_req *r; (r = untold(h)) != NULL;)
		tell_closed(r);
	for (struct vk_req *r = h->first; r != NULL; r = r->next) {
		r->gone = true;
		vk_req_resume(r); /* MHD refuses to stop over suspended connections */
	}
	vk_io_free(h->io);
	if (h->mhd != NULL)
		MHD_stop_daemon(h->mhd);
	while (h->first != NULL)
		req_free(h->first);
	vk_timer_free(h->timeout);
	vk_timer_free(h->tick);
	vk_timer_free(h->cut);
	free(h);
}
