/*
 * The certificates that the table names: their files are fetched from the scheduler once, by id, and
 * kept in STATE/route/certs. An id stands for content and names, so a file never changes.
 */
#ifndef ROUTER_CERTS_H
#define ROUTER_CERTS_H

#include <viking/api.h>

#include "files.h"
#include "table.h"

struct certs;
typedef void certs_fn(void *arg); /* all that were missing are there, or cannot be had */

struct certs *certs_new(
	const struct files *f, struct vk_api_queue *q, certs_fn *fn, void *arg); /* all borrowed */
void certs_free(struct certs *c);
/* Asks for what is missing; true if nothing is, else fn is called later. */
bool certs_fetch(struct certs *c, const struct table *t);
/* Takes pages that could not be had out of the table. */
void certs_settle_pages(const struct files *f, struct table *t);
/* The certificates of the table that are on disk, into the model. */
/* What the table before could show stays with the stack until all of its certificates are here: one that was replaced before it
 * was fetched is no gap. */
void certs_hold(const struct files *f, struct table *t, const struct table *old);
void certs_model(const struct files *f, const struct table *t, struct model *m);

#endif
