/*
 * Client of viking's HTTP/JSON API on the unix socket: HTTP/1.1 by hand in some 300 lines, because
 * the `viking` command and the git hooks start for every SSH request and loading libcurl and the
 * thirty libraries behind it costs 7 ms each time (measured); bodies are capped, every call has a deadline.
 * Identity: VIKING_TOKEN in the environment (or opts.token) is sent as a bearer token; `role` claims one of
 * our processes' roles, which the server checks against the peer's uid.
 */
#ifndef VIKING_API_H
#define VIKING_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/loop.h>
#include <viking/mem.h>

struct vk_api_opts {
	const char *socket; /* path of a unix socket */
	const char *role;   /* "agent", "builder", "router", "web", "receiver", "hook" or NULL */
	const char *token;  /* NULL = $VIKING_TOKEN when set */
	int64_t timeout_ms; /* whole call for vk_api_call; silence between bytes for streams; 0 = 10 s, 25 s */
	/* blocking calls: while the scheduler starts anew or no host leads, the request, of which nothing was done, is sent
	 * again for so long (while nobody listens 5 s at most) before that is the error; 0 = not again */
	int64_t patience_ms;
};

#define VK_API_PATIENCE_MS 15000 /* of a person who typed a command, or pushed */

/* Blocking call. body may be NULL. *ret (may be NULL) gets the JSON answer (NULL when empty). A status
 * other than 2xx becomes the error in its body {"error":NAME,"message","hint"}. Nothing listening:
 * VK_UNAVAILABLE, hint names `vikingd`. */
int vk_api_call(const struct vk_api_opts *o, const char *method, const char *path,
	const json_t *body, json_t **ret, struct vk_err *err);

/* Blocking stream of JSON lines: fn for each; a non-zero return ends the call with it. Lines of the
 * form {} are keep-alives and are not handed on. Ends 0 at the end of the body. */
typedef int vk_api_line_fn(void *arg, json_t *line, struct vk_err *err);
int vk_api_stream(const struct vk_api_opts *o, const char *method, const char *path,
	const json_t *body, vk_api_line_fn *fn, void *arg, struct vk_err *err);

/* What is in a stream's last line, {"end":{"ok",..}}: 0, or the error it names. */
int vk_api_end(const json_t *end, struct vk_err *err);

/* Upgrade: on 101 *ret_fd is the raw connection (bytes that came with the head are in early). */
int vk_api_upgrade(const struct vk_api_opts *o, const char *method, const char *path,
	const json_t *body, int *ret_fd, struct vk_buf *early, struct vk_err *err);

/* A stream on a loop, which reconnects by itself with back-off 50 ms .. 2 s until freed. on_state tells
 * of connects (NULL err) and losses, of these once for each code of the reason. The path is asked anew at each connect. A line {"end":..} (a
 * host between us and the leader lost it) is a loss with its reason and not handed on. */
struct vk_api_watch;
typedef void vk_api_watch_line_fn(void *arg, json_t *line);
typedef void vk_api_watch_state_fn(void *arg, bool connected, const struct vk_err *err);
struct vk_api_watch *vk_api_watch_new(struct vk_loop *l, const struct vk_api_opts *o,
	const char *path, vk_api_watch_line_fn *on_line, vk_api_watch_state_fn *on_state,
	void *arg);
void vk_api_watch_free(struct vk_api_watch *w);
/* From within on_line: what came so far does not hold together. The stream ends and is asked for anew. */
void vk_api_watch_anew(struct vk_api_watch *w);

/* One call on a loop; done gets err->code 0 on success. Calls of one vk_api_queue are sent in order
 * over one keep-alive connection and retried until answered while the server is away (reports must not
 * get lost); a 4xx answer is handed to done and not retried. */
struct vk_api_queue;
typedef void vk_api_done_fn(void *arg, const struct vk_err *err, const json_t *answer);
struct vk_api_queue *vk_api_queue_new(struct vk_loop *l, const struct vk_api_opts *o);
void vk_api_queue_add(struct vk_api_queue *q, const char *method, const char *path,
	const json_t *body, vk_api_done_fn *done, void *arg);
size_t vk_api_queue_len(const struct vk_api_queue *q);
void vk_api_queue_free(struct vk_api_queue *q); /* done is not called for what is still queued */

/* The HTTP/1.1 response reader both use (fuzzed): feed bytes, get head, body and end. */
struct vk_http1;
struct vk_http1_events {
	int (*head)(
		void *arg, int status, const char *content_type, bool upgrade, struct vk_err *err);
	int (*body)(void *arg, const void *p, size_t n, struct vk_err *err);
	int (*end)(void *arg, struct vk_err *err);
};
struct vk_http1 *vk_http1_new(const struct vk_http1_events *ev, void *arg);
/* *ret_used: bytes consumed; less than n only after the end of a message or a 101 head. */
int vk_http1_feed(
	struct vk_http1 *h, const void *p, size_t n, size_t *ret_used, struct vk_err *err);
int vk_http1_eof(struct vk_http1 *h, struct vk_err *err); /* a body without length ends here */
void vk_http1_free(struct vk_http1 *h);

#endif
