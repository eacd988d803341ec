#include "web.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/log.h>

#include "figures.h"
#include "serve.h"

#define CONNECTIONS_MAX 4096

struct web {
	struct vk_role *role;
	struct serve serve;
	struct sites *sites;
	int listen_fd;
	struct vk_httpd *httpd;
	struct figures *figures;
};

static void on_request(void *arg, struct vk_req *r)
{
	struct web *w = arg;
	serve_request(&w->serve, r);
}

static void on_bad_entry(void *arg, const char *host, const struct vk_err *err)
{
	(void)arg;
	vk_log(VK_WARN, "bad-site", "host=\"%s\" error=\"%s\"", host, err->msg);
}

static void on_table(void *arg, json_t *line)
{
	struct web *w = arg;
	struct vk_err err = {0};
	struct sites *s = NULL;
	if (sites_parse(line, w->sites, on_bad_entry, w, &s, &err) != 0) {
		vk_log_err(VK_ERROR, "bad-table", &err);
		return;
	}
	sites_free(w->sites);
	w->sites = s;
	w->serve.sites = s;
	json_t *body = json_object();
	json_object_set_new(body, "rev", json_integer(s->rev));
	vk_role_report(w->role, "/v1/internal/web/ack", body);
	json_decref(body);
}

static uid_t uid_of(const char *user)
{
	const struct passwd *p = getpwnam(user);
	return p != NULL ? p->pw_uid : (uid_t)-1;
}

static int open_files(struct web *w, const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *files = vk_state_path(c, "static"), *dir = vk_run_path(c, "web");
	vk_autofree char *sock = vk_run_path(c, "web/sites.sock");
	int rc = vk_fs_exists(files) ? 0 : vk_fs_mkdir_p(files, 0750, err);
	if (rc == 0)
		rc = vk_fs_exists(dir) ? 0 : vk_fs_mkdir_p(dir, 0755, err);
	if (rc != 0)
		return rc;
	w->serve.root = open(files, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w->serve.root < 0)
		return vk_err_errno(err, errno, "%s", files);
	/* haproxy has another user: who may connect is decided by the peer's uid */
	return vk_listen_unix(sock, 0666, NULL, 512, &w->listen_fd, err);
}

static int open_all(struct vk_role *role, struct vk_err *err)
{
	struct web *w = role->self = vk_alloc(sizeof(*w));
	w->role = role;
	w->listen_fd = -1;
	w->serve = (struct serve){
		.root = -1, .allowed = {uid_of("viking-route"), uid_of("viking-front")}};
	int rc = open_files(w, role->c, err);
	return rc == 0 ? figures_new(role, &w->figures, err) : rc;
}

/* The socket is open already. */
static void rights(const struct vk_config *c, struct vk_role_rights *ret)
{
	vk_strv_take(&ret->read, vk_state_path(c, "static"));
	ret->seccomp = VK_SECCOMP_DAEMON;
}

static int start(struct vk_role *role, struct vk_err *err)
{
	struct web *w = role->self;
	struct vk_httpd_opts o = {.body_max = 1, .connections_max = CONNECTIONS_MAX};
	int rc = vk_httpd_new(role->l, VK_TAKE_FD(w->listen_fd), &o, on_request, w, &w->httpd, err);
	if (rc == 0)
		rc = figures_start(w->figures, err);
	if (rc == 0)
		vk_role_watch(role, "/v1/internal/web/watch", on_table, w);
	return rc;
}

static void web_free(void *self)
{
	struct web *w = self;
	if (w == NULL)
		return;
	figures_free(w->figures);
	vk_httpd_free(w->httpd);
	vk_closep(&w->listen_fd);
	vk_closep(&w->serve.root);
	sites_free(w->sites);
	free(w);
}

const struct vk_role_ops web_role = {"web", rights, open_all, start, web_free};
