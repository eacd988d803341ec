/*
 * The Dockerfile of one of our packs: a template that comes with viking (builder/packs/NAME/Dockerfile.in), of
 * which some lines depend on the source. Whole lines only:
 *   %if WORD...   every WORD must hold: FILE (in the root of the source), json:KEY[.KEY] (package.json has it), json:KEY=BEGIN (one of
 *                 the values in that object begins so), !WORD, WORD|WORD (one of them)
 *   %else
 *   %end
 * They nest. Everything else is copied. Pure: files come through struct manifest_files, below `dir`.
 */
#ifndef BUILDER_PACK_TEMPLATE_H
#define BUILDER_PACK_TEMPLATE_H

#include <viking/mem.h>

#include "manifest.h"

#define TEMPLATE_MAX     (64 * 1024)
#define PACKAGE_JSON_MAX (1024 * 1024)

/* Errors are ours (VK_INTERNAL, a bad template) or of a package.json that is no JSON object (VK_INVALID). */
int pack_template_expand(const char *text, size_t n, const struct manifest_files *files,
	const char *dir, struct vk_buf *out, struct vk_err *err);

#endif
