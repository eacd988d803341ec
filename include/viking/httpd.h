/*
 * HTTP server of the scheduler, the agent and web: libmicrohttpd on the program's loop. A request is
 * handed over whole (body capped); the handler answers at once, later, or as a stream of JSON lines; or
 * takes the connection over (101). The peer of a unix socket is known by SO_PEERCRED.
 */
#ifndef VIKING_HTTPD_H
#define VIKING_HTTPD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <viking/err.h>
#include <viking/id.h>
#include <viking/loop.h>
#include <viking/mem.h>

struct vk_httpd;
struct vk_req; /* one request; lives until its answer is sent or the client is gone */

/* Called once per request, body complete. The handler must, now or later, call exactly one of
 * vk_req_json, vk_req_error, vk_req_file, vk_req_bytes, vk_req_upgrade, or vk_req_stream .. vk_req_end. */
typedef void vk_httpd_fn(void *arg, struct vk_req *r);

struct vk_httpd_opts {
	size_t body_max;          /* bytes, 0 = 1 MiB */
	unsigned connections_max; /* 0 = 1024 */
	int64_t idle_ms;          /* idle keep-alive connection, 0 = 60 s */
	size_t queues_max; /* bytes queued by all streams together, 0 = 64 MiB: beyond it who has
	                           * fallen behind furthest is cut off, so that many slow readers cost no more */
};
/* listen_fd: a listening socket, taken over. */
int vk_httpd_new(struct vk_loop *l, int listen_fd, const struct vk_httpd_opts *o, vk_httpd_fn *fn,
	void *arg, struct vk_httpd **ret, struct vk_err *err);
/* Ends every connection: closed is called for who waits for it, then no request may be used any more. Not
 * from inside a handler. */
void vk_httpd_free(struct vk_httpd *h);

const char *vk_req_method(const struct vk_req *r);
const char *vk_req_path(const struct vk_req *r); /* decoded, without query */
const char *vk_req_query(
	const struct vk_req *r, const char *key); /* NULL if absent; "" without value */
void vk_req_target(const struct vk_req *r, struct vk_buf *out); /* path and query, encoded anew */
const char *vk_req_header(const struct vk_req *r, const char *name);
const struct vk_buf *vk_req_body(const struct vk_req *r);
/* unix socket: credentials of the peer; TCP: uid and pid -1. */
void vk_req_peer(const struct vk_req *r, uid_t *ret_uid, pid_t *ret_pid);

/* The host that a request of viking-front's comes from, "?" for a client that showed no certificate, NULL for
 * one of this host. Believe it of the front's uid only: whoever has another uid and such a name is lying. */
const char *vk_req_peer_host(const struct vk_req *r);

void vk_req_json(struct vk_req *r, int status, json_t *body); /* steals body; NULL = empty */
/* {"error":"NOTFOUND","message":...,"hint":...} with vk_err_http(err->code). */
void vk_req_error(struct vk_req *r, const struct vk_err *err);
/* The same for what was not begun and will soon be taken: "again": true in the body, Retry-After (RFC 9110, 10.2.3). */
void vk_req_error_again(struct vk_req *r, const struct vk_err *err);
void vk_req_bytes(struct vk_req *r, int status, const char *type, const void *p, size_t n);
void vk_req_header_add(
	struct vk_req *r, const char *name, const char *value); /* before the answer */
/* The answer's body is bytes [off, off+len) of fd, which is taken over. sendfile. */
void vk_req_file(
	struct vk_req *r, int status, const char *type, int fd, uint64_t off, uint64_t len);

/* Stream of JSON lines (application/x-ndjson), or of bytes. closed is called once if the client goes
 * before vk_req_end (found at once, also while nothing is sent); after that r must not be used. A client
 * that does not read is cut off at queue_max bytes (closed is called). Every 8 s without a line a
 * keep-alive line {} goes out. type NULL = JSON lines; any other, whatever it says: bytes, without keep-alives. */
typedef void vk_req_closed_fn(void *arg, struct vk_req *r);
void vk_req_stream(struct vk_req *r, int status, const char *type, size_t queue_max,
	vk_req_closed_fn *closed, void *arg);
void vk_req_line(struct vk_req *r, json_t *line); /* steals line */
void vk_req_write(struct vk_req *r, const void *p, size_t n);
size_t vk_req_queued(const struct vk_req *r);
/* fn each time the queue of a stream has run empty: for who stopped its source because the client was slow. It
 * must not answer, write or end from there (it may be inside the server): it lets its source go on. */
typedef void vk_req_drained_fn(void *arg);
void vk_req_on_drained(struct vk_req *r, vk_req_drained_fn *fn, void *arg);
void vk_req_end(struct vk_req *r);
/* The client's going before any answer, for handlers that answer later without a stream. */
void vk_req_on_closed(struct vk_req *r, vk_req_closed_fn *closed, void *arg);

/* 101 Switching Protocols; then fn gets the raw socket (non-blocking), now the caller's, and bytes that
 * were already read. fd -1: the client went before it could be handed over. Called exactly once. */
typedef void vk_req_upgrade_fn(void *arg, int fd, const void *early, size_t n);
void vk_req_upgrade(struct vk_req *r, const char *protocol, vk_req_upgrade_fn *fn, void *arg);

/* Listening unix socket: unlinks a stale one, mode, owner group (NULL = none). */
int vk_listen_unix(const char *path, mode_t mode, const char *group, int backlog, int *ret_fd,
	struct vk_err *err);
int vk_listen_tcp(const char *address, uint16_t port, int backlog, int *ret_fd, struct vk_err *err);
int vk_connect_unix(
	const char *path, int *ret_fd, struct vk_err *err); /* blocking, close-on-exec */

/* As the host of that name (docs/protocol.md 9), for viking-front. Does not block: a full queue is UNAVAILABLE. The
 * descriptor is non-blocking. */
int vk_connect_unix_as(const char *path, const char *host, int *ret_fd, struct vk_err *err);
bool vk_peer_host(int fd, char out[static VK_NAME_MAX + 1]); /* false: nobody's name */

#endif
