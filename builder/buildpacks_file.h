/* The file .buildpacks: names of packs (viking/pack_name.h), one a line; blank lines and # comments are left out. Pure. */
#ifndef BUILDER_BUILDPACKS_FILE_H
#define BUILDER_BUILDPACKS_FILE_H

#include <jansson.h>
#include <stddef.h>
#include <viking/err.h>

#define BUILDPACKS_BYTES (64 * 1024)

/* *ret: a new list of names in their one form; errors are ".buildpacks:2: what". */
int buildpacks_parse(const char *text, size_t n, json_t **ret, struct vk_err *err);

#endif
