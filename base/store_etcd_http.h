/*
 * Calls and streams to the members of an etcd, on the loop. A call is tried until an endpoint has answered it or its
 * deadline is over, so every call must bear being made twice. A failed try moves all that follows, and the streams
 * that hang on it, to the next endpoint.
 */
#ifndef VIKING_BASE_STORE_ETCD_HTTP_H
#define VIKING_BASE_STORE_ETCD_HTTP_H

#include <viking/json.h>
#include <viking/store.h>

struct vk_etcd_http;
int vk_etcd_http_new(struct vk_loop *l, const struct vk_store_etcd_opts *o,
	struct vk_etcd_http **ret, struct vk_err *err);
void vk_etcd_http_free(struct vk_etcd_http *h); /* what runs is dropped, unanswered */

void vk_etcd_http_know(struct vk_etcd_http *h, const char *endpoints); /* as vk_store_etcd_know */

/* err->code 0 with the answer, borrowed; or the refusal; or VK_UNAVAILABLE: no answer within the time. sent: how often it
 * was, the last time included. Never called from inside the submit. */
typedef void vk_etcd_done_fn(
	void *arg, const struct vk_err *err, const json_t *answer, unsigned sent);
void vk_etcd_call(struct vk_etcd_http *h, const char *path, json_t *take_body,
	vk_etcd_done_fn *done, void *arg);

/* One line of JSON after the other until done, which is always called unless the stream is dropped. A line function
 * that returns non-zero ends the stream with its error. */
struct vk_etcd_op;
struct vk_etcd_op *vk_etcd_stream(struct vk_etcd_http *h, const char *path, json_t *take_body,
	vk_jsonl_fn *line, vk_etcd_done_fn *done, void *arg);
void vk_etcd_drop(struct vk_etcd_op *op); /* also from inside its own callbacks */

/* For the end: turns, blocking, until all calls are answered or ms are over; then they fail. */
void vk_etcd_http_drain(struct vk_etcd_http *h, int64_t ms);

#endif
