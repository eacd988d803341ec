#include "certs.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <viking/crypt.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "trust.h"
#include "worker.h"

#define CHECK_MS 8000  /* before the scheduler answers its client itself */
#define GRACE_MS 30000 /* an order ends by itself at its deadline, with a better word */

struct certs {
	struct vk_role *role;
	char *job_path, *dir;
	struct vk_err no_trust; /* why acme.ca_file cannot be used */
	struct job *jobs;
};

/* From the list's first naming it until it is named no more. */
struct job {
	struct certs *c;
	char *id;
	struct worker *worker; /* NULL: answered */
	bool listed;
	struct job *next;
};

static void job_free(struct job *j)
{
	worker_free(j->worker);
	free(j->id);
	free(j);
}

static void report(struct job *j, const json_t *answer)
{
	vk_autofree char *path = vk_asprintf("/v1/internal/certs/jobs/%s", j->id);
	vk_role_report(j->c->role, path, answer);
}

static void on_answer(void *arg, const json_t *answer)
{
	struct job *j = arg;
	bool ok = vk_json_bool(answer, "ok", false);
	j->worker = NULL;
	vk_log(VK_INFO, "job-ended", "id=%s ok=%d why=\"%s\"", j->id, ok,
		vk_json_str(answer, "message", ""));
	report(j, answer);
}

/* What the job needs of our settings. */
static int64_t complete(const struct certs *c, const char *id, json_t *doc)
{
	const struct vk_config *g = c->role->c;
	const char *domain = vk_json_str(doc, "domain", "");
	char hash[65];
	json_object_set_new(doc, "sandbox", json_string(g->sandbox));
	if (strcmp(vk_json_str(doc, "kind", ""), "order") != 0)
		return CHECK_MS;
	vk_sha256_hex(domain, strlen(domain), hash);
	vk_autofree char *dir = vk_asprintf("%s/%s", c->dir, id);
	vk_autofree char *lock = vk_asprintf("%s/%.24s.lock", c->dir, hash);
	vk_autojson *more =
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I}", "id", id, "directory",
			g->acme_directory, "email", g->acme_email, "dns_hook", g->acme_dns_hook,
			"dir", dir, "lock", lock, "uacme", g->uacme_path, "program", c->job_path,
			"api", c->role->api.socket, "timeout_ms", (json_int_t)g->acme_timeout_ms);
	json_object_update(doc, more);
	return (int64_t)g->acme_timeout_ms + GRACE_MS;
}

static void begin(struct certs *c, const char *id, json_t *doc)
{
	struct vk_err err = {0};
	struct job *j = vk_alloc(sizeof(*j));
	const char *kind = vk_json_str(doc, "kind", "");
	bool order = strcmp(kind, "order") == 0;
	*j = (struct job){.c = c, .id = vk_strdup(id), .listed = true, .next = c->jobs};
	c->jobs = j;
	int64_t ms = complete(c, id, doc);
	int rc = order && c->no_trust.code != 0
		? vk_err_set(&err, c->no_trust.code, "%s", c->no_trust.msg)
		: worker_start(
			  c->role->l, c->job_path, kind, doc, ms, on_answer, j, &j->worker, &err);
	if (rc == 0)
		return;
	vk_err_hint(&err, "%s", order ? c->no_trust.hint : "viking doctor");
	vk_log_err(VK_ERROR, "job-not-started", &err);
	vk_autojson *failure = worker_failure(&err);
	report(j, failure);
}

static struct job *find(struct certs *c, const char *id)
{
	for (struct job *j = c->jobs; j != NULL; j = j->next)
		if (strcmp(j->id, id) == 0)
			return j;
	return NULL;
}

static void drop_unlisted(struct certs *c)
{
	for (struct job **p = &c->jobs; *p != NULL;) {
		struct job *j = *p;
		if (j->listed) {
			p = &j->next;
			continue;
		}
		*p = j->next;
		job_free(j);
	}
}

/* Directories of orders that are over: keys are in them. */
static void remove_left(const struct certs *c, const json_t *jobs)
{
	DIR *d = opendir(c->dir);
	struct vk_err err = {0};
	for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.' || vk_ends(e->d_name, ".lock") ||
			json_object_get(jobs, e->d_name) != NULL)
			continue;
		vk_autofree char *path = vk_asprintf("%s/%s", c->dir, e->d_name);
		if (vk_fs_remove_tree(path, &err) != 0)
			vk_log_err(VK_WARN, "left-behind", &err);
	}
	if (d != NULL)
		closedir(d);
}

static void on_list(void *arg, json_t *line)
{
	struct certs *c = arg;
	const char *id;
	bool ours = strcmp(vk_json_str(line, "host", ""), c->role->c->host_name) == 0;
	json_t *doc, *jobs = ours ? json_object_get(line, "jobs") : NULL;
	for (struct job *j = c->jobs; j != NULL; j = j->next)
		j->listed = json_object_get(jobs, j->id) != NULL;
	drop_unlisted(c);
	remove_left(c, jobs);
	json_object_foreach(jobs, id, doc) if (find(c, id) == NULL) begin(c, id, doc);
}

static void rights(const struct vk_config *c, struct vk_role_rights *ret)
{
	static const char *const execs[] = {"/usr", "/lib", "/lib64"};
	vk_strv_add(&ret->read, "/etc");
	vk_strv_add(&ret->read, "/run/systemd/resolve");
	vk_strv_add(&ret->write, "/dev/null");
	vk_strv_take(&ret->write, vk_run_path(c, "certs"));
	vk_strv_add(&ret->exec, c->libexec_dir);
	vk_strv_add(&ret->exec, c->uacme_path);
	for (size_t i = 0; i < VK_COUNT(execs); i++)
		vk_strv_add(&ret->exec, execs[i]);
	if (c->acme_dns_hook[0] != '\0') /* a site's own program, with what its user may read */
		vk_strv_add(&ret->exec, "/");
	ret->seccomp = VK_SECCOMP_SPAWN;
}

static int open_all(struct vk_role *r, struct vk_err *err)
{
	struct certs *c = r->self = vk_alloc(sizeof(*c));
	*c = (struct certs){.role = r,
		.job_path = vk_libexec_path(r->c, "viking-cert-job"),
		.dir = vk_run_path(r->c, "certs")};
	if (r->c->acme_ca_file[0] != '\0' && trust_only(r->c->acme_ca_file, &c->no_trust) != 0)
		vk_log_err(VK_ERROR, "trust", &c->no_trust);
	return vk_fs_exists(c->dir) ? 0 : vk_fs_mkdir_p(c->dir, 0700, err);
}

static int start(struct vk_role *r, struct vk_err *err)
{
	(void)err;
	vk_role_watch(r, "/v1/internal/certs/watch", on_list, r->self);
	return 0;
}

static void release(void *self)
{
	struct certs *c = self;
	if (c == NULL)
		return;
	while (c->jobs != NULL) {
		struct job *j = c->jobs;
		c->jobs = j->next;
		job_free(j);
	}
	free(c->job_path);
	free(c->dir);
	free(c);
}

const struct vk_role_ops certs_role = {
	.name = "certs", .rights = rights, .open = open_all, .start = start, .free = release};
