/*
 * A raw connection to the engine (exec start, attach) made on the loop: base's vk_engine_hijack waits for
 * the engine's answer, which a stopped engine never gives.
 */
#ifndef AGENT_HIJACK_H
#define AGENT_HIJACK_H

#include <jansson.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/loop.h>

struct hijack;
/* err->code 0: fd (non-blocking) is the callee's, early are bytes that came with the answer's head. */
typedef void hijack_fn(void *arg, const struct vk_err *err, int fd, const void *early, size_t n);
/* POST path (without version prefix). body may be NULL. done is called from the loop, exactly once,
 * unless cancelled. */
struct hijack *hijack_start(struct vk_loop *l, const char *socket, const char *path,
	const json_t *body, int64_t timeout_ms, hijack_fn *done, void *arg);
void hijack_cancel(struct hijack *h);

#endif
