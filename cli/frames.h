/* The frames of run and enter: 1 byte type, 4 bytes big-endian length, payload. */
#ifndef CLI_FRAMES_H
#define CLI_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

enum {
	FRAME_STDIN = 0,
	FRAME_EOF = 1,
	FRAME_RESIZE = 2,
	FRAME_SIGNAL = 3, /* to the server */
	FRAME_STDOUT = 1,
	FRAME_STDERR = 2,
	FRAME_END = 3, /* to the client */
};
#define FRAME_MAX (1u << 20) /* bytes of payload */

struct frames {
	struct vk_buf have;
};
typedef int frames_fn(void *arg, int type, const void *p, size_t n);

void frames_init(struct frames *f);
void frames_release(struct frames *f);
void frames_head(uint8_t head[static 5], int type, uint32_t n);
/* Bytes split at random in, whole frames out. A frame over FRAME_MAX: VK_LIMIT. fn's non-zero ends it. */
int frames_feed(
	struct frames *f, const void *p, size_t n, frames_fn *fn, void *arg, struct vk_err *err);

#endif
