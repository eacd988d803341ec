/* The store in memory: a sorted array of rows. For tests: faults are the front's. */
#include <viking/mem.h>
#include <viking/str.h>

#include "store_front.h"

struct memory {
	struct vk_row *v; /* keys and values owned */
	size_t n, cap;
};

/* Index of the first row whose key is not before `key`. */
static size_t lower_bound(const struct memory *m, const char *key)
{
	size_t low = 0, high = m->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (strcmp(m->v[mid].key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_key(const struct memory *m, size_t i, const char *key)
{
	return i < m->n && strcmp(m->v[i].key, key) == 0;
}

static int begin(void *b, struct vk_err *err)
{
	(void)b, (void)err;
	return 0;
}

static void rollback(void *b)
{
	(void)b; /* nothing here fails, so nothing is ever undone */
}

static int scan(void *b, const char *key, bool prefix, vk_row_fn *fn, void *arg, struct vk_err *err)
{
	struct memory *m = b;
	int rc = 0;
	for (size_t i = lower_bound(m, key); rc == 0 && i < m->n; i++) {
		if (prefix ? !vk_starts(m->v[i].key, key) : !is_key(m, i, key))
			break;
		rc = fn(arg, &m->v[i], err);
	}
	return rc;
}

static int scan_lease(void *b, uint64_t lease, vk_row_fn *fn, void *arg, struct vk_err *err)
{
	struct memory *m = b;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < m->n; i++)
		if (m->v[i].lease == lease)
			rc = fn(arg, &m->v[i], err);
	return rc;
}

static void row_release(struct vk_row *row)
{
	free((char *)(uintptr_t)row->key);
	free((char *)(uintptr_t)row->value);
}

static int put(void *b, const struct vk_row *row, struct vk_err *err)
{
	struct memory *m = b;
	(void)err;
	size_t i = lower_bound(m, row->key);
	if (is_key(m, i, row->key)) {
		row_release(&m->v[i]);
	} else {
		if (m->n == m->cap) {
			m->cap = m->cap ? m->cap * 2 : 16;
			m->v = vk_reallocarray(m->v, m->cap, sizeof(*m->v));
		}
		memmove(m->v + i + 1, m->v + i, (m->n - i) * sizeof(*m->v));
		m->n++;
	}
	char *value = vk_alloc(row->len + 1);
	if (row->len > 0)
		memcpy(value, row->value, row->len);
	m->v[i] = *row;
	m->v[i].key = vk_strdup(row->key);
	m->v[i].value = value;
	return 0;
}

static int del(void *b, const char *key, struct vk_err *err)
{
	struct memory *m = b;
	(void)err;
	size_t i = lower_bound(m, key);
	if (!is_key(m, i, key))
		return 0;
	row_release(&m->v[i]);
	m->n--;
	memmove(m->v + i, m->v + i + 1, (m->n - i) * sizeof(*m->v));
	return 0;
}

static int save_rev(void *b, uint64_t rev, struct vk_err *err)
{
	(void)b, (void)rev, (void)err;
	return 0;
}

static int save_lease(void *b, uint64_t id, int64_t ttl_ms, struct vk_err *err)
{
	(void)b, (void)id, (void)ttl_ms, (void)err;
	return 0;
}

static void close_memory(void *b)
{
	struct memory *m = b;
	for (size_t i = 0; i < m->n; i++)
		row_release(&m->v[i]);
	free(m->v);
	free(m);
}

static const struct vk_store_back ops = {
	.begin = begin,
	.commit = begin,
	.rollback = rollback,
	.scan = scan,
	.scan_lease = scan_lease,
	.put = put,
	.del = del,
	.save_rev = save_rev,
	.save_lease = save_lease,
	.close = close_memory,
};

int vk_store_memory_open(struct vk_loop *l, const struct vk_store_faults *f, struct vk_store **ret,
	struct vk_err *err)
{
	(void)err;
	*ret = vk_store_front_new(l, &ops, vk_alloc(sizeof(struct memory)), 0, f);
	return 0;
}
