#include "figures.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <viking/crypt.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/json.h>
#include <viking/str.h>

#define TYPE            "text/plain; version=0.0.4; charset=utf-8"
#define CONNECTIONS_MAX 16
#define ASKED_MAX       4 /* questions to the scheduler under way: it may be away for long */
#define BEARER          "Bearer "

struct figures {
	struct vk_role *role;
	int listen_fd;
	struct vk_httpd *httpd;
	struct scrape *asked;
	size_t n_asked;
};

/* A question under way: the client may go before the answer comes. */
struct scrape {
	struct figures *f;
	struct scrape *next;
	struct vk_req *r; /* NULL: it is gone */
};

bool figures_allowed(const char *authorization, const char *digest)
{
	char hex[65];
	if (authorization == NULL || strncasecmp(authorization, BEARER, strlen(BEARER)) != 0)
		return false;
	const char *token = authorization + strlen(BEARER);
	/* what the comparison's time could tell is of the digest, from which no token follows */
	vk_sha256_hex(token, strlen(token), hex);
	return strlen(digest) == 64 && strcmp(hex, digest) == 0;
}

static void refuse(struct vk_req *r, int code, const char *message)
{
	struct vk_err err = {0};
	vk_err_set(&err, code, "%s", message);
	vk_req_error(r, &err);
}

static void on_closed(void *arg, struct vk_req *r)
{
	struct scrape *s = arg;
	(void)r;
	s->r = NULL;
}

static void on_text(void *arg, const struct vk_err *err, const json_t *answer)
{
	struct scrape *s = arg;
	const char *text = vk_json_str(answer, "text", "");
	struct scrape **at = &s->f->asked;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->f->n_asked--;
	if (s->r != NULL && err->code != 0)
		vk_req_error(s->r, err);
	else if (s->r != NULL)
		vk_req_bytes(s->r, 200, TYPE, text, strlen(text));
	free(s);
}

static void on_request(void *arg, struct vk_req *r)
{
	struct figures *f = arg;
	if (!vk_streq(vk_req_path(r), "/metrics")) {
		refuse(r, VK_NOTFOUND, "only /metrics is here");
		return;
	}
	if (!figures_allowed(vk_req_header(r, "Authorization"), f->role->c->metrics_token)) {
		refuse(r, VK_DENIED, "the token of metrics.token is needed");
		return;
	}
	if (!vk_streq(vk_req_method(r), "GET") || f->n_asked == ASKED_MAX) {
		refuse(r, f->n_asked == ASKED_MAX ? VK_UNAVAILABLE : VK_INVALID,
			"GET, and not many at once");
		return;
	}
	struct scrape *s = vk_alloc(sizeof(*s));
	*s = (struct scrape){.f = f, .next = f->asked, .r = r};
	f->asked = s;
	f->n_asked++;
	vk_req_on_closed(r, on_closed, s);
	vk_api_queue_add(f->role->queue, "GET", "/v1/internal/metrics", NULL, on_text, s);
}

int figures_new(struct vk_role *role, struct figures **ret, struct vk_err *err)
{
	const struct vk_config *c = role->c;
	*ret = NULL;
	if (c->metrics_token[0] == '\0' || c->web_port == 0)
		return 0;
	struct figures *f = vk_alloc(sizeof(*f));
	*f = (struct figures){.role = role, .listen_fd = -1};
	int rc = vk_listen_tcp(c->web_address, (uint16_t)c->web_port, 16, &f->listen_fd, err);
	if (rc != 0)
		figures_free(f);
	else
		*ret = f;
	return rc;
}

int figures_start(struct figures *f, struct vk_err *err)
{
	const struct vk_httpd_opts o = {
		.body_max = 1, .connections_max = CONNECTIONS_MAX, .idle_ms = 30000};
	return f == NULL ? 0
			 : vk_httpd_new(f->role->l, VK_TAKE_FD(f->listen_fd), &o, on_request, f,
				   &f->httpd, err);
}

void figures_free(struct figures *f)
{
	if (f == NULL)
		return;
	vk_httpd_free(f->httpd);
	vk_closep(&f->listen_fd);
	for (struct scrape *s = f->asked, *next; s != NULL; s = next) {
		next = s->next;
		free(s);
	}
	free(f);
}
