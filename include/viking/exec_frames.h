/* The frames of run, of enter and of git between hosts (docs/protocol.md 6): 1 byte type, 4 bytes big-endian length, payload. */
#ifndef VIKING_EXEC_FRAMES_H
#define VIKING_EXEC_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

enum {
	VK_EXEC_STDIN = 0,
	VK_EXEC_EOF = 1,
	VK_EXEC_RESIZE = 2,
	VK_EXEC_SIGNAL = 3, /* to the server */
	VK_EXEC_STDOUT = 1,
	VK_EXEC_STDERR = 2,
	VK_EXEC_END = 3, /* to the client */
};
#define VK_EXEC_MAX (1u << 20) /* bytes of payload */

struct vk_exec_frames {
	struct vk_buf have;
};
typedef int vk_exec_frame_fn(void *arg, int type, const void *p, size_t n);

void vk_exec_frames_init(struct vk_exec_frames *f);
void vk_exec_frames_release(struct vk_exec_frames *f);
void vk_exec_head(uint8_t head[static 5], int type, uint32_t n);
/* Bytes split at random in, whole frames out. A frame over VK_EXEC_MAX: VK_LIMIT. fn's non-zero ends it. */
int vk_exec_frames_feed(struct vk_exec_frames *f, const void *p, size_t n, vk_exec_frame_fn *fn,
	void *arg, struct vk_err *err);

#endif
