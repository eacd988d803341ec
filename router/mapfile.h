/*
 * Changes single lines of a map's file in place: what comes is put behind the sorted lines, what goes gets a '#' before its
 * rest, which haproxy passes over. Of a key's lines haproxy takes the first, and the new ones are written before the old ones go, so that a
 * key which stays is in the file at every moment. Nothing is synced: after a loss of power the files are written anew from what can be read.
 */
#ifndef ROUTER_MAPFILE_H
#define ROUTER_MAPFILE_H

#include <viking/err.h>
#include <viking/mem.h>

#include "model.h"

#define MAPFILE_TAIL_MAX 65536 /* bytes behind the sorted lines */

/* Makes the lines of the keys those of `want`. sorted: bytes at the beginning that are in the order of strcmp. VK_LIMIT: the file has too much
 * behind these, or is none of the kind: to be written as a whole. */
int mapfile_change(const char *path, size_t sorted, const struct vk_strv *keys,
	const struct routes *want, struct vk_err *err);

#endif
