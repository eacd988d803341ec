/* Rows sorted by name: binary search, insertion by memmove. */
#include "table.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <viking/mem.h>

static const char *row_name(const void *row)
{
	return *(char *const *)row;
}

/* The place of name, or where it would go. */
static size_t table_find(const struct table *t, const char *name, bool *ret_found)
{
	size_t lo = 0, hi = t->n;
	*ret_found = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(row_name(t->row[mid]), name);
		if (c == 0) {
			*ret_found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t table_from(const struct table *t, const char *name)
{
	bool found;
	return table_find(t, name, &found);
}

void *table_get(const struct table *t, const char *name)
{
	bool found;
	size_t i = table_find(t, name, &found);
	return found ? t->row[i] : NULL;
}

void table_add(struct table *t, void *row)
{
	bool found;
	size_t i = table_find(t, row_name(row), &found);
	assert(!found);
	if (t->n == t->cap) {
		t->cap = t->cap > 0 ? t->cap * 2 : 8;
		t->row = vk_reallocarray(t->row, t->cap, sizeof(*t->row));
	}
	memmove(t->row + i + 1, t->row + i, (t->n - i) * sizeof(*t->row));
	t->row[i] = row;
	t->n++;
}

void *table_take(struct table *t, const char *name)
{
	bool found;
	size_t i = table_find(t, name, &found);
	if (!found)
		return NULL;
	void *row = t->row[i];
	memmove(t->row + i, t->row + i + 1, (t->n - i - 1) * sizeof(*t->row));
	t->n--;
	return row;
}

void table_release(struct table *t, void (*free_row)(void *row))
{
	for (size_t i = 0; i < t->n && free_row != NULL; i++)
		free_row(t->row[i]);
	free(t->row);
	*t = (struct table){0};
}
