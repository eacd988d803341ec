#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <viking/id.h>
#include <viking/mem.h>
#include <viking/str.h>

void faults_add(struct faults *f, const char *stack, const char *message)
{
	if (faults_has(f, stack))
		return;
	f->v = vk_reallocarray(f->v, f->n + 1, sizeof(*f->v));
	f->v[f->n++] = (struct fault){vk_strdup(stack), vk_strdup(message)};
}

bool faults_has(const struct faults *f, const char *stack)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].stack, stack) == 0)
			return true;
	return false;
}

void faults_release(struct faults *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].stack);
		free(f->v[i].message);
	}
	free(f->v);
	*f = (struct faults){0};
}

void table_domain_release(struct table_domain *d)
{
	free(d->key);
	free(d->path);
	policy_free(d->policy);
}

void table_stack_release(struct table_stack *s)
{
	for (size_t i = 0; i < s->n_nodes; i++) {
		for (size_t k = 0; k < s->nodes[i].n; k++)
			free(s->nodes[i].servers[k].id);
		free(s->nodes[i].servers);
		free(s->nodes[i].name);
		free(s->nodes[i].pages);
	}
	for (size_t i = 0; i < s->n_domains; i++)
		table_domain_release(&s->domains[i]);
	for (size_t i = 0; i < s->n_certs; i++)
		free(s->certs[i].names);
	for (size_t i = 0; i < s->n_held; i++)
		free(s->held[i].names);
	free(s->held);
	free(s->certs);
	free(s->nodes);
	free(s->domains);
	free(s->name);
	*s = (struct table_stack){0};
}

void table_free(struct table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++)
		table_stack_release(&t->stacks[i]);
	for (size_t i = 0; i < t->n_challenges; i++) {
		free(t->challenges[i].key);
		free(t->challenges[i].value);
	}
	free(t->challenges);
	free(t->stacks);
	free(t);
}

int table_backend_name(const char *name, struct vk_err *err)
{
	const char *colon = name != NULL ? strpbrk(name, ":@") : NULL;
	uint64_t port;
	if (colon == NULL)
		return vk_node_name(name, err);
	vk_autofree char *node = vk_strndup(name, (size_t)(colon - name));
	if (colon[1] == '0' || vk_parse_u64(colon + 1, 1, 65535, &port) != 0)
		return vk_err_set(err, VK_INVALID, "a backend's port is out of range");
	return vk_node_name(node, err);
}

uint16_t table_front(const char *name)
{
	const char *at = strchr(name, '@');
	uint64_t port;
	return at != NULL && vk_parse_u64(at + 1, 1, 65535, &port) == 0 ? (uint16_t)port : 0;
}

bool table_page_ok(const char *page)
{
	static const char hex[] = "0123456789abcdef";
	return (vk_starts(page, "502:") || vk_starts(page, "503:") || vk_starts(page, "504:")) &&
		strspn(page + 4, hex) == POLICY_ID_SIZE - 1 && page[4 + POLICY_ID_SIZE - 1] == '\0';
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct table_stack *)a)->name, ((const struct table_stack *)b)->name);
}

void table_sort(struct table *t)
{
	if (t->n > 1)
		qsort(t->stacks, t->n, sizeof(*t->stacks), by_name);
}

bool table_node_needs_backend(const struct table_node *node)
{
	return !node->site || node->n > 0;
}

struct table_stack *table_find(const struct table *t, const char *stack)
{
	struct table_stack key = {.name = (char *)(uintptr_t)stack};
	if (t == NULL || t->n == 0)
		return NULL;
	return bsearch(&key, t->stacks, t->n, sizeof(*t->stacks), by_name);
}

void table_revert(struct table *t, struct table *old, const char *stack)
{
	struct table_stack *now = table_find(t, stack), *before = table_find(old, stack);
	if (now != NULL) {
		size_t i = (size_t)(now - t->stacks);
		table_stack_release(now);
		memmove(now, now + 1, (t->n - i - 1) * sizeof(*now));
		t->n--;
	}
	if (before == NULL)
		return;
	t->stacks = vk_reallocarray(t->stacks, t->n + 1, sizeof(*t->stacks));
	t->stacks[t->n] = *before;
	t->stacks[t->n++].kept = true;
	size_t i = (size_t)(before - old->stacks);
	memmove(before, before + 1, (old->n - i - 1) * sizeof(*before));
	old->n--;
	table_sort(t);
}

struct table_node *table_node(const struct table_stack *s, const char *name)
{
	for (size_t i = 0; i < s->n_nodes; i++)
		if (strcmp(s->nodes[i].name, name) == 0)
			return &s->nodes[i];
	return NULL;
}
