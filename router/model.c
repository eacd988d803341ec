#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <viking/str.h>

void slot_close(struct slot *s)
{
	s->state = SLOT_FREE;
	s->port = MODEL_CLOSED_PORT;
	memcpy(s->addr, MODEL_CLOSED_ADDR, sizeof(MODEL_CLOSED_ADDR));
}

bool slot_equal(const struct slot *a, const struct slot *b)
{
	return a->state == b->state && a->port == b->port && strcmp(a->addr, b->addr) == 0;
}

static void grow_backends(struct model *m, unsigned n)
{
	m->backends = vk_reallocarray(m->backends, n, sizeof(*m->backends));
	memset(m->backends + m->n, 0, (n - m->n) * sizeof(*m->backends));
	m->n = n;
}

static void grow_slots(struct backend *b, unsigned n)
{
	b->slots = vk_reallocarray(b->slots, n, sizeof(*b->slots));
	memset(b->slots + b->n, 0, (n - b->n) * sizeof(*b->slots));
	b->n = n;
}

void model_init(struct model *m, unsigned backends, unsigned slots)
{
	*m = (struct model){0};
	for (unsigned i = 1; i <= backends; i++) {
		model_slot(m, i, slots);
		for (unsigned s = 0; s < slots; s++)
			slot_close(&m->backends[i - 1].slots[s]);
	}
}

struct slot *model_slot(struct model *m, unsigned backend, unsigned slot)
{
	if (backend > m->n)
		grow_backends(m, backend);
	struct backend *b = &m->backends[backend - 1];
	if (slot > b->n)
		grow_slots(b, slot);
	return slot > 0 ? &b->slots[slot - 1] : NULL;
}

void model_release(struct model *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		free(m->backends[i].slots);
		free(m->backends[i].label);
		free(m->backends[i].pages);
	}
	free(m->backends);
	for (size_t i = 0; i < MAPS; i++)
		routes_release(&m->maps[i]);
	routes_release(&m->certs);
	*m = (struct model){0};
}

const char *const map_names[MAPS] = {"hosts.map", "suffix.map", "paths.map", "policies.map",
	"access.map", "sticky.map", "acme.map"};

void routes_add(struct routes *r, const char *key, const char *value)
{
	if (r->n == r->cap) {
		r->cap = r->cap > 0 ? r->cap * 2 : 16;
		r->v = vk_reallocarray(r->v, r->cap, sizeof(*r->v));
	}
	r->v[r->n++] = (struct route){vk_strdup(key), vk_strdup(value)};
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct route *)a)->key, ((const struct route *)b)->key);
}

static int longest_first(const void *a, const void *b)
{
	const struct route *x = a, *y = b;
	size_t nx = strlen(x->key), ny = strlen(y->key);
	return nx != ny ? (nx < ny ? 1 : -1) : strcmp(x->key, y->key);
}

int routes_order(enum map_id id, const struct route *a, const struct route *b)
{
	return id == MAP_SUFFIXES ? longest_first(a, b) : by_key(a, b);
}

void routes_sort(struct routes *r, enum map_id id)
{
	if (r->n > 1)
		qsort(r->v, r->n, sizeof(*r->v), id == MAP_SUFFIXES ? longest_first : by_key);
}

void routes_unique(struct routes *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n; i++) {
		if (n > 0 && strcmp(r->v[n - 1].key, r->v[i].key) == 0) {
			free(r->v[i].key);
			free(r->v[i].value);
		} else {
			r->v[n++] = r->v[i];
		}
	}
	r->n = n;
}

bool routes_equal(const struct routes *a, const struct routes *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i].value, b->v[i].value) != 0 ||
			strcmp(a->v[i].key, b->v[i].key) != 0)
			return false;
	return true;
}

/* The place of the key, or where it would stand. */
static size_t route_place(const struct routes *sorted, enum map_id id, const char *key)
{
	struct route want = {.key = (char *)(uintptr_t)key};
	size_t lo = 0, hi = sorted->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (routes_order(id, &sorted->v[mid], &want) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_at(const struct routes *r, size_t at, const char *key)
{
	return at < r->n && strcmp(r->v[at].key, key) == 0;
}

const struct route *routes_get(const struct routes *sorted, enum map_id id, const char *key)
{
	size_t at = route_place(sorted, id, key);
	return is_at(sorted, at, key) ? &sorted->v[at] : NULL;
}

const struct route *routes_find(const struct routes *sorted, const char *key)
{
	return routes_get(sorted, MAP_HOSTS, key);
}

void routes_set(struct routes *sorted, enum map_id id, const char *key, const char *value)
{
	size_t at = route_place(sorted, id, key);
	if (is_at(sorted, at, key)) {
		free(sorted->v[at].value);
		if (value != NULL) {
			sorted->v[at].value = vk_strdup(value);
			return;
		}
		free(sorted->v[at].key);
		sorted->n--;
		memmove(&sorted->v[at], &sorted->v[at + 1], (sorted->n - at) * sizeof(*sorted->v));
		return;
	}
	if (value == NULL)
		return;
	routes_add(sorted, key, value);
	struct route last = sorted->v[sorted->n - 1];
	memmove(&sorted->v[at + 1], &sorted->v[at], (sorted->n - 1 - at) * sizeof(last));
	sorted->v[at] = last;
}

void routes_release(struct routes *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].key);
		free(r->v[i].value);
	}
	free(r->v);
	*r = (struct routes){0};
}

static bool number_after(char letter, const char *name, size_t n, unsigned max, unsigned *ret)
{
	char digits[12];
	uint64_t v;
	if (n < 2 || n > sizeof(digits) || name[0] != letter)
		return false;
	memcpy(digits, name + 1, n - 1);
	digits[n - 1] = '\0';
	if (vk_parse_u64(digits, 1, max, &v) != 0)
		return false;
	*ret = (unsigned)v;
	return true;
}

bool backend_number(const char *name, size_t n, unsigned *ret)
{
	if (n == strlen("sites") && memcmp(name, "sites", n) == 0) {
		*ret = 0;
		return true;
	}
	return number_after('b', name, n, MODEL_BACKENDS_MAX, ret);
}

bool route_backend(const char *value, unsigned *ret)
{
	return backend_number(value, strcspn(value, "|"), ret);
}

bool slot_number(const char *name, size_t n, unsigned *ret)
{
	return number_after('s', name, n, MODEL_SLOTS_MAX, ret);
}

void backend_name(unsigned number, char out[static BACKEND_NAME_SIZE])
{
	if (number == 0)
		snprintf(out, BACKEND_NAME_SIZE, "sites");
	else
		snprintf(out, BACKEND_NAME_SIZE, "b%04u", number);
}
