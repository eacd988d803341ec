/*
 * pkt-line, git's framing (gitprotocol-common(5)): four hex digits of length, then the bytes; 0000 is a
 * flush. Reading is a feed of bytes split anywhere; the buffer is bounded by one packet and what was fed.
 */
#ifndef HOOKS_PKTLINE_H
#define HOOKS_PKTLINE_H

#include <stddef.h>
#include <viking/err.h>
#include <viking/mem.h>

#define PKTLINE_MAX 65520 /* bytes of a packet, its length included */

enum pktline_kind { PKTLINE_NONE, PKTLINE_DATA, PKTLINE_FLUSH };

struct pktline {
	struct vk_buf in;
	size_t last; /* bytes of the packet handed out last, dropped at the next call */
};

void pktline_init(struct pktline *p);
void pktline_release(struct pktline *p);
int pktline_feed(struct pktline *p, const void *bytes, size_t n, struct vk_err *err);
/* The next whole packet. *ret_kind NONE: more bytes are needed. *ret_data (without the length, and
 * without one final newline) is borrowed until the next call of feed or next. */
int pktline_next(struct pktline *p, enum pktline_kind *ret_kind, const char **ret_data,
	size_t *ret_n, struct vk_err *err);

int pktline_add(struct vk_buf *out, const void *data, size_t n);
int pktline_addf(struct vk_buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int pktline_flush(struct vk_buf *out);

#endif
