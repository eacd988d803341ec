/*
 * How the answers of watched releases come out: for as long as a stack's table entry has "watch", HAProxy logs each of
 * its requests, and no others, to a datagram socket here, one line each: watch, backend, server, status, and the
 * times in ms of waiting, connecting and answering. Counted by server and told to the scheduler as totals.
 *
 * An error is a status of 500 and more, HAProxy's own for a server that refuses or breaks off among them; a request that
 * another server took over counts there alone. The time is from the whole request to the head of the answer; it is kept
 * in classes an eighth of an octave wide, so a quantile is up to 12.5 % too high. A datagram that finds the socket full
 * is lost: then the figures are those of a sample.
 */
#ifndef ROUTER_TALLY_H
#define ROUTER_TALLY_H

#include <viking/api.h>
#include <viking/loop.h>

#include "assign.h"

struct tally;
struct tally_opts {
	const char *socket;          /* path; made here. Borrowed, as all of it */
	const struct assign *assign; /* who has which server */
	struct vk_api_queue *queue;
};
int tally_new(
	struct vk_loop *l, const struct tally_opts *o, struct tally **ret, struct vk_err *err);
void tally_free(struct tally *t);

/* "7 b0001 s2 200 0 1 12"; false: not such a line, or of no server. ms < 0: no answer came. Pure. */
struct tally_line {
	unsigned watch, backend, slot, status;
	int64_t ms;
};
bool tally_read(const char *text, struct tally_line *ret);
#define TALLY_CLASSES 120
unsigned tally_class(int64_t ms);
int64_t tally_upper(unsigned class); /* the longest time of a class */

#endif
