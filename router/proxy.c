/* Keeps the links' HAProxy equal to the network document. */
#include "proxy.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/json.h>
#include <viking/log.h>

#include "exchange.h"
#include "link.h"
#include "port.h"
#include "proxy_model.h"
#include "reload.h"

#define ASK_MS      2000
#define AGAIN_MS    2000
#define LINK_MS     2000  /* the file has what it missed */
#define COMMAND_MAX 12000 /* HAProxy reads a line of 16 kB: more is a reload */

struct proxy {
	struct vk_role *role;
	struct vk_loop *l;
	char *cfg, *admin, *idle, *master, *hosts;
	unsigned maxconn;
	struct proxy_model have, want; /* have: as HAProxy has it; unknown while !known */
	bool known, wanted;            /* wanted: a document has come */
	bool changed;                  /* since the run under way began */
	int64_t acked;
	uint64_t reloads;
	struct link *link;
	struct exchange *exchange;
	struct reload *reload;
	struct vk_timer *again;
};

static int write_file(const struct proxy *p, const struct proxy_model *m, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(PROXY_FILE_MAX), old = VK_BUF_INIT(PROXY_FILE_MAX);
	const struct proxy_paths paths = {p->admin, p->idle, p->hosts, p->maxconn};
	proxy_render(m, &paths, &text);
	if (vk_fs_read(p->cfg, &old, NULL) == 0 && strcmp(vk_buf_str(&old), vk_buf_str(&text)) == 0)
		return 0;
	return vk_fs_write_atomic(p->cfg, text.data, text.len, 0600, err);
}

/* ---- telling ---- */

static void tell(struct proxy *p, const struct vk_err *err)
{
	json_t *errors = json_array();
	char text[INET_ADDRSTRLEN];
	for (size_t i = 0; i < p->want.n; i++) {
		const struct in_addr a = {.s_addr = htonl(p->want.v[i].addr)};
		if (p->want.v[i].blocked)
			json_array_append_new(errors,
				json_sprintf("another program has %s:%u",
					inet_ntop(AF_INET, &a, text, sizeof(text)),
					p->want.v[i].port));
	}
	if (err != NULL)
		json_array_append_new(errors, json_string(err->msg));
	vk_autojson *body = json_pack("{s:I,s:I,s:i,s:o}", "rev", (json_int_t)p->want.rev,
		"reloads", (json_int_t)p->reloads, "links", (int)p->want.n, "errors", errors);
	vk_role_report(p->role, "/v1/internal/links/ack", body);
	p->acked = p->want.rev;
}

/* ---- applying: one thing at a time, and again while there is something to do ---- */

static void step(struct proxy *p);

static void copy_model(const struct proxy_model *from, struct proxy_model *to)
{
	proxy_model_release(to);
	*to = (struct proxy_model){.rev = from->rev, .n = from->n};
	to->v = vk_calloc(from->n + 1, sizeof(*to->v));
	for (size_t i = 0; i < from->n; i++) {
		to->v[i] = from->v[i];
		to->v[i].slots = vk_calloc(from->v[i].n_slots, sizeof(*to->v[i].slots));
		memcpy(to->v[i].slots, from->v[i].slots,
			from->v[i].n_slots * sizeof(*to->v[i].slots));
	}
}

static void failed(struct proxy *p, const struct vk_err *err)
{
	vk_log_err(VK_ERROR, "links-not-applied", err);
	p->known = false;
	tell(p, err);
	vk_timer_set(p->again, AGAIN_MS);
}

static void done(struct proxy *p)
{
	p->known = true;
	if (p->changed)
		step(p);
	else
		tell(p, NULL);
}

static void on_reloaded(void *arg, const struct vk_err *err, pid_t worker)
{
	struct proxy *p = arg;
	p->reload = NULL;
	if (err->code != 0) {
		failed(p, err);
		return;
	}
	p->reloads++;
	vk_log(VK_INFO, "links-reloaded", "worker=%d listeners=%zu", (int)worker, p->have.n);
	link_restart(p->link);
	p->changed = proxy_model_reloaded(&p->have) || p->changed;
	done(p);
}

static void on_told(void *arg, const struct vk_err *err, const char *text)
{
	struct proxy *p = arg;
	p->exchange = NULL;
	if (err->code == 0 && proxy_answer_good(text)) {
		done(p);
		return;
	}
	/* the file is right whatever was made of the commands */
	p->known = false;
	p->changed = true;
	step(p);
}

