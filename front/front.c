#include "front.h"

#include <errno.h>
#include <pwd.h>
#include <sys/socket.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/log.h>

#include "doors.h"
#include "tunnel.h"

#define BACKLOG  512
#define AGAIN_MS 1000

const struct service_row services[SERVICE_COUNT] = {
	[SERVICE_API] = {"viking-api", "api.sock", "api.sock", "viking-sched"},
	[SERVICE_AGENT] = {"viking-agent", "agent.sock", "agent.sock", "viking-sched"},
	[SERVICE_REGISTRY] = {"viking-registry", "registry.sock", NULL, "viking-route"},
	[SERVICE_RECEIVER] = {"viking-receiver", "receiver.sock", "receiver.sock", "viking"},
	[SERVICE_SITES] = {"viking-sites", "sites.sock", "web/sites.sock", "viking-route"},
};

/* ---- the port ---- */

static void on_connection(void *arg, int fd, int what)
{
	struct front *f = arg;
	(void)what;
	struct sockaddr_storage from = {0};
	socklen_t n = sizeof(from);
	int s = f->n_tunnels < TUNNELS_MAX
		? accept4(fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK)
		: -1;
	if (s >= 0) {
		bool newcomer = !hosts_at(&f->hosts, &from);
		if (newcomer && f->n_newcomers >= NEWCOMERS_MAX)
			vk_closep(&s); /* the places are for the cluster's own hosts */
		else
			tunnel_in(f, s, newcomer);
		return;
	}
	if (f->n_tunnels < TUNNELS_MAX &&
		(errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	vk_log(VK_WARN, "full", "tunnels=%u", f->n_tunnels);
	vk_io_set(f->listener, 0); /* who waits in the queue is taken when there is room again */
	vk_timer_set(f->again, AGAIN_MS);
}

static void stop_listening(struct front *f)
{
	vk_io_free(f->listener);
	f->listener = NULL;
	vk_closep(&f->listening);
	f->listening = -1;
}

/* As it should be: listening in a cluster, else not. */
static void refresh_listening(void *arg)
{
	struct front *f = arg;
	struct vk_err err = {0};
	if (!f->hosts.clustered || !creds_exist(&f->creds)) {
		stop_listening(f);
		if (f->hosts.clustered)
			vk_timer_set(f->again, AGAIN_MS);
		return;
	}
	if (f->listener != NULL) {
		vk_io_set(f->listener, VK_READ);
		return;
	}
	if (vk_listen_tcp(f->c->cluster_address, (uint16_t)f->c->cluster_port, BACKLOG,
		    &f->listening, &err) != 0) {
		vk_log_err(VK_ERROR, "listen", &err);
		vk_timer_set(f->again, AGAIN_MS);
		return;
	}
	f->listener = vk_io_new(f->l, f->listening, VK_READ, on_connection, f);
	vk_log(VK_INFO, "listening", "port=%llu", (unsigned long long)f->c->cluster_port);
}

/* ---- the table ---- */

static void on_table(void *arg, json_t *line)
{
	struct front *f = arg;
	struct hosts fresh, before = f->hosts;
	struct vk_err err = {0};
	if (hosts_parse(line, &fresh, &err) != 0) {
		vk_log_err(VK_ERROR, "bad-table", &err);
		return;
	}
	f->hosts = fresh;
	tunnels_sweep(f, &before);
	hosts_release(&before);
	doors_refresh(f);
	refresh_listening(f);
}

/* ---- life ---- */

static void rights(const struct vk_config *c, struct vk_role_rights *ret)
{
	vk_strv_take(&ret->read, vk_state_path(c, "tls"));
	vk_strv_take(&ret->write, vk_run_path(c, "hosts"));
	ret->seccomp = VK_SECCOMP_DAEMON;
	ret->limit_nofile = 2 * TUNNELS_MAX + SERVICE_COUNT * HOSTS_MAX + 64;
}

static uid_t uid_of(const char *user)
{
	const struct passwd *p = getpwnam(user);
	return p != NULL ? p->pw_uid : (uid_t)-1;
}

static int open_front(struct vk_role *role, struct vk_err *err)
{
	struct front *f = role->self = vk_alloc(sizeof(*f));
	vk_autofree char *tls = vk_state_path(role->c, "tls"),
			 *doors = vk_run_path(role->c, "hosts");
	*f = (struct front){.l = role->l, .c = role->c, .listening = -1};
	creds_init(&f->creds, role->c);
	for (size_t i = 0; i < SERVICE_COUNT; i++) {
		if (services[i].socket != NULL)
			f->sockets[i] = vk_run_path(role->c, "%s", services[i].socket);
		f->users[i] = uid_of(services[i].user);
	}
	int rc = vk_fs_exists(tls) ? 0 : vk_fs_mkdir_p(tls, 0750, err);
	if (rc == 0) /* of a life before, whose hosts may have left meanwhile */
		rc = vk_fs_remove_tree(doors, err);
	return rc == 0 ? vk_fs_mkdir_p(doors, 0755, err) : rc;
}

static int start(struct vk_role *role, struct vk_err *err)
{
	struct front *f = role->self;
	(void)err;
	f->again = vk_timer_new(f->l, refresh_listening, f);
	vk_role_watch(role, "/v1/internal/front/watch", on_table, f);
	return 0;
}

static void front_free(void *self)
{
	struct front *f = self;
	if (f == NULL)
		return;
	stop_listening(f);
	tunnels_free(f);
	doors_free(f);
	vk_timer_free(f->again);
	for (size_t i = 0; i < SERVICE_COUNT; i++)
		free(f->sockets[i]);
	creds_release(&f->creds);
	free(f);
}

const struct vk_role_ops front_role = {"front", rights, open_front, start, front_free};
