#include "owned.h"

#include <string.h>
#include <viking/mem.h>

static char *name_of(const struct domain_row *row)
{
	return vk_asprintf("%s/%s", row->stack, row->name);
}

void owned_free(void *row)
{
	struct owned_domain *o = row;
	if (o != NULL)
		free(o->name);
	free(o);
}

void owned_add(struct table *owned, const struct domain_row *row)
{
	struct owned_domain *o = vk_alloc(sizeof(*o));
	*o = (struct owned_domain){name_of(row), row};
	table_add(owned, o);
}

void owned_drop(struct table *owned, const struct domain_row *row)
{
	vk_autofree char *name = row != NULL ? name_of(row) : NULL;
	if (name != NULL)
		owned_free(table_take(owned, name));
}

size_t owned_from(const struct table *owned, const char *stack)
{
	vk_autofree char *first = vk_asprintf("%s/", stack);
	return table_from(owned, first);
}

const struct domain_row *owned_at(const struct table *owned, size_t i, const char *stack)
{
	const struct owned_domain *o = i < owned->n ? owned->row[i] : NULL;
	return o != NULL && strcmp(o->row->stack, stack) == 0 ? o->row : NULL;
}
