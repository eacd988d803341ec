/*
 * Bytes between two connected sockets, both ways, with bounded buffers: a side whose peer does not read is not
 * read. Frames end a conversation in order (docs/protocol.md 6), so an end of the far side is passed on after what it has
 * sent, and an end of the near side (the client) closes both at once. Lives by itself until then.
 */
#ifndef SCHEDULER_RELAY_H
#define SCHEDULER_RELAY_H

#include <stddef.h>
#include <viking/loop.h>

/* near and far are non-blocking and taken over; *_early: bytes of that side that were read already. */
void relay_start(struct vk_loop *l, int near_fd, const void *near_early, size_t near_n, int far_fd,
	const void *far_early, size_t far_n);

#endif
