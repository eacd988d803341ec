#include "store_request.h"

#include <stdlib.h>
#include <viking/mem.h>
#include <viking/str.h>

static void *copy_bytes(const void *p, size_t n)
{
	char *copy = vk_alloc(n + 1);
	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

static void free_const(const void *p)
{
	free((void *)(uintptr_t)p);
}

void vk_rows_add(struct vk_rows *rows, const struct vk_row *row)
{
	if (rows->n == rows->cap) {
		rows->cap = rows->cap ? rows->cap * 2 : 4;
		rows->v = vk_reallocarray(rows->v, rows->cap, sizeof(*rows->v));
	}
	rows->v[rows->n++] = (struct vk_kv){
		.key = vk_strdup(row->key),
		.value = copy_bytes(row->value, row->len),
		.len = row->len,
		.create_rev = row->create_rev,
		.mod_rev = row->mod_rev,
	};
}

void vk_rows_release(struct vk_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		free_const(rows->v[i].key);
		free_const(rows->v[i].value);
	}
	free(rows->v);
	*rows = (struct vk_rows){0};
}

struct vk_request *vk_request_new(enum vk_request_kind kind)
{
	struct vk_request *r = vk_alloc(sizeof(*r));
	r->kind = kind;
	return r;
}

void vk_request_free(struct vk_request *r)
{
	for (size_t i = 0; i < r->nc; i++)
		free_const(r->cmps[i].key);
	for (size_t i = 0; i < r->no; i++) {
		free_const(r->ops[i].key);
		free_const(r->ops[i].value);
	}
	free(r->cmps);
	free(r->ops);
	free(r->key);
	free(r->err);
	vk_rows_release(&r->rows);
	free(r);
}

void vk_request_copy(struct vk_request *r, const struct vk_cmp *cmps, size_t nc,
	const struct vk_op *ops, size_t no)
{
	r->cmps = vk_calloc(nc + 1, sizeof(*r->cmps));
	for (r->nc = 0; r->nc < nc; r->nc++) {
		r->cmps[r->nc] = cmps[r->nc];
		r->cmps[r->nc].key = vk_strdup(cmps[r->nc].key);
	}
	r->ops = vk_calloc(no + 1, sizeof(*r->ops));
	for (r->no = 0; r->no < no; r->no++) {
		r->ops[r->no] = ops[r->no];
		r->ops[r->no].key = vk_strdup(ops[r->no].key);
		r->ops[r->no].value = copy_bytes(ops[r->no].value, ops[r->no].len);
	}
}

struct vk_err *vk_request_err(struct vk_request *r)
{
	if (r->err == NULL)
		r->err = vk_alloc(sizeof(*r->err));
	return r->err;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* etcd refuses a key that a transaction changes twice, so every back end does. */
bool vk_request_check(struct vk_request *r)
{
	vk_autofree const char **keys = vk_calloc(r->no + 1, sizeof(*keys));
	for (size_t i = 0; i < r->no; i++)
		keys[i] = r->ops[i].key;
	qsort(keys, r->no, sizeof(*keys), by_key);
	for (size_t i = 0; i < r->no; i++) {
		if (*keys[i] == '\0')
			vk_err_set(vk_request_err(r), VK_INVALID, "a key must not be empty");
		else if (i + 1 < r->no && strcmp(keys[i], keys[i + 1]) == 0)
			vk_err_set(vk_request_err(r), VK_INVALID,
				"the key %s is changed twice in one transaction", keys[i]);
	}
	return r->err == NULL;
}

void vk_request_complete(struct vk_request *r)
{
	static const struct vk_err success;
	const struct vk_err *err = r->err != NULL ? r->err : &success;
	if (r->range_fn != NULL)
		r->range_fn(r->arg, err, r->rows.v, r->rows.n, r->rev);
	if (r->txn_fn != NULL)
		r->txn_fn(r->arg, err, err->code == 0 && r->committed, r->rev);
	if (r->lease_fn != NULL)
		r->lease_fn(r->arg, err, r->lease);
}

void vk_requests_init(struct vk_requests *l)
{
	l->first = NULL;
	l->tail = &l->first;
}

void vk_requests_add(struct vk_requests *l, struct vk_request *r)
{
	r->next = NULL;
	*l->tail = r;
	l->tail = &r->next;
}

struct vk_requests vk_requests_take(struct vk_requests *l)
{
	struct vk_requests all = *l;
	vk_requests_init(l);
	return all;
}

void vk_requests_append(struct vk_requests *l, struct vk_requests *more)
{
	if (more->first == NULL)
		return;
	*l->tail = more->first;
	l->tail = more->tail;
}

struct vk_request *vk_requests_remove(struct vk_requests *l, size_t index)
{
	struct vk_request **at = &l->first;
	while (index-- > 0)
		at = &(*at)->next;
	struct vk_request *r = *at;
	*at = r->next;
	if (l->tail == &r->next)
		l->tail = at;
	return r;
}
