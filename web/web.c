#include "web.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <viking/api.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/log.h>

#include "serve.h"

#define ROUTE_USER      "viking-route"
#define CONNECTIONS_MAX 4096

struct web {
	struct vk_loop *l;
	struct serve serve;
	struct sites *sites;
	char *api_socket;
	int listen_fd;
	struct vk_httpd *httpd;
	struct vk_api_watch *watch;
	struct vk_api_queue *queue;
};

static void on_request(void *arg, struct vk_req *r)
{
	struct web *w = arg;
	serve_request(&w->serve, r);
}

static void on_acked(void *arg, const struct vk_err *err, const json_t *answer)
{
	(void)arg;
	(void)answer;
	if (err->code != 0)
		vk_log_err(VK_WARN, "ack-refused", err);
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
	vk_api_queue_add(w->queue, "POST", "/v1/internal/web/ack", body, on_acked, w);
	json_decref(body);
}

static void on_api(void *arg, bool connected, const struct vk_err *err)
{
	(void)arg;
	if (connected)
		vk_log(VK_INFO, "api-connected", "path=web/watch");
	else
		vk_log_err(VK_WARN, "api-lost", err);
}

static uid_t route_user(void)
{
	const struct passwd *p = getpwnam(ROUTE_USER);
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

int web_new(struct vk_loop *l, const struct vk_config *c, struct web **ret, struct vk_err *err)
{
	struct web *w = vk_alloc(sizeof(*w));
	w->l = l;
	w->listen_fd = -1;
	w->serve = (struct serve){.root = -1, .allowed = route_user()};
	w->api_socket = vk_run_path(c, "api.sock");
	int rc = open_files(w, c, err);
	if (rc != 0) {
		web_free(w);
		return rc;
	}
	*ret = w;
	return 0;
}

int web_confine(const struct vk_config *c, struct vk_sandbox_report *ret, struct vk_err *err)
{
	vk_autofree char *files = vk_state_path(c, "static"), *api = vk_run_path(c, "api.sock");
	const char *const reads[] = {files, api, NULL};
	struct vk_sandbox s = {.read_paths = reads,
		.use_landlock = true,
		.seccomp = VK_SECCOMP_DAEMON,
		.mode = c->sandbox};
	return vk_sandbox_enter(&s, ret, err);
}

int web_start(struct web *w, struct vk_err *err)
{
	struct vk_httpd_opts o = {.body_max = 1, .connections_max = CONNECTIONS_MAX};
	struct vk_api_opts api = {.socket = w->api_socket, .role = "web", .token = ""};
	int rc = vk_httpd_new(w->l, VK_TAKE_FD(w->listen_fd), &o, on_request, w, &w->httpd, err);
	if (rc != 0)
		return rc;
	w->queue = vk_api_queue_new(w->l, &api);
	w->watch = vk_api_watch_new(w->l, &api, "/v1/internal/web/watch", on_table, on_api, w);
	return 0;
}

void web_free(struct web *w)
{
	if (w == NULL)
		return;
	vk_api_watch_free(w->watch);
	vk_api_queue_free(w->queue);
	vk_httpd_free(w->httpd);
	vk_closep(&w->listen_fd);
	vk_closep(&w->serve.root);
	sites_free(w->sites);
	free(w->api_socket);
	free(w);
}
