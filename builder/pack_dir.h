/*
 * A buildpack that is a directory of this host, as a tar's entries: regular files, directories and links, with their
 * run bits, nothing else; bounded. The directory must lie in one of those that policy allows, by its real path.
 */
#ifndef BUILDER_PACK_DIR_H
#define BUILDER_PACK_DIR_H

#include <viking/crypt.h>

#include "tar.h"

#define PACK_DIR_FILES 20000
#define PACK_DIR_BYTES (256u << 20)

/* Opens it: *ret_fd is the directory. allowed: paths with commas between, "" = none. */
int pack_dir_open(const char *path, const char *allowed, int *ret_fd, struct vk_err *err);
/* Writes what is below dir_fd as prefix/... into t, and into the hash. Either may be NULL. */
int pack_dir_write(
	int dir_fd, const char *prefix, struct tar *t, struct vk_sha256 *h, struct vk_err *err);

#endif
