/*
 * A patch of the table (docs/protocol.md 7) and what it changes. Nearly all patches are of one stack: another domain,
 * other servers. change_make() then changes table, assignment and wanted state in place, from the entries that the patch names
 * alone, and says which keys and backends those were. Whenever a patch is more than that - a stack, backend, certificate or page that comes
 * or goes, a domain that another stack has, an entry at fault - it changes nothing and the whole table is to be made anew, which comes to the same
 * state: the two are tested against each other. Pure.
 */
#ifndef ROUTER_CHANGE_H
#define ROUTER_CHANGE_H

#include <viking/mem.h>

#include "assign.h"

/* The table's document as it was sent, kept up to date. */
struct source {
	const char *host;      /* this one's name; borrowed */
	json_t *doc;           /* NULL before the first */
	struct vk_strv stacks; /* named by patches since it was taken */
	bool all;              /* more than these may have changed */
};

/* A line of the watch. VK_CONFLICT: it does not follow what is here, or is of an older epoch; the document stays as it was. */
int source_line(struct source *s, json_t *line, struct vk_err *err);
/* What is made of it from here on has all that was said. */
void source_taken(struct source *s);
void source_release(struct source *s);

#define CHANGE_KEYS_MAX 256 /* beyond that the whole way is as fast */

struct change {
	struct vk_strv keys[MAPS]; /* sorted */
	unsigned *backends;        /* whose slots are other ones */
	size_t n_backends;
};

/* t, a and want belong together, without faults. True: they are as the document says now, want but for its certificates. */
bool change_make(const struct source *s, struct table *t, struct assign *a, struct model *want,
	struct change *ret);
void change_release(struct change *c);

#endif
