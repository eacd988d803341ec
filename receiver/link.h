/*
 * A connection whose bytes are frames (include/viking/exec_frames.h), joined to pipes: what is read from a source goes out as
 * frames of its type, frames of a sink's type are written to it, all others are the owner's. Bounded both ways: while
 * one side does not take its bytes, the other is not read.
 */
#ifndef RECEIVER_LINK_H
#define RECEIVER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <viking/loop.h>

struct link;
/* From the loop. None of them may free the link. */
struct link_ops {
	void (*frame)(void *arg, int type, const void *p, size_t n);
	void (*taken)(void *arg, size_t n); /* bytes for a sink; may be NULL */
	void (*ended)(void *arg, int type); /* a source is at its end */
	void (*idle)(void *arg);            /* all that was taken has been written */
	void (*gone)(void *arg);            /* the other side has closed, or sends nonsense; once */
};
struct link *link_new(
	struct vk_loop *l, int fd, const struct link_ops *ops, void *arg); /* fd: taken over */
void link_feed(struct link *k, const void *p,
	size_t n); /* bytes of the connection that were read already */
/* Descriptors are taken over and made non-blocking; two of each at most. */
void link_source(struct link *k, int type, int fd);
void link_sink(struct link *k, int type, int fd);
void link_sink_end(struct link *k, int type); /* closes it once all of its bytes are written */
void link_send(struct link *k, int type, const void *p, size_t n);
bool link_idle(const struct link *k);
void link_free(struct link *k); /* closes all */

#endif
