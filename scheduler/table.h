/*
 * Rows in memory, sorted by name. A row is any struct whose first member is its name (char *). The
 * table owns the array, never the rows.
 */
#ifndef SCHEDULER_TABLE_H
#define SCHEDULER_TABLE_H

#include <stddef.h>

struct table {
	void **row;
	size_t n, cap;
};

void *table_get(const struct table *t, const char *name); /* NULL if absent */
size_t table_from(
	const struct table *t, const char *name);    /* place of the first row not before name */
void table_add(struct table *t, void *row);          /* the name must be new */
void *table_take(struct table *t, const char *name); /* removes and returns, or NULL */
void table_release(struct table *t, void (*free_row)(void *row));

#define table_each(t, i, var) for (size_t i = 0; i < (t)->n && ((var) = (t)->row[i]) != NULL; i++)

#endif
