#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <viking/log.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "environ.h"

#define ACCEPT_BURST    64
#define PAUSE_MS        500 /* out of descriptors */
#define STOP_MS         3000
#define USER_TIMEOUT_MS 120000u

size_t listener_config_words(const struct listener *l, const char **words)
{
	size_t n = 0;
	if (*l->config_file != '\0') {
		words[n++] = "--config";
		words[n++] = l->config_file;
	}
	if (l->config->root != NULL) {
		words[n++] = "--root";
		words[n++] = l->config->root;
	}
	return n;
}

int listener_spawn(const struct listener *l, const char *const *argv, const int *keep, pid_t *ret,
	struct vk_err *err)
{
	vk_autofree char *path = vk_libexec_path(l->config, argv[0]);
	vk_autostrv env = {0};
	environ_program(&env);
	const struct vk_proc_opts o = {.path = path,
		.argv = argv,
		.env = (const char *const *)env.v,
		.in = VK_FD_NULL,
		.out = VK_FD_NULL,
		.err = VK_FD_INHERIT,
		.keep = keep};
	struct vk_proc p;
	int rc = vk_proc_start(&o, &p, err);
	if (rc == 0)
		*ret = p.pid;
	return rc;
}

/* A client that is gone without a word is found by the kernel; small packets leave at once. */
static void tune(int fd)
{
	const int on = 1, idle = 60, interval = 20, count = 3;
	const unsigned user = USER_TIMEOUT_MS;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user, sizeof(user));
}

static void print_addr(const struct sockaddr_storage *a, char out[static 64])
{
	char ip[INET6_ADDRSTRLEN] = "?";
	unsigned port = 0;
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)a;
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		port = ntohs(in->sin_port);
	} else if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)a;
		inet_ntop(AF_INET6, &in->sin6_addr, ip, sizeof(ip));
		port = ntohs(in->sin6_port);
	}
	snprintf(out, 64, "%s %u", ip, port);
}

/* ---- those who wait for a place of their source ---- */

static void arm_queue(struct listener *l)
{
	int64_t next = -1, now = vk_mono_ms();
	for (size_t i = 0; i < l->waiting_n; i++)
		if (next < 0 || l->waiting[i].until - now < next)
			next = l->waiting[i].until > now ? l->waiting[i].until - now : 0;
	vk_timer_set(l->queue_timer, next);
}

static void leave_queue(struct listener *l, size_t i)
{
	memmove(&l->waiting[i], &l->waiting[i + 1], (l->waiting_n - i - 1) * sizeof(l->waiting[0]));
	l->waiting_n--;
}

static void on_queue(void *arg)
{
	struct listener *l = arg;
	for (size_t i = 0; i < l->waiting_n;)
		if (l->waiting[i].until <= vk_mono_ms()) {
			close(l->waiting[i].fd);
			leave_queue(l, i);
		} else {
			i++;
		}
	arm_queue(l);
}

void listener_place_free(struct listener *l)
{
	bool changed = false;
	for (size_t i = 0; i < l->waiting_n && !l->stopping;) {
		struct waiting w = l->waiting[i];
		enum verdict v = sources_start(l->sources, &w.source, vk_mono_ms());
		if (v == VERDICT_WAIT) {
			i++;
			continue;
		}
		leave_queue(l, i);
		changed = true;
		if (v == VERDICT_GO)
			connection_start(l, w.fd, &w.source, w.addr);
		else
			close(w.fd);
	}
	if (changed)
		arm_queue(l);
}

static bool may_wait(const struct listener *l, const struct source_id *id)
{
	size_t same = 0;
	for (size_t i = 0; i < l->waiting_n; i++)
		same += memcmp(&l->waiting[i].source, id, sizeof(*id)) == 0;
	return l->waiting_n < WAITING_MAX && same < WAITING_PER_SOURCE;
}

static void enter_queue(struct listener *l, int fd, const struct source_id *id, const char *addr)
{
	struct waiting *w = &l->waiting[l->waiting_n++];
	*w = (struct waiting){
		.fd = fd, .source = *id, .until = vk_mono_ms() + (int64_t)l->config->ssh_grace_ms};
	snprintf(w->addr, sizeof(w->addr), "%s", addr);
	arm_queue(l);
}

