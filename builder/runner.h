/*
 * One viking-job child on the builder's loop: gives it its job, relays its lines in batches, cancels it, ends
 * it at the deadline, and reports the result only when its output is drained and it is gone.
 *
 * Batches: the first line goes at once, later ones every BATCH_MS or BATCH_BYTES. When the receiver of the
 * batches is behind (runner_hold), the pipe is not read: the job waits in write(2), and its deadline runs on.
 */
#ifndef BUILDER_RUNNER_H
#define BUILDER_RUNNER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/loop.h>

#define BATCH_MS    50
#define BATCH_BYTES (64u << 10)
#define KILL_MS     2000 /* from SIGTERM to SIGKILL */
#define DRAIN_MS    2000 /* for output after the child's end, when something else holds the pipe */

struct runner;
struct runner_opts {
	struct vk_loop *loop;
	const char *path; /* of viking-job */
	const char *const *argv, *const *env;
	int64_t timeout_ms;
	const char *timeout_setting; /* named when the deadline passes: "builds.timeout" */
	void (*out)(void *arg, json_t *lines);  /* an array of strings, borrowed */
	void (*state)(void *arg, json_t *name); /* a string: what the job is at now; may be NULL */
	/* Once, the last call; the runner is freed after it. done: the {"done"} object or one made up for a job
	 * that died or overran, borrowed; NULL when it was cancelled. */
	void (*ended)(void *arg, json_t *done);
	void *arg;
};
int runner_start(
	const struct runner_opts *o, const json_t *job, struct runner **ret, struct vk_err *err);
void runner_cancel(struct runner *r);
void runner_hold(struct runner *r, bool hold);
/* Kills at once, calls nothing. */
void runner_free(struct runner *r);

#endif
