#include "router.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <viking/crypt.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "applier.h"
#include "assign.h"
#include "certs.h"
#include "change.h"
#include "check.h"
#include "drain.h"
#include "files.h"
#include "link.h"
#include "pages.h"
#include "port.h"
#include "proxy.h"
#include "render.h"
#include "stats.h"
#include "table.h"
#include "tally.h"

#define LINK_MS 500

struct router {
	struct vk_role *role;
	struct vk_loop *l;
	struct render_settings settings;
	char *route_dir, *run_dir, *sites, *admin, *master, *tally_socket, *haproxy;
	char *nonce_key;
	struct files files;
	struct assign assign;
	struct vk_role_watch *watch;
	struct source source;
	bool behind;           /* the source says more than the present table */
	bool due;              /* what the present table waited for is there: it is to be applied */
	struct table *current; /* the last table, settled */
	struct table *previous; /* what is left of the one before: entries to go back to */
	struct faults faults;   /* of the present table */
	bool valid;             /* haproxy.cfg was found valid */
	bool close_all;  /* haproxy runs with a state of another boot: close it before any table */
	int64_t acked;   /* rev of the last ack that was sent; -1 = none */
	bool ack_wanted; /* the present table is not acknowledged yet */
	bool applied;    /* the present table is in force */
	bool sweep;      /* files of what it had no more are to go */
	char *trouble;   /* why it is not, as the scheduler was told */

	struct proxy *proxy; /* the links' own HAProxy */
	struct applier *applier;
	struct link *link;
	struct drain *drain;
	struct certs *certs;
	struct stats *stats;
	struct tally *tally;
};

static void boot_id(char out[static BOOT_ID_SIZE])
{
	vk_autobuf b = VK_BUF_INIT(256);
	out[0] = '\0';
	if (vk_fs_read("/proc/sys/kernel/random/boot_id", &b, NULL) == 0)
		snprintf(out, BOOT_ID_SIZE, "%.*s", (int)strcspn(vk_buf_str(&b), "\n"),
			vk_buf_str(&b));
}

static bool haproxy_runs(const struct router *r)
{
	vk_autoclose int fd = -1;
	return vk_connect_unix(r->admin, &fd, NULL) == 0;
}

/* acknowledging */

static json_t *faults_json(const struct faults *f)
{
	json_t *list = json_array();
	for (size_t i = 0; i < f->n; i++) {
		json_t *one = json_object();
		json_object_set_new(
			one, "stack", vk_json_safe_string(f->v[i].stack, strlen(f->v[i].stack)));
		json_object_set_new(one, "message",
			vk_json_safe_string(f->v[i].message, strlen(f->v[i].message)));
		json_array_append_new(list, one);
	}
	return list;
}

static void report(struct router *r, int64_t rev)
{
	vk_autojson *body = json_object();
	json_object_set_new(body, "rev", json_integer(rev));
	json_object_set_new(body, "reloads", json_integer(applier_reloads(r->applier)));
	json_object_set_new(body, "errors", faults_json(&r->faults));
	if (r->trouble != NULL)
		json_object_set_new(
			body, "trouble", vk_json_safe_string(r->trouble, strlen(r->trouble)));
	vk_role_report(r->role, "/v1/internal/router/ack", body);
}

static void send_ack(struct router *r)
{
	free(r->trouble);
	r->trouble = NULL;
	report(r, r->current->rev);
	r->acked = r->current->rev;
	r->ack_wanted = false;
}

/* Once for each cause: the table is tried again and again. */
static void send_trouble(struct router *r, const char *why)
{
	if (r->trouble != NULL && strcmp(r->trouble, why) == 0)
		return;
	free(r->trouble);
	r->trouble = vk_strdup(why);
	report(r, 0);
}

static void on_drained(void *arg, const char *id)
{
	struct router *r = arg;
	vk_autojson *body = json_object();
	json_object_set_new(body, "id", json_string(id));
	vk_log(VK_INFO, "drained", "id=%s", id);
	vk_role_report(r->role, "/v1/internal/router/drained", body);
}

/* applying */

/* A listener that cannot be bound would keep haproxy from every change: its stack stays as it was. */
static void settle_fronts(struct router *r)
{
	for (size_t i = r->current->n; i-- > 0;) {
		const struct table_stack *s = &r->current->stacks[i];
		for (size_t k = 0; k < s->n_nodes; k++) {
			uint16_t port = table_front(s->nodes[k].name);
			if (port == 0 || port_free(r->settings.address, port))
				continue;
			vk_autofree char *why =
				vk_asprintf("another program has the host's port %u", port);
			vk_autofree char *stack = vk_strdup(s->name);
			faults_add(&r->faults, stack, why);
			table_revert(r->current, r->previous, stack);
			break;
		}
	}
}

