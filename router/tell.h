/*
 * Carries out the steps of a plan over HAProxy's runtime socket, one after the other: lines of
 * commands, swaps of whole maps, certificates. What haproxy says against a command is noted, not an
 * error: reading back tells what came of it.
 */
#ifndef ROUTER_TELL_H
#define ROUTER_TELL_H

#include <viking/err.h>
#include <viking/loop.h>

#include "files.h"
#include "plan.h"

struct tell;

/* err->code 0: all steps were said. trouble: the first thing haproxy objected to, "" = nothing. The
 * tell is over and freed when done returns. */
typedef void tell_done_fn(void *arg, const struct vk_err *err, const char *trouble);

struct tell_opts {
	const char *admin; /* borrowed until the end, as all of these */
	const struct files *files;
	const struct plan *plan;
	const struct model *want;
};
struct tell *tell_start(
	struct vk_loop *l, const struct tell_opts *o, tell_done_fn *done, void *arg);
void tell_free(struct tell *t); /* cancels; done is not called */

#endif
