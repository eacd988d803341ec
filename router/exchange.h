/*
 * One command line to a socket of HAProxy and its whole answer, on the loop. HAProxy closes the
 * connection behind the answer; the master socket only when our side is shut down first, so that
 * is always done.
 */
#ifndef ROUTER_EXCHANGE_H
#define ROUTER_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/loop.h>

struct exchange;

/* err->code 0: text is the NUL-terminated answer, borrowed for the call. The exchange is over and
 * freed when done returns. Never called from inside exchange_start. */
typedef void exchange_done_fn(void *arg, const struct vk_err *err, const char *text);

struct exchange_opts {
	const char *socket;
	const char *request; /* with its newline */
	bool shut;           /* shut our side down behind the request (master socket) */
	int64_t timeout_ms;
};
struct exchange *exchange_start(
	struct vk_loop *l, const struct exchange_opts *o, exchange_done_fn *done, void *arg);
void exchange_free(struct exchange *x); /* cancels; done is not called */

#endif
