/*
 * What goes into a build context's tar, decided before the first byte: entries in order, sizes,
 * the Dockerfile as built and the build key. The key is a SHA-256 over all the build depends on
 * in the commit: the context (its tree's id, or the kept entries when a .dockerignore leaves some
 * out), the Dockerfile as built, arguments, target, images of boats.
 */
#ifndef VIKING_EXPORT_PLAN_H
#define VIKING_EXPORT_PLAN_H

#include <jansson.h>
#include <viking/mem.h>

#include "tree.h"

struct plan_entry {
	size_t path; /* offset in paths */
	enum tree_kind kind;
	git_oid oid;
};

struct plan {
	struct vk_buf paths; /* NUL-terminated strings */
	size_t n, cap;
	struct plan_entry *v;
	uint64_t files, bytes; /* kept files and links, Dockerfile as built included */
	char *dockerfile;      /* its name in the tar */
	bool injected;         /* it is no file of the tree: `text` is added under that name */
	struct vk_buf text;    /* as built */
	json_t *froms;
	char key[65];
};

struct plan_request {
	const json_t *recipe, *refs;
	const char *registry;
	struct tree_limits limits;
};

int plan_make(struct tree_store *s, const git_oid *root, const struct plan_request *q,
	struct plan *ret, struct vk_err *err);
/* The tar itself. */
int plan_write(struct tree_store *s, const struct plan *p, uint64_t object_max, int fd,
	struct vk_err *err);
void plan_release(struct plan *p);
const char *plan_path(const struct plan *p, size_t i);

#endif
