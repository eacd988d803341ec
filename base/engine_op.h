/*
 * Inside of the engine client: one request (an op) on a libcurl handle, used by the blocking half
 * (engine_block.c) and the loop's half (engine_async.c). engine.c prepares requests and judges answers.
 */
#ifndef VIKING_BASE_ENGINE_OP_H
#define VIKING_BASE_ENGINE_OP_H

#include <curl/curl.h>
#include <viking/engine.h>

#include "multi.h"

#define VK_ENGINE_TIMEOUT_MS 30000

struct vk_engine {
	char *socket;
	char prefix[16]; /* "/v1.41"; "" = not negotiated */
	CURLM *blocking; /* keeps the connections of blocking calls */
	/* on the loop */
	struct vk_loop *loop;
	struct vk_multi multi;
	struct vk_engine_op *ops; /* all that run */
};

struct vk_engine_op {
	struct vk_engine *e;
	struct vk_engine_op *next;
	CURL *easy;
	struct curl_slist *headers;
	/* the request */
	char *method, *path, *body, *registry_auth;
	int upload_fd; /* -1 none */
	bool upload_paused;
	/* the answer */
	bool negotiating;     /* this is GET /version, the request itself follows */
	struct vk_buf answer; /* of calls, and of every refusal */
	struct vk_jsonl lines;
	vk_jsonl_fn *line_fn;         /* streams of JSON lines */
	vk_engine_bytes_fn *bytes_fn; /* streams of bytes */
	void *sink_arg;
	bool got_bytes;    /* since the flag was last cleared (silence) */
	struct vk_err err; /* of a callback: ends the transfer */
	int rc;            /* what the callback returned */
	/* on the loop */
	int64_t timeout_ms; /* 0 = none */
	vk_engine_done_fn *done;
	void *done_arg;
	bool started, cancelled, inside;
};

struct vk_engine_op *vk_engine_op_new(
	struct vk_engine *e, const char *method, const char *path, const json_t *body);
void vk_engine_op_free(struct vk_engine_op *op);
/* Sets the handle up: for GET /version when the version is not known yet, else for the request. */
int vk_engine_op_prepare(struct vk_engine_op *op, struct vk_err *err);
/* After the transfer: 0, or the error. Takes the version from an answer to GET /version. */
int vk_engine_op_judge(struct vk_engine_op *op, CURLcode code, struct vk_err *err);
/* The JSON of an answer; text that is not JSON becomes a string; empty is NULL. */
int vk_engine_op_json(struct vk_engine_op *op, json_t **ret, struct vk_err *err);
/* Negotiates, blocking, unless it is done. */
int vk_engine_negotiate(struct vk_engine *e, struct vk_err *err);
void vk_engine_away(const struct vk_engine *e, int errnum, struct vk_err *err);
/* The error in an answer that is not 2xx or 304. */
int vk_engine_refusal(long status, const char *body, size_t n, struct vk_err *err);

void vk_engine_async_init(struct vk_engine *e);
void vk_engine_async_release(struct vk_engine *e);

#endif
