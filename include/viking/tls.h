/*
 * TLS 1.3 between hosts with OpenSSL, both sides known by certificates of viking's own CA (docs/protocol.md 9; EC P-256).
 * The first half makes certificates: text in, PEM text out, no file, no clock. The second joins a TLS connection to a plain descriptor
 * on the loop, byte for byte, so that what speaks over a unix socket reaches another host without knowing it.
 */
#ifndef VIKING_TLS_H
#define VIKING_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/loop.h>

#define VK_TLS_PEM_MAX       (16u << 10) /* bytes of any PEM text that is read here */
#define VK_TLS_HOST_MAX      63
#define VK_TLS_ADDRESSES_MAX 16
#define VK_TLS_HOST_MS       (INT64_C(90) * 86400000) /* life of a host's certificate */
#define VK_TLS_CA_MS         (INT64_C(3650) * 86400000)

/* ---- certificates; what is returned is the caller's, keys to be wiped before they are freed ---- */

int vk_tls_key_new(char **ret_key, struct vk_err *err);
int vk_tls_ca_new(
	const char *name, int64_t now_ms, char **ret_cert, char **ret_key, struct vk_err *err);
/* A request for a certificate: shows that its sender has the key. Leaves the host; the key does not. */
int vk_tls_request(const char *key, char **ret_request, struct vk_err *err);

struct vk_tls_signing {
	const char *ca_cert, *ca_key;
	const char *host; /* the only name in the certificate, whatever the request says */
	const char *const *addresses; /* IP addresses in it, NULL-terminated; NULL = none */
	int64_t now_ms,
		valid_ms; /* valid from two days before now (clocks differ); valid_ms 0 = VK_TLS_HOST_MS */
};
/* VK_INVALID: not a request, not signed by its own key, or not a P-256 key. */
int vk_tls_sign(
	const struct vk_tls_signing *o, const char *request, char **ret_cert, struct vk_err *err);

struct vk_tls_info {
	char host[VK_TLS_HOST_MAX + 1]; /* its first DNS name; "" when it has none of a host */
	char key[65]; /* hex SHA-256 of the SubjectPublicKeyInfo, as `curl --pinnedpubkey` means it */
	int64_t from_ms, until_ms;
};
int vk_tls_info(const char *cert, struct vk_tls_info *ret, struct vk_err *err);
bool vk_tls_due(const struct vk_tls_info *i, int64_t now_ms); /* two thirds of its life are over */

/* ---- connections ---- */

struct vk_tls; /* the CA's certificates, own certificate and key */
int vk_tls_new(
	const char *ca, const char *cert, const char *key, struct vk_tls **ret, struct vk_err *err);
void vk_tls_free(struct vk_tls *t); /* connections made from it go on */

struct vk_tls_peer {
	char host[VK_TLS_HOST_MAX + 1]; /* from its certificate; "" = a client that showed none */
	char key[65];                   /* as in vk_tls_info; "" likewise */
	char protocol[32];              /* ALPN; "" = none */
};

/* Both are called at most once, from the loop, and may free the join. up: the handshake is done; returns the
 * descriptor to join (non-blocking, taken over), or a negative code with err filled to refuse. end: the last call;
 * err->code 0 = both sides ended in order; everything is closed. */
struct vk_tls_join;
typedef int vk_tls_up_fn(
	void *arg, struct vk_tls_join *j, const struct vk_tls_peer *peer, struct vk_err *err);
typedef void vk_tls_end_fn(void *arg, struct vk_tls_join *j, const struct vk_err *err);
struct vk_tls_opts {
	struct vk_loop *loop;
	int64_t handshake_ms; /* 0 = 10 s, the connect included */
	int64_t stall_ms; /* longest wait for a side to take bytes, or to end after the other has; 0 = 30 s */
	vk_tls_up_fn *up;
	vk_tls_end_fn *end;
	void *arg;
};
/* fd: a connected TCP socket (for vk_tls_connect it may still be connecting), non-blocking, taken over. A dead peer is
 * noticed within about 5 s also when nothing is sent. A server takes clients without a certificate for protocols not
 * beginning with "viking-" and tells that by peer->host. */
struct vk_tls_join *vk_tls_accept(const struct vk_tls *t, const struct vk_tls_opts *o, int fd);
/* The server must be `host` and speak `protocol`. */
struct vk_tls_join *vk_tls_connect(const struct vk_tls *t, const struct vk_tls_opts *o, int fd,
	const char *host, const char *protocol);
/* Ends it ms from now, or once the peer has sent more than so many bytes. For strangers; from up. */
void vk_tls_join_limit(struct vk_tls_join *j, int64_t ms, uint64_t bytes);
void vk_tls_join_free(struct vk_tls_join *j); /* end is not called any more */

#endif
