/* The rows of table `domains` once more, by stack: whose name is "STACK/DOMAIN". They are borrowed. */
#ifndef SCHEDULER_OWNED_H
#define SCHEDULER_OWNED_H

#include "model.h"

struct owned_domain {
	char *name;
	const struct domain_row *row;
};

void owned_add(struct table *owned, const struct domain_row *row);
void owned_drop(struct table *owned, const struct domain_row *row); /* NULL is fine */
void owned_free(void *row);                                         /* for table_release */
size_t owned_from(const struct table *owned, const char *stack);
const struct domain_row *owned_at(const struct table *owned, size_t i, const char *stack);

/* Domains a stack has by command, sorted. */
#define owned_each(owned, i, stack, var) \
	for (size_t i = owned_from(owned, stack); ((var) = owned_at(owned, i, stack)) != NULL; i++)

#endif
