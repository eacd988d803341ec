/*
 * Which backend number a stack's node has, and which slot a server has: kept in
 * STATE/route/assign.json so that names stay the same over deploys, restarts and reloads. Spare
 * backends wait in the pool, which grows when it is empty (the one thing that needs a reload).
 * Pure: structures and JSON in and out; the file is the caller's.
 */
#ifndef ROUTER_ASSIGN_H
#define ROUTER_ASSIGN_H

#include <jansson.h>
#include <stdint.h>
#include <viking/err.h>

#include "model.h"
#include "table.h"

#define ASSIGN_POOL  16 /* backends of a new installation, and the least that are added */
#define ASSIGN_H2    2  /* and of those for HTTP/2 */
#define ASSIGN_SLOTS 2  /* of a spare backend, for two versions; more come at run time */
#define BOOT_ID_SIZE 40

struct assign_row {
	char *stack, *node; /* NULL: spare */
	uint64_t freed; /* order of release: who waited longest is taken first, so that a name just
	                 * given back does not get another's requests */
	uint16_t front; /* as haproxy has it in its file: of a TCP service */
	bool h2;        /* likewise; stays with a spare row */
	char *pages;    /* likewise */
	char **ids;     /* server id per slot, NULL = free */
	unsigned n;
};

struct assign {
	struct assign_row *rows; /* rows[i] is backend i + 1 */
	unsigned n;
	uint64_t seq;
	char boot[BOOT_ID_SIZE];     /* boot id of the host when it was written */
	char files[VK_NAME_MAX + 1]; /* as in the table */
	bool reload; /* the file's head was changed and haproxy has not taken it yet */
};

void assign_init(struct assign *a); /* an empty pool of ASSIGN_POOL */
void assign_release(struct assign *a);
int assign_parse(const json_t *doc, struct assign *ret, struct vk_err *err);
json_t *assign_json(const struct assign *a); /* new reference */

/* Gives every node of the table a backend and every server a slot; frees the rest. A server never
 * gets a slot that another had before this call if a slot was free before it. */
void assign_update(struct assign *a, const struct table *t);
/* The same for one backend that stays the node's. */
void assign_servers(struct assign_row *r, const struct table_node *node);
/* The wanted state of a table that assign_update has seen. All slots are closed and no routes set when t is NULL. */
void assign_model(const struct assign *a, const struct table *t, struct model *ret);
/* Parts of it, of one stack. What its domains say: lines at the ends of the maps, not sorted. */
void assign_routes(const struct table_stack *s, struct model *m);
/* Of sorted hosts: those of an open challenge get the long form, which frontend.c does not let pass at once. */
void assign_challenged(const struct table *t, struct model *m);
/* Lines that name slots: cookies' and lots'. */
void assign_choices(const struct assign *a, const struct table_stack *s, struct model *m);
void assign_slots(const struct assign *a, const struct table_node *node, struct model *m);
unsigned assign_slot(const struct assign_row *r, const char *id); /* 0 = it has none */
/* The server id in a slot (numbers from 1), or NULL. Borrowed. */
const char *assign_id(const struct assign *a, unsigned backend, unsigned slot);

#endif