/* The web process that has the files of websites: this host's, or another's, to which viking-front brings the requests. */
static void settle_sites(struct router *r)
{
	free(r->sites);
	r->sites = r->assign.files[0] == '\0'
		? vk_run_path(r->role->c, "web/sites.sock")
		: vk_run_path(r->role->c, "hosts/%s/sites.sock", r->assign.files);
	r->settings.sites = r->sites;
}

static void apply(struct router *r)
{
	struct model want;
	r->applied = r->due = false;
	settle_fronts(r);
	certs_settle_pages(&r->files, r->current);
	assign_update(&r->assign, r->current);
	settle_sites(r);
	assign_model(&r->assign, r->current, &want);
	if (r->settings.https_port != 0)
		certs_model(&r->files, r->current, &want);
	r->sweep = true;
	applier_set(r->applier, &want);
}

/* The file was refused because of these stacks: theirs stays as it was, the others go on. */
static bool revert_stacks(struct router *r, const struct faults *faults)
{
	bool any = false;
	for (size_t i = 0; i < faults->n; i++) {
		const char *stack = faults->v[i].stack;
		if (r->current == NULL || stack[0] == '\0' || table_find(r->current, stack) == NULL)
			continue;
		faults_add(&r->faults, stack, faults->v[i].message);
		table_revert(r->current, r->previous, stack);
		any = true;
	}
	return any;
}

static void sweep_certs(const struct router *r)
{
	struct model m = {0};
	certs_model(&r->files, r->current, &m);
	files_sweep_certs(&r->files, &m);
	model_release(&m);
}

static void not_applied(struct router *r, const struct applier_result *result)
{
	vk_log_err(VK_ERROR, "not-applied", &result->err);
	if (revert_stacks(r, result->faults))
		apply(r);
	else
		send_trouble(r, result->err.msg);
}

static void in_force(struct router *r, const struct applier_result *result)
{
	for (size_t i = 0; i < result->faults->n; i++) {
		vk_log(VK_ERROR, "stack-at-fault", "stack=%s message=\"%s\"",
			result->faults->v[i].stack, result->faults->v[i].message);
		faults_add(&r->faults, result->faults->v[i].stack, result->faults->v[i].message);
	}
	r->applied = true;
	if (r->sweep) {
		sweep_certs(r);
		files_sweep_pages(&r->files, &r->assign);
		r->sweep = false;
	}
	drain_set(r->drain, r->current);
	if (r->ack_wanted)
		send_ack(r);
}

/* following the table */

/* What the patches name alone, if that is enough. */
static bool change(struct router *r)
{
	struct change c;
	bool clean = r->applied && r->faults.n == 0;
	struct model *want = clean ? applier_settled(r->applier) : NULL;
	if (want == NULL || !change_make(&r->source, r->current, &r->assign, want, &c))
		return false;
	source_taken(&r->source);
	r->applied = false;
	applier_change(r->applier, &c);
	return true;
}

static void whole(struct router *r)
{
	struct vk_err err = {0};
	struct table *t = NULL;
	struct faults faults = {0};
	source_taken(&r->source);
	if (table_parse(r->source.doc, r->source.host, &t, &faults, &err) != 0) {
		vk_log_err(VK_ERROR, "bad-table", &err);
		return;
	}
	table_settle(t, r->current, &faults);
	certs_hold(&r->files, t, r->current);
	for (size_t i = 0; i < faults.n; i++)
		vk_log(VK_WARN, "stack-at-fault", "stack=\"%s\" message=\"%s\"", faults.v[i].stack,
			faults.v[i].message);
	faults_release(&r->faults);
	r->faults = faults;
	table_free(r->previous);
	r->previous = r->current;
	r->current = t;
	if (certs_fetch(r->certs, t))
		apply(r); /* else when they are there, or cannot be had */
}

/* Patches that come while haproxy is being told are taken together behind that. */
static void advance(struct router *r)
{
	if (applier_busy(r->applier))
		return;
	if (r->behind) {
		r->behind = false;
		r->ack_wanted = true;
		if (!change(r))
			whole(r);
	} else if (r->due) {
		apply(r);
	}
}

static void on_fetched(void *arg)
{
	struct router *r = arg;
	r->due = true;
	advance(r);
}

