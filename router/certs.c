#include "certs.h"

#include <stdlib.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "pages.h"

struct certs {
	const struct files *files;
	struct vk_api_queue *queue;
	certs_fn *fn;
	void *arg;
	size_t asked; /* answers that are awaited */
};

struct fetch {
	struct certs *c;
	char id[POLICY_ID_SIZE];
};

struct certs *certs_new(const struct files *f, struct vk_api_queue *q, certs_fn *fn, void *arg)
{
	struct certs *c = vk_alloc(sizeof(*c));
	*c = (struct certs){.files = f, .queue = q, .fn = fn, .arg = arg};
	return c;
}

void certs_free(struct certs *c)
{
	free(c);
}

/* Goes into one command of haproxy's socket, which ends at an empty line. */
static bool pem_ok(const char *pem)
{
	return pem != NULL && strlen(pem) < CERT_PEM_MAX && strncmp(pem, "-----BEGIN ", 11) == 0 &&
		strstr(pem, "\n\n") == NULL && strchr(pem, '\r') == NULL &&
		pem[strlen(pem) - 1] == '\n';
}

static void on_cert(void *arg, const struct vk_err *err, const json_t *answer)
{
	struct fetch *f = arg;
	struct certs *c = f->c;
	struct vk_err why = *err;
	const char *pem = vk_json_str(answer, "pem", NULL);
	if (why.code == 0 && !pem_ok(pem))
		vk_err_set(&why, VK_INVALID, "not of the form that was agreed");
	if (why.code == 0) {
		vk_autofree char *path = files_cert(c->files, f->id);
		vk_fs_write_atomic(path, pem, strlen(pem), 0600, &why);
	}
	if (why.code != 0) {
		vk_err_wrap(&why, "certificate %s", f->id);
		vk_log_err(VK_ERROR, "no-certificate", &why);
	}
	free(f);
	if (--c->asked == 0)
		c->fn(c->arg);
}

static void on_page(void *arg, const struct vk_err *err, const json_t *answer)
{
	struct fetch *f = arg;
	struct certs *c = f->c;
	struct vk_err why = *err;
	vk_autobuf page = VK_BUF_INIT(PAGE_FILE_MAX);
	const char *text = vk_json_str(answer, "text", NULL);
	uint64_t status = 0;
	if (why.code == 0 &&
		(text == NULL ||
			vk_parse_u64(vk_json_str(answer, "status", ""), 502, 504, &status) != 0))
		vk_err_set(&why, VK_INVALID, "not of the form that was agreed");
	if (why.code == 0 && page_custom((int)status, text, &page) != 0)
		vk_err_set(&why, VK_LIMIT, "larger than %d bytes", PAGE_FILE_MAX);
	if (why.code == 0) {
		vk_autofree char *path = files_page(c->files, f->id);
		vk_fs_write_atomic(path, page.data, page.len, 0600, &why);
	}
	if (why.code != 0) {
		vk_err_wrap(&why, "page %s", f->id);
		vk_log_err(VK_ERROR, "no-page", &why);
	}
	free(f);
	if (--c->asked == 0)
		c->fn(c->arg);
}

static void ask_page(struct certs *c, const char *id)
{
	vk_autofree char *file = files_page(c->files, id);
	if (vk_fs_exists(file))
		return;
	struct fetch *f = vk_alloc(sizeof(*f));
	f->c = c;
	memcpy(f->id, id, POLICY_ID_SIZE - 1);
	vk_autofree char *path = vk_asprintf("/v1/internal/router/pages/%s", f->id);
	c->asked++;
	vk_api_queue_add(c->queue, "GET", path, NULL, on_page, f);
}

static void ask_pages(struct certs *c, const struct table_stack *s)
{
	for (size_t i = 0; i < s->n_nodes; i++)
		for (const char *p = s->nodes[i].pages; p != NULL; p = strchr(p, ' ')) {
			p += *p == ' ';
			ask_page(c, p + 4);
		}
}

void certs_settle_pages(const struct files *f, struct table *t)
{
	for (size_t s = 0; s < t->n; s++)
		for (size_t i = 0; i < t->stacks[s].n_nodes; i++) {
			struct table_node *node = &t->stacks[s].nodes[i];
			char *there = files_pages_there(f, node->pages);
			free(node->pages);
			node->pages = there;
		}
}

static void ask(struct certs *c, const char *id)
{
	vk_autofree char *file = files_cert(c->files, id);
	if (vk_fs_exists(file))
		return;
	struct fetch *f = vk_alloc(sizeof(*f));
	f->c = c;
	memcpy(f->id, id, sizeof(f->id));
	vk_autofree char *path = vk_asprintf("/v1/internal/router/certs/%s", id);
	c->asked++;
	vk_api_queue_add(c->queue, "GET", path, NULL, on_cert, f);
}

bool certs_fetch(struct certs *c, const struct table *t)
{
	for (size_t s = 0; s < t->n; s++) {
		for (size_t i = 0; i < t->stacks[s].n_certs; i++)
			ask(c, t->stacks[s].certs[i].id);
		ask_pages(c, &t->stacks[s]);
	}
	return c->asked == 0;
}

static bool is_here(const struct files *f, const struct table_cert *c)
{
	vk_autofree char *path = files_cert(f, c->id);
	return vk_fs_exists(path);
}

static void hold(
	const struct files *f, const struct table_cert *of, size_t n, struct table_stack *s)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_here(f, &of[i]))
			continue;
		s->held = vk_reallocarray(s->held, s->n_held + 1, sizeof(*s->held));
		s->held[s->n_held] = of[i];
		s->held[s->n_held++].names = vk_strdup(of[i].names);
	}
}

void certs_hold(const struct files *f, struct table *t, const struct table *old)
{
	for (size_t i = 0; i < t->n; i++) {
		struct table_stack *s = &t->stacks[i];
		const struct table_stack *was = table_find(old, s->name);
		if (was == NULL || s->n_certs == 0)
			continue;
		hold(f, was->certs, was->n_certs, s);
		hold(f, was->held, was->n_held, s);
	}
}

static bool add_certs(const struct files *f, const struct table_cert *v, size_t n, struct model *m)
{
	bool all = true;
	for (size_t i = 0; i < n; i++) {
		if (is_here(f, &v[i]))
			routes_add(&m->certs, v[i].id, v[i].names);
		else
			all = false;
	}
	return all;
}

void certs_model(const struct files *f, const struct table *t, struct model *m)
{
	for (size_t i = 0; t != NULL && i < t->n; i++) {
		const struct table_stack *s = &t->stacks[i];
		if (!add_certs(f, s->certs, s->n_certs, m))
			add_certs(f, s->held, s->n_held, m);
	}
	routes_sort(&m->certs, MAP_HOSTS);
	routes_unique(&m->certs);
}
