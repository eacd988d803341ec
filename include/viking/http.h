/*
 * One HTTP request to a server on this host's loopback or another fixed address (libcurl): for the local
 * registry, and for a host that is not in a cluster yet. Redirects are not followed, no proxy is used whatever the
 * environment says; every call has a deadline. viking's own API has a client of its own (api.h).
 */
#ifndef VIKING_HTTP_H
#define VIKING_HTTP_H

#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

#define VK_HTTP_HEADER_MAX 256

struct vk_http_request {
	const char *method; /* "GET", "HEAD", "DELETE" ... */
	const char *url;    /* http://, with pin https:// */
	const char *
		pin; /* hex SHA-256 of the server's public key, by which alone it is known: TLS 1.3 */
	const char *body;    /* NULL = none */
	struct vk_buf *into; /* gets the answer's body; NULL = it is dropped */
	int (*sink)(void *arg, const void *p, size_t n); /* instead, as it comes; not 0 = no more */
	void *sink_arg;
	const char *user, *password; /* basic authentication; NULL = none */
	const char *accept;          /* Accept header; NULL = none */
	const char *want_header;     /* name of a header whose value is wanted; NULL = none */
	int64_t timeout_ms;
};

struct vk_http_answer {
	int status;
	char header[VK_HTTP_HEADER_MAX]; /* value of want_header, "" when absent or longer */
};

/* Any status is success here. Nobody there, or more than fits into `into`: VK_UNAVAILABLE; too slow: VK_TIMEOUT; another
 * key than the pin's, before anything was sent: VK_DENIED. Secrets do not reach err. */
int vk_http(const struct vk_http_request *q, struct vk_http_answer *ret, struct vk_err *err);

#endif