/* One program that sits on one port must not keep all other links from being made. */
static void look_for_blocked(struct proxy *p)
{
	bool any = false;
	for (size_t i = 0; i < p->want.n; i++) {
		char address[INET_ADDRSTRLEN];
		const struct in_addr in = {htonl(p->want.v[i].addr)};
		inet_ntop(AF_INET, &in, address, sizeof(address));
		p->want.v[i].blocked = !port_free(address, p->want.v[i].port);
		any = any || p->want.v[i].blocked;
	}
	vk_timer_set(p->again, any ? AGAIN_MS : -1);
}

static void step(struct proxy *p)
{
	struct vk_err err = {0};
	vk_autobuf command = VK_BUF_INIT(PROXY_FILE_MAX);
	if (!p->wanted || p->exchange != NULL || p->reload != NULL)
		return;
	p->changed = false;
	look_for_blocked(p);
	if (write_file(p, &p->want, &err) != 0) {
		failed(p, &err);
		return;
	}
	bool same = p->known && proxy_model_same_listeners(&p->have, &p->want);
	if (same)
		proxy_plan(&p->have, &p->want, &command);
	copy_model(&p->want, &p->have);
	if (!link_up(p->link)) { /* it comes back with the file */
		p->known = false;
		return;
	}
	if (!same || command.len > COMMAND_MAX) {
		p->reload = reload_start(p->l, p->master, on_reloaded, p);
	} else if (command.len > 0) {
		const struct exchange_opts o = {
			.socket = p->admin, .request = vk_buf_str(&command), .timeout_ms = ASK_MS};
		p->exchange = exchange_start(p->l, &o, on_told, p);
	} else if (p->acked != p->want.rev) {
		tell(p, NULL);
	}
}

static void on_again(void *arg)
{
	struct proxy *p = arg;
	p->changed = true;
	step(p);
}

static void on_document(void *arg, json_t *line)
{
	struct proxy *p = arg;
	struct proxy_model m = {0};
	struct vk_err err = {0};
	if (proxy_model_parse(line, p->role->c->host_name, &p->want, &m, &err) != 0) {
		vk_log_err(VK_ERROR, "bad-document", &err);
		return;
	}
	proxy_model_release(&p->want);
	p->want = m;
	p->wanted = p->changed = true;
	step(p);
}

/* A worker that is new has read the file, but perhaps an older one than is written by now: it reads it once more. */
static void on_link(void *arg, bool up)
{
	struct proxy *p = arg;
	vk_log(VK_INFO, up ? "links-up" : "links-gone", "socket=%s", p->admin);
	p->known = false;
	p->changed = true;
	if (up)
		step(p);
}

/* ---- life ---- */

int proxy_new(struct vk_role *role, unsigned maxconn, struct proxy **ret, struct vk_err *err)
{
	const struct vk_config *c = role->c;
	struct proxy *p = vk_alloc(sizeof(*p));
	*p = (struct proxy){.role = role,
		.l = role->l,
		.cfg = vk_state_path(c, "route/links.cfg"),
		.admin = vk_run_path(c, "route/links.sock"),
		.idle = vk_run_path(c, "route/links-idle.sock"),
		.master = vk_run_path(c, "route/links-master.sock"),
		.hosts = vk_run_path(c, "hosts"),
		.maxconn = maxconn,
		.acked = -1};
	p->again = vk_timer_new(role->l, on_again, p);
	vk_autoclose int fd = -1;
	int rc = vk_connect_unix(p->admin, &fd, NULL) == 0 && vk_fs_exists(p->cfg)
		? 0
		: write_file(p, &p->want, err);
	if (rc != 0)
		proxy_free(p);
	else
		*ret = p;
	return rc;
}

void proxy_start(struct proxy *p)
{
	p->link = link_new(p->l, p->admin, LINK_MS, on_link, p);
	vk_role_watch(p->role, "/v1/internal/net/watch", on_document, p);
}

void proxy_free(struct proxy *p)
{
	if (p == NULL)
		return;
	exchange_free(p->exchange);
	reload_free(p->reload);
	link_free(p->link);
	vk_timer_free(p->again);
	proxy_model_release(&p->have);
	proxy_model_release(&p->want);
	free(p->cfg);
	free(p->admin);
	free(p->idle);
	free(p->master);
	free(p->hosts);
	free(p);
}