static void on_applied(void *arg, const struct applier_result *result)
{
	struct router *r = arg;
	if (!result->equal)
		not_applied(r, result);
	else if (r->current != NULL)
		in_force(r, result);
	advance(r);
}

static void on_line(void *arg, json_t *line)
{
	struct router *r = arg;
	struct vk_err err = {0};
	if (source_line(&r->source, line, &err) == 0) {
		r->behind = true;
		advance(r);
		return;
	}
	vk_log_err(VK_ERROR, "bad-table", &err);
	if (json_object_get(line, "patch") != NULL)
		vk_role_watch_anew(r->watch);
}

static void on_link(void *arg, bool up)
{
	struct router *r = arg;
	vk_log(VK_INFO, up ? "haproxy-up" : "haproxy-gone", "socket=%s", r->admin);
	applier_link(r->applier, up);
	advance(r);
}

/* starting */

static unsigned maxconn(void)
{
	struct rlimit limit = {1024, 1024};
	getrlimit(RLIMIT_NOFILE, &limit);
	return render_maxconn(limit.rlim_max == RLIM_INFINITY ? 1000000 : limit.rlim_max);
}

static void set_paths(struct router *r, const struct vk_config *c)
{
	r->route_dir = vk_state_path(c, "route");
	r->run_dir = vk_run_path(c, "route");
	r->admin = vk_run_path(c, "route/admin.sock");
	r->master = vk_run_path(c, "route/master.sock");
	r->tally_socket = vk_run_path(c, "route/tally.sock");
	r->haproxy = vk_strdup(c->haproxy_path);
	r->settings = (struct render_settings){.address = c->http_address,
		.port = (unsigned)c->http_port,
		.https_port = (unsigned)c->https_port,
		.route_dir = r->route_dir,
		.run_dir = r->run_dir,
		.maxconn = maxconn()};
	settle_sites(r);
	files_init(&r->files, &r->settings);
}

/* The key that signs nonces of digest logins: made once, so that the file's head stays the same. */
static int load_nonce_key(struct router *r, struct vk_err *err)
{
	struct vk_secret_key key;
	vk_autofree char *path = vk_asprintf("%s/nonce.key", r->route_dir);
	int rc = vk_secret_key_load(path, true, &key, err);
	if (rc != 0)
		return rc;
	r->nonce_key = vk_base64(key.k, sizeof(key.k));
	r->settings.nonce_key = r->nonce_key;
	return 0;
}

static int make_directories(const struct router *r, struct vk_err *err)
{
	int rc = vk_fs_mkdir_p(r->files.cert_dir, 0700, err);
	if (rc == 0)
		rc = vk_fs_mkdir_p(r->files.page_dir, 0700, err);
	if (rc == 0)
		rc = vk_fs_mkdir_p(r->run_dir, 0700, err);
	if (rc == 0)
		rc = pages_write_hold(r->route_dir, err);
	return rc == 0 ? pages_write(r->route_dir, err) : rc;
}

/* All servers closed, the routes as they were. */
static void closed_model(const struct router *r, struct model *ret)
{
	assign_model(&r->assign, NULL, ret);
	files_get_maps(&r->files, ret);
}

static int write_closed(struct router *r, struct vk_err *err)
{
	struct model m;
	vk_autobuf text = VK_BUF_INIT(FILES_MAX), messages = VK_BUF_INIT(65536);
	closed_model(r, &m);
	files_render(&r->files, &m, &text);
	int rc = files_put_maps(&r->files, &m, err);
	model_release(&m);
	if (rc == 0)
		rc = files_put(r->files.candidate, &text, NULL, err);
	if (rc == 0 && (rc = check_now(r->haproxy, r->files.candidate, &messages, err)) != 0)
		return vk_err_wrap(err, "haproxy -c -f %s", r->files.candidate);
	if (rc == 0)
		rc = files_put(r->files.cfg, &text, NULL, err);
	return rc == 0 ? files_put_assign(&r->files, &r->assign, err) : rc;
}

