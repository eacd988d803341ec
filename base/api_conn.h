/*
 * One keep-alive connection to the API on a loop, for the watch and the queue: opens, sends a request's
 * text, feeds the answer to a reader. All callbacks come from the loop. From `head` and `body` the owner
 * may free the connection or return an error; from `end` and `lost` also send again.
 */
#ifndef VIKING_BASE_API_CONN_H
#define VIKING_BASE_API_CONN_H

#include <viking/api.h>

struct vk_api_conn;
struct vk_api_conn_events {
	int (*head)(void *arg, int status, struct vk_err *err);
	int (*body)(void *arg, const void *p, size_t n, struct vk_err *err);
	void (*end)(void *arg);                            /* the answer is complete */
	void (*lost)(void *arg, const struct vk_err *err); /* instead of end; closed already */
};

/* o is borrowed for the connection's life. */
struct vk_api_conn *vk_api_conn_new(struct vk_loop *l, const struct vk_api_opts *o,
	const struct vk_api_conn_events *ev, void *arg);
void vk_api_conn_free(struct vk_api_conn *c);
/* Opens the connection if it is not open, then sends. One request at a time. per_byte: the deadline
 * (o->timeout_ms) counts from the last byte instead of from now. */
void vk_api_conn_send(struct vk_api_conn *c, const void *request, size_t n, bool per_byte);

/* Copies of the options' strings, token from the environment and default timeout included. */
void vk_api_opts_copy(struct vk_api_opts *to, const struct vk_api_opts *from);
void vk_api_opts_release(struct vk_api_opts *o);

/* 50 ms doubling to 2 s; 0 starts anew. */
int64_t vk_api_backoff(int64_t last_ms);

#endif
