/*
 * Reads a small tar held in memory, as the engine makes them of a container's path: regular files
 * and what stands between them; pax and GNU long names are passed over with their file. Nothing is written anywhere.
 * Source: POSIX.1-2001 pax (ustar). Pure.
 */
#ifndef BUILDER_UNTAR_H
#define BUILDER_UNTAR_H

#include <stddef.h>
#include <viking/err.h>

struct untar_file {
	char name[101];   /* the last part of its path */
	const char *data; /* borrowed from the tar */
	size_t n;
};

/* The next regular file from *at on, which moves behind it. VK_NOTFOUND: no more; VK_INVALID: no tar. */
int untar_next(const char *tar, size_t n, size_t *at, struct untar_file *ret, struct vk_err *err);

#endif