static int first_files(struct router *r, struct vk_err *err)
{
	bool fresh, runs = haproxy_runs(r);
	char boot[BOOT_ID_SIZE];
	boot_id(boot);
	files_get_assign(&r->files, &r->assign, &fresh);
	settle_sites(r);
	bool same_boot = boot[0] != '\0' && strcmp(boot, r->assign.boot) == 0;
	memcpy(r->assign.boot, boot, sizeof(boot));
	r->valid = true;
	if (runs && same_boot && !fresh && vk_fs_exists(r->files.cfg)) {
		if (!files_same_head(&r->files)) {
			r->assign.reload = true;
			r->valid = false;
		}
		vk_log(VK_INFO, "haproxy-adopted", "reload=%d", (int)r->assign.reload);
		return 0;
	}
	vk_log(VK_INFO, "routes-closed", "boot=%s haproxy=%s", same_boot ? "same" : "new",
		runs ? "runs" : "none");
	r->close_all = runs;
	r->assign.reload = runs; /* it may run with another file than the one that is written now */
	return write_closed(r, err);
}

/* Makes the directories, pages and a first valid haproxy.cfg. It is closed (no server is ready)
 * unless haproxy is running and this is still the boot in which the file was written. */
static int open_files(struct vk_role *role, struct vk_err *err)
{
	struct router *r = role->self = vk_alloc(sizeof(*r));
	r->role = role;
	r->l = role->l;
	r->source.host = role->c->host_name;
	r->acked = -1;
	set_paths(r, role->c);
	int rc = render_check(&r->settings, err);
	if (rc == 0)
		rc = make_directories(r, err);
	if (rc == 0)
		rc = load_nonce_key(r, err);
	if (rc == 0)
		rc = first_files(r, err);
	return rc == 0 ? proxy_new(role, maxconn(), &r->proxy, err) : rc;
}

/* Exec is left open for one program, `haproxy -c`; landlock holds it to that file and its
 * libraries, and passes on to it. */
static void rights(const struct vk_config *c, struct vk_role_rights *ret)
{
	static const char *const reads[] = {
		"/etc/ssl", "/etc/ld.so.cache", "/usr/share/zoneinfo", "/etc/localtime"};
	static const char *const libraries[] = {"/usr/lib", "/lib", "/lib64"};
	for (size_t i = 0; i < sizeof(reads) / sizeof(*reads); i++)
		vk_strv_add(&ret->read, reads[i]);
	vk_strv_take(&ret->write, vk_state_path(c, "route"));
	vk_strv_take(&ret->write, vk_run_path(c, "route"));
	vk_strv_add(&ret->write, "/dev/null");
	vk_strv_add(&ret->exec, c->haproxy_path);
	for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++)
		vk_strv_add(&ret->exec, libraries[i]);
	ret->seccomp = VK_SECCOMP_SPAWN;
}

static int start(struct vk_role *role, struct vk_err *err)
{
	struct router *r = role->self;
	struct applier_opts ao = {.files = &r->files,
		.haproxy = r->haproxy,
		.admin = r->admin,
		.master = r->master,
		.checked = r->valid ? r->assign.n : 0,
		.assign = &r->assign};
	struct stats_opts so = {.admin = r->admin, .assign = &r->assign, .queue = role->queue};
	struct tally_opts to = {
		.socket = r->tally_socket, .assign = &r->assign, .queue = role->queue};
	int rc = tally_new(r->l, &to, &r->tally, err);
	if (rc != 0)
		return rc;
	r->applier = applier_new(r->l, &ao, on_applied, r);
	r->drain = drain_new(r->l, r->admin, r->master, on_drained, r);
	r->link = link_new(r->l, r->admin, LINK_MS, on_link, r);
	applier_use_link(r->applier, r->link);
	r->stats = stats_new(r->l, &so);
	proxy_start(r->proxy);
	r->certs = certs_new(&r->files, role->queue, on_fetched, r);
	r->watch = vk_role_watch(role, "/v1/internal/router/watch?patches=1", on_line, r);
	if (r->close_all) {
		struct model m;
		closed_model(r, &m);
		applier_set(r->applier, &m);
	}
	return 0;
}

static void router_free(void *self)
{
	struct router *r = self;
	if (r == NULL)
		return;
	proxy_free(r->proxy);
	certs_free(r->certs);
	stats_free(r->stats);
	tally_free(r->tally);
	drain_free(r->drain);
	applier_free(r->applier);
	link_free(r->link);
	source_release(&r->source);
	table_free(r->current);
	table_free(r->previous);
	faults_release(&r->faults);
	assign_release(&r->assign);
	files_release(&r->files);
	free(r->nonce_key);
	free(r->route_dir);
	free(r->run_dir);
	free(r->sites);
	free(r->admin);
	free(r->master);
	free(r->tally_socket);
	free(r->haproxy);
	free(r->trouble);
	free(r);
}

const struct vk_role_ops router_role = {"router", rights, open_files, start, router_free};
