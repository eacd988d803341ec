/*
 * One run of viking-cert-job: a JSON object as its standard input, a JSON object as its answer, with a deadline. What it
 * leaves of its process group is killed; it dies with us.
 */
#ifndef CERTS_WORKER_H
#define CERTS_WORKER_H

#include <jansson.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/loop.h>

#define WORKER_ANSWER_MAX (128u << 10) /* bytes of JSON */

struct worker;
/* answer: what the job wrote, or {"ok": false, "error", "message", "hint"} when it died, was late or wrote nonsense. The
 * worker is freed behind it. */
typedef void worker_fn(void *arg, const json_t *answer);
int worker_start(struct vk_loop *l, const char *path, const char *mode, const json_t *job,
	int64_t timeout_ms, worker_fn *fn, void *arg, struct worker **ret, struct vk_err *err);
void worker_free(struct worker *w); /* kills it; fn is not called */
/* {"ok": false, "error", "message", "hint"} */
json_t *worker_failure(const struct vk_err *err);

#endif