/* ---- accepting ---- */

static void take(struct listener *l, int fd, const struct sockaddr_storage *a)
{
	char addr[64];
	struct source_id id = source_of(a);
	print_addr(a, addr);
	enum verdict v = sources_start(l->sources, &id, vk_mono_ms());
	if (v == VERDICT_WAIT && may_wait(l, &id)) {
		enter_queue(l, fd, &id, addr);
	} else if (v == VERDICT_GO) {
		tune(fd);
		connection_start(l, fd, &id, addr);
	} else {
		vk_log(VK_INFO, "connection-refused", "from=\"%s\" why=\"%s\"", addr,
			v == VERDICT_WAIT ? "too many waiting" : "penalty");
		close(fd);
	}
}

static void on_accept(void *arg, int listening, int what)
{
	(void)what;
	struct listener *l = arg;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		struct sockaddr_storage a = {0};
		socklen_t n = sizeof(a);
		int fd = accept4(listening, (struct sockaddr *)&a, &n, SOCK_CLOEXEC);
		if (fd >= 0) {
			take(l, fd, &a);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			vk_log(VK_WARN, "accept-paused", "why=\"%s\"", strerror(errno));
			vk_io_set(l->io, 0);
			vk_timer_set(l->pause, PAUSE_MS);
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static void on_pause_over(void *arg)
{
	struct listener *l = arg;
	if (l->io != NULL)
		vk_io_set(l->io, VK_READ);
}

/* ---- life ---- */

static void on_brood_timer(void *arg)
{
	struct listener *l = arg;
	struct vk_err err = {0};
	if (l->brood == NULL && !l->stopping && brood_start(l, &err) != 0) {
		vk_log_err(VK_ERROR, "nursery", &err);
		vk_timer_set(l->brood_timer, 1000);
	}
}

int listener_new(struct vk_loop *loop, const struct vk_config *c, const char *config_file, int fd,
	void (*ready)(void *arg), void *arg, struct listener **ret, struct vk_err *err)
{
	struct listener *l = vk_alloc(sizeof(*l));
	l->loop = loop;
	l->config = c;
	l->config_file = config_file;
	l->fd = fd;
	l->ready = ready;
	l->ready_arg = arg;
	l->sources = sources_new((unsigned)c->ssh_startups, (unsigned)c->ssh_startups_per_source);
	l->pause = vk_timer_new(loop, on_pause_over, l);
	l->queue_timer = vk_timer_new(loop, on_queue, l);
	l->brood_timer = vk_timer_new(loop, on_brood_timer, l);
	l->house = housekeeping_new(loop, c);
	int rc = brood_start(l, err);
	if (rc != 0) {
		listener_free(l);
		return rc;
	}
	l->io = vk_io_new(loop, fd, VK_READ, on_accept, l);
	*ret = l;
	return 0;
}

void listener_settle(struct listener *l)
{
	if (l->stopping && l->connections == NULL)
		vk_loop_stop(l->loop, 0);
}

static void on_stop_timer(void *arg)
{
	connections_end_all(arg, SIGKILL);
}

static void close_door(struct listener *l)
{
	vk_io_free(l->io);
	l->io = NULL;
	vk_closep(&l->fd);
	l->fd = -1;
	for (size_t i = 0; i < l->waiting_n; i++)
		close(l->waiting[i].fd);
	l->waiting_n = 0;
}

void listener_stop(struct listener *l)
{
	if (l->stopping)
		return;
	l->stopping = true;
	close_door(l);
	connections_end_all(l, SIGTERM);
	l->stop_timer = vk_timer_new(l->loop, on_stop_timer, l);
	vk_timer_set(l->stop_timer, STOP_MS);
	listener_settle(l);
}

void listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	close_door(l);
	broods_free(l);
	housekeeping_free(l->house);
	vk_timer_free(l->pause);
	vk_timer_free(l->queue_timer);
	vk_timer_free(l->brood_timer);
	vk_timer_free(l->stop_timer);
	sources_free(l->sources);
	free(l);
}
