/*
 * RUN/export.sock: the builder asks here for a commit's tree. Every connection of a peer that may ask gets
 * a `viking-export serve` of its own, with the socket as its standard input and output; the listener reads
 * none of it.
 */
#ifndef RECEIVER_EXPORTS_H
#define RECEIVER_EXPORTS_H

#include <viking/config.h>
#include <viking/err.h>
#include <viking/loop.h>

struct exports;
int exports_new(struct vk_loop *l, const struct vk_config *c, const char *config_file,
	struct exports **ret, struct vk_err *err);
void exports_free(struct exports *e); /* ends all that run */

#endif
