/*
 * A website's files of one commit: written below STATIC/STACK/NODE under a temporary name and
 * renamed to COMMIT when complete and on disk. Files 0644 or 0755, no symbolic link that leads
 * out.
 */
#ifndef VIKING_EXPORT_SITE_H
#define VIKING_EXPORT_SITE_H

#include <viking/json.h>

#include "tree.h"

struct site_request {
	const char *static_dir, *stack, *node, *commit, *document_root;
	struct tree_limits limits;
	const json_t *keep; /* commits that kept releases serve; NULL = all that are there */
};

/* *ret_files and *ret_bytes count what was written; a commit that is there already is left as
 * it is (0 files). Commits of this node that are not to be kept are removed. */
int site_write(struct tree_store *s, const git_oid *root, const struct site_request *q,
	uint64_t *ret_files, uint64_t *ret_bytes, struct vk_err *err);
/* Does a link at `path` (relative to the site) with this target stay inside? */
bool site_link_inside(const char *path, const char *target, size_t n);

#endif
