#include "relay.h"

#include <pwd.h>
#include <unistd.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "host.h"
#include "logquery.h"
#include "session.h"

#define BODY_MAX        (1u << 20)
#define CONNECTIONS_MAX 512
#define BACKLOG         256

struct relay {
	struct agent *a;
	int fd;                 /* until it is served */
	uid_t scheduler, front; /* (uid_t)-1 when there is no such user */
	struct vk_httpd *httpd;
	struct logqueries *queries;
	struct session *sessions;
	struct facts_wait *facts;
};

struct facts_wait {
	struct relay *r;
	struct facts_wait *next;
	struct vk_req *req;
	struct vk_engine_op *op;
};

static uid_t uid_of(const char *user)
{
	const struct passwd *p = getpwnam(user);
	return p != NULL ? p->pw_uid : (uid_t)-1;
}

static bool allowed(const struct relay *r, const struct vk_req *req)
{
	uid_t uid;
	pid_t pid;
	vk_req_peer(req, &uid, &pid);
	const char *host = vk_req_peer_host(req);
	uid_t wanted = host != NULL ? r->front : r->scheduler;
	if (host != NULL && !vk_is_host(host))
		return false; /* it showed no certificate */
	return uid == 0 || uid == geteuid() || (wanted != (uid_t)-1 && uid == wanted);
}

/* ---- facts ---- */

static void facts_free(struct facts_wait *w)
{
	for (struct facts_wait **at = &w->r->facts; *at != NULL; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			break;
		}
	if (w->op != NULL)
		vk_engine_op_cancel(w->op);
	free(w);
}

static void on_info(void *arg, const struct vk_err *err, json_t *answer)
{
	struct facts_wait *w = arg;
	const struct agent *a = w->r->a;
	struct vk_req *req = w->req;
	w->op = NULL;
	facts_free(w);
	vk_req_on_closed(req, NULL, NULL);
	vk_req_json(req, 200, host_facts(a->config, err->code == 0 ? answer : NULL, a->desired));
}

static void on_facts_closed(void *arg, struct vk_req *req)
{
	(void)req;
	facts_free(arg);
}

static void answer_facts(struct relay *r, struct vk_req *req)
{
	struct facts_wait *w = vk_alloc(sizeof(*w));
	w->r = r;
	w->req = req;
	w->next = r->facts;
	r->facts = w;
	vk_req_on_closed(req, on_facts_closed, w);
	w->op = vk_engine_call_async(
		r->a->engine, "GET", "/info", NULL, AGENT_RETRY_MS, on_info, w);
}

/* ---- routes ---- */

static void answer_exec(struct relay *r, struct vk_req *req)
{
	const struct vk_buf *b = vk_req_body(req);
	vk_autojson *body = NULL;
	struct vk_err err = {0};
	if (vk_json_parse(vk_buf_str(b), b->len, &body, &err) < 0) {
		vk_req_error(req, &err);
		return;
	}
	if (json_object_get(body, "run") != NULL)
		session_run(r->a, &r->sessions, req, body);
	else
		session_exec(r->a, &r->sessions, req, body);
}

static void on_request(void *arg, struct vk_req *req)
{
	struct relay *r = arg;
	const char *method = vk_req_method(req), *path = vk_req_path(req);
	struct vk_err err = {0};
	if (!allowed(r, req))
		vk_err_set(&err, VK_DENIED, "only the scheduler may ask the agent");
	else if (vk_streq(path, "/logs") && vk_streq(method, "GET"))
		logqueries_answer(r->queries, req);
	else if (vk_streq(path, "/facts") && vk_streq(method, "GET"))
		answer_facts(r, req);
	else if (vk_streq(path, "/exec") && vk_streq(method, "POST"))
		answer_exec(r, req);
	else
		vk_err_set(&err, VK_NOTFOUND, "no such route: %s %s", method, path);
	if (err.code != 0)
		vk_req_error(req, &err);
}

/* ---- life ---- */

int relay_new(struct agent *a, struct relay **ret, struct vk_err *err)
{
	vk_autofree char *path = vk_run_path(a->config, "agent.sock");
	struct relay *r = vk_alloc(sizeof(*r));
	r->a = a;
	r->scheduler = uid_of("viking-sched");
	r->front = uid_of("viking-front");
	/* peers are checked, not the file mode */
	int e = vk_listen_unix(path, 0666, NULL, BACKLOG, &r->fd, err);
	if (e < 0) {
		free(r);
		return e;
	}
	*ret = r;
	return 0;
}

void relay_serve(struct relay *r)
{
	static const struct vk_httpd_opts opts = {
		.body_max = BODY_MAX, .connections_max = CONNECTIONS_MAX};
	struct vk_err err = {0};
	r->queries = logqueries_new(r->a->loop, r->a->logs);
	if (vk_httpd_new(r->a->loop, r->fd, &opts, on_request, r, &r->httpd, &err) < 0)
		vk_log_err(VK_ERROR, "relay", &err);
	r->fd = -1;
}

void relay_free(struct relay *r)
{
	if (r == NULL)
		return;
	vk_httpd_free(r->httpd); /* first: it tells what it still answers that the client is gone */
	while (r->sessions != NULL)
		session_free(r->sessions);
	while (r->facts != NULL)
		facts_free(r->facts);
	logqueries_free(r->queries);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

bool relay_holds(const struct relay *r, const char *container)
{
	for (const struct session *s = r->sessions; s != NULL; s = s->next)
		if (s->run && vk_streq(s->container, container))
			return true;
	return false;
}
