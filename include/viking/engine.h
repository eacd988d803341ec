/*
 * Docker Engine API over its unix socket (libcurl; hijacked streams over a raw socket). Version is
 * negotiated once per struct: 1.41 .. 1.44+, whatever _ping and /version allow. Only builder and agent
 * use this. Two styles: blocking calls for workers, and calls and streams on a loop for the agent.
 */
#ifndef VIKING_ENGINE_H
#define VIKING_ENGINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <viking/err.h>
#include <viking/json.h>
#include <viking/loop.h>
#include <viking/mem.h>

struct vk_engine;
/* loop NULL = blocking only. Does not connect. */
int vk_engine_new(
	const char *socket_path, struct vk_loop *loop, struct vk_engine **ret, struct vk_err *err);
void vk_engine_free(struct vk_engine *e);

/* path without version prefix, e.g. "/containers/json?all=1"; the prefix is added. body NULL = none.
 * Engine's {"message"} becomes the error: 404 VK_NOTFOUND, 409 VK_CONFLICT, 400 VK_INVALID, no socket
 * VK_UNAVAILABLE (hint: how to start the engine), 304 is success. Answer cap 16 MiB. timeout_ms 0 = 30 s. */
int vk_engine_call(struct vk_engine *e, const char *method, const char *path, const json_t *body,
	int64_t timeout_ms, json_t **ret, struct vk_err *err);
/* As call with an X-Registry-Auth header (base64url JSON) and a stream of JSON lines as the answer; cancel by
 * returning non-zero from fn. silence_ms: longest wait between bytes, 0 = no limit. */
int vk_engine_stream(struct vk_engine *e, const char *method, const char *path,
	const char *registry_auth, vk_jsonl_fn *fn, void *arg, int64_t silence_ms,
	struct vk_err *err);
/* Uploads what fd gives until EOF (chunked, application/x-tar), then streams JSON lines to fn. cancel_fd: when
 * it becomes readable (or hangs up) the request is dropped: VK_CANCELLED; -1 = none. */
int vk_engine_upload(struct vk_engine *e, const char *method, const char *path,
	const char *registry_auth, int fd, int cancel_fd, vk_jsonl_fn *fn, void *arg,
	int64_t total_ms, struct vk_err *err);

/* The bytes of an answer as they are (an archive), appended to out; more than its max: VK_LIMIT. */
int vk_engine_download(struct vk_engine *e, const char *path, struct vk_buf *out,
	int64_t timeout_ms, struct vk_err *err);

/* On the loop. */
typedef void vk_engine_done_fn(
	void *arg, const struct vk_err *err, json_t *answer); /* answer borrowed */
struct vk_engine_op;
struct vk_engine_op *vk_engine_call_async(struct vk_engine *e, const char *method, const char *path,
	const json_t *body, int64_t timeout_ms, vk_engine_done_fn *done, void *arg);
/* A stream of raw bytes (logs, events) on the loop until done; silence is no error. */
typedef void vk_engine_bytes_fn(void *arg, const void *p, size_t n);
struct vk_engine_op *vk_engine_stream_async(struct vk_engine *e, const char *method,
	const char *path, const char *registry_auth, vk_engine_bytes_fn *bytes,
	vk_engine_done_fn *done, void *arg);
void vk_engine_op_cancel(struct vk_engine_op *op); /* done is not called any more */

/* Hijack (exec start, attach): sends the request with Upgrade: tcp, returns the raw socket after 101 (or
 * 200) and bytes already read. */
int vk_engine_hijack(struct vk_engine *e, const char *path, const json_t *body, int *ret_fd,
	struct vk_buf *early, struct vk_err *err);

/* Docker's 8-byte framed streams, split at random. stream 1 stdout, 2 stderr. */
struct vk_frames {
	uint8_t head[8];
	unsigned have;
	uint32_t left;
	int stream;
};
typedef int vk_frames_fn(void *arg, int stream, const void *p, size_t n);
int vk_frames_feed(struct vk_frames *f, const void *p, size_t n, vk_frames_fn *fn, void *arg,
	struct vk_err *err);

/* Percent-encodes for use in a query value. Caller frees. */
char *vk_engine_escape(const char *s);
char *vk_engine_registry_auth(
	const char *user, const char *password, const char *server); /* caller frees */

#endif
