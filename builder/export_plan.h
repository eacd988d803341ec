/*
 * What goes into a build context's tar, decided before the first byte: entries in order, sizes,
 * the Dockerfile as built and the build key. The key is a SHA-256 over all the build depends on
 * in the commit: the context (its tree's id, or the kept entries when a .dockerignore leaves some
 * out), the Dockerfile as built, arguments, target, images of boats.
 *
 * What is sent depends on the recipe's builder (export_pack.c has the last two):
 *   none        the context and its Dockerfile
 *   own         app/... the context without what .slugignore names, site/env and site/ca.crt, the pack's Dockerfile
 *   packs, cnb  the context without what .slugignore names, owned by who builds
 */
#ifndef VIKING_EXPORT_PLAN_H
#define VIKING_EXPORT_PLAN_H

#include <jansson.h>
#include <viking/mem.h>

#include "tar.h"
#include "tree.h"

enum plan_kind { PLAN_DOCKERFILE, PLAN_OWN, PLAN_SOURCE };

struct plan_entry {
	size_t path; /* offset in paths */
	enum tree_kind kind;
	git_oid oid;
};

struct plan {
	enum plan_kind kind;
	const json_t *site; /* of the request */
	unsigned owner;
	json_t *processes;   /* PLAN_OWN: of the Procfile, or the pack's; may be NULL */
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
	const json_t *site;    /* {"env": text, "ca": text} for own packs, or NULL */
	const char *packs_dir; /* where the templates of own packs are */
	unsigned owner;        /* uid and gid of the files in a PLAN_SOURCE */
};

int plan_make(struct tree_store *s, const git_oid *root, const struct plan_request *q,
	struct plan *ret, struct vk_err *err);
/* The tar itself. */
int plan_write(struct tree_store *s, const struct plan *p, uint64_t object_max, int fd,
	struct vk_err *err);
void plan_release(struct plan *p);

/* -- between export_plan.c and export_pack.c -- */
enum plan_kind plan_kind(const json_t *recipe);
/* The Dockerfile of an own pack and the processes it runs. */
int plan_own(struct tree_store *s, const git_oid *root, const struct plan_request *q,
	const char *context, struct plan *p, struct vk_err *err);
/* The name of the i-th entry in the tar; the caller frees. */
char *plan_tar_path(const struct plan *p, size_t i);
/* What an own pack gets besides the source. */
int plan_write_site(const struct plan *p, struct tar *t, struct vk_err *err);

const char *plan_path(const struct plan *p, size_t i);

#endif
