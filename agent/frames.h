/*
 * The frames of exec and run connections (docs/protocol.md section 6): 1 byte type, 4 bytes big-endian
 * length, payload. Fed with bytes split at random; stdin payloads are handed on in pieces as they come,
 * all other payloads whole (at most FRAMES_CONTROL_MAX bytes).
 */
#ifndef AGENT_FRAMES_H
#define AGENT_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

enum frames_in { FRAME_STDIN = 0, FRAME_EOF = 1, FRAME_RESIZE = 2, FRAME_SIGNAL = 3 };
enum frames_out { FRAME_STDOUT = 1, FRAME_STDERR = 2, FRAME_END = 3 };
#define FRAMES_STDIN_MAX   (16u << 20) /* one frame */
#define FRAMES_CONTROL_MAX 64u

struct frames {
	uint8_t head[5];
	unsigned have;
	uint32_t left;
	uint8_t control[FRAMES_CONTROL_MAX];
	uint32_t got;
};
typedef int frames_fn(void *arg, int type, const void *p, size_t n, struct vk_err *err);
/* Unknown type or oversized frame: VK_INVALID, VK_LIMIT; fn's non-zero return ends the call. */
int frames_feed(
	struct frames *f, const void *p, size_t n, frames_fn *fn, void *arg, struct vk_err *err);
/* Adds one frame to a buffer: VK_LIMIT when it does not fit (nothing is added). */
int frames_put(struct vk_buf *b, int type, const void *p, size_t n);

#endif
