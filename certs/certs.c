#include "certs.h"

#include <stdlib.h>
#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "worker.h"

#define CHECK_MS 8000 /* before the scheduler answers its client itself */

struct certs {
	struct vk_role *role;
	char *job_path;
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

static void begin(struct certs *c, const char *id, json_t *doc)
{
	struct vk_err err = {0};
	struct job *j = vk_alloc(sizeof(*j));
	*j = (struct job){.c = c, .id = vk_strdup(id), .listed = true, .next = c->jobs};
	c->jobs = j;
	json_object_set_new(doc, "sandbox", json_string(c->role->c->sandbox));
	if (worker_start(c->role->l, c->job_path, vk_json_str(doc, "kind", ""), doc, CHECK_MS,
		    on_answer, j, &j->worker, &err) == 0)
		return;
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

static void on_list(void *arg, json_t *line)
{
	struct certs *c = arg;
	const char *id;
	json_t *doc;
	for (struct job *j = c->jobs; j != NULL; j = j->next)
		j->listed = json_object_get(json_object_get(line, "jobs"), j->id) != NULL;
	drop_unlisted(c);
	json_object_foreach(json_object_get(line, "jobs"), id, doc) if (find(c, id) == NULL)
		begin(c, id, doc);
}

static void rights(const struct vk_config *c, struct vk_role_rights *ret)
{
	static const char *const execs[] = {"/usr", "/lib", "/lib64"};
	vk_strv_add(&ret->read, "/etc");
	vk_strv_add(&ret->write, "/dev/null");
	vk_strv_add(&ret->exec, c->libexec_dir);
	for (size_t i = 0; i < VK_COUNT(execs); i++)
		vk_strv_add(&ret->exec, execs[i]);
	ret->seccomp = VK_SECCOMP_SPAWN;
}

static int start(struct vk_role *r, struct vk_err *err)
{
	struct certs *c = vk_alloc(sizeof(*c));
	(void)err;
	*c = (struct certs){.role = r, .job_path = vk_libexec_path(r->c, "viking-cert-job")};
	r->self = c;
	vk_role_watch(r, "/v1/internal/certs/watch", on_list, c);
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
	free(c);
}

const struct vk_role_ops certs_role = {
	.name = "certs", .rights = rights, .start = start, .free = release};
