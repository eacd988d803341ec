/*
 * The tar of a build context passes through here on its way from viking-export to the engine, because
 * both ends of it are weak: a stream that is cut off between two files looks like a smaller, whole tar to
 * the engine, which would then build from half a tree. The relay follows the headers and knows: a tar is whole when
 * two empty blocks stand where a header would be.
 */
#ifndef BUILDER_RELAY_H
#define BUILDER_RELAY_H

#include <stdint.h>
#include <sys/types.h>
#include <viking/err.h>

/* Copies in to out until the end; a reader that stops early is fine, the rest is still checked. */
int relay_tar(int in, int out, struct vk_err *err);

struct relay {
	pid_t pid;
	int out; /* what the engine reads */
};
/* The same in a process of its own (self = path of viking-job); in is the caller's. */
int relay_start(const char *self, int in, struct relay *ret, struct vk_err *err);
/* Waits for it; VK_FAILED when the tar was not whole. */
int relay_end(struct relay *r, struct vk_err *err);
void relay_kill(struct relay *r); /* the build has failed anyway */

#endif
