/*
 * ps:restart, ps:stop and ps:start as operations.
 *
 *	restart  one instance after the other: out of the routes, anew, healthy, back; then the new "gen" is stored. A failure
 *	         ends it there: those not yet restarted keep running.
 *	stop     out of the routes, then stored as stopped, then their containers go
 *	start    stored as started, then healthy
 */
#ifndef SCHEDULER_CONTROL_H
#define SCHEDULER_CONTROL_H

#include "op.h"

enum control_kind { CONTROL_RESTART, CONTROL_STOP, CONTROL_START };

/* node NULL = all that have instances. Ready for op_submit. */
struct op *control_new(struct sched *s, const char *stack, const char *who, enum control_kind kind,
	const char *node);

#endif
