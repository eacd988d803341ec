/*
 * A tar writer: ustar with pax extended headers for what does not fit (POSIX.1-2001). Owner 0 unless said
 * otherwise, modes 0644 and 0755 and one fixed time for everything, so that the same tree is the same bytes
 * and engines' caches hold. Output is collected in 1 MiB and written to a descriptor, which stays
 * the caller's.
 */
#ifndef VIKING_TAR_H
#define VIKING_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>

#define TAR_MTIME 946684800 /* 2000-01-01: late enough for archives that begin at 1980 */

struct tar;

struct tar *tar_new(int fd);
void tar_free(struct tar *t);
void tar_own(struct tar *t, unsigned uid, unsigned gid); /* of what follows */
/* A whole file. */
int tar_file(struct tar *t, const char *path, bool executable, const void *data, size_t n,
	struct vk_err *err);
int tar_dir(struct tar *t, const char *path, struct vk_err *err);
int tar_link(struct tar *t, const char *path, const char *target, size_t n, struct vk_err *err);
/* The end marker; everything is written when this returns 0. */
int tar_end(struct tar *t, struct vk_err *err);
/* Ends a tar that cannot be finished so that no reader takes it for a whole one: what stopped
 * at a block's end would pass. Returns rc. */
int tar_spoil(struct tar *t, int rc);

#endif
