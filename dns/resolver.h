/*
 * The parts of viking-dns, on one loop:
 *	resolver	the zone, and a listener for each stack's gateway address
 *	forward		questions that are not ours, over UDP, to the host's own resolvers
 *	stream		the same over TCP: answers too long for a datagram
 * Sizes and counts are bounded for each stack, so that one that floods is slow by itself.
 */
#ifndef DNS_RESOLVER_H
#define DNS_RESOLVER_H

#include <netinet/in.h>
#include <viking/role.h>

#include "zone.h"

#define DNS_UPSTREAMS_MAX 3
#define DNS_BATCH         64   /* datagrams read before others have their turn */
#define DNS_PENDING_MAX   128  /* forwarded questions of a stack under way */
#define DNS_STREAMS_MAX   32   /* TCP connections of a stack */
#define DNS_TRY_MS        2000 /* for one of the host's resolvers to answer */
#define DNS_STREAM_MS     10000
#define DNS_TTL           5 /* seconds */

struct resolver;

/* One stack's address. The sockets are bound whether or not the address is there yet (IP_FREEBIND). */
struct listener {
	struct resolver *r;
	struct listener *next;
	char *stack;
	uint32_t gateway, base, mask; /* host order */
	int udp_fd, tcp_fd;
	struct vk_io *udp, *tcp;
	struct pending *pending;
	struct stream *streams;
	size_t n_pending, n_streams;
	bool wanted, failed;
};

struct resolver {
	struct vk_role *role;
	struct vk_loop *l;
	const struct vk_config *c;
	struct zone *zone;
	struct listener *listeners;
	struct sockaddr_in upstream[DNS_UPSTREAMS_MAX];
	size_t n_upstream;
	struct vk_timer *again; /* addresses that could not be had are tried again */
};

extern const struct vk_role_ops dns_role;

/* A message that came to the listener from addr -> its answer's length in out, 0 = none, or *ret_foreign: it is to be
 * forwarded as it is. */
size_t resolver_answer(struct listener *s, uint32_t addr, const uint8_t *msg, size_t n, bool tcp,
	uint8_t *out, size_t max, struct dns_query *ret_q, bool *ret_foreign);
/* May addr ask here: a container of the stack, or this host? */
bool listener_serves(const struct listener *s, uint32_t addr);

/* forward.c */
void forward_ask(struct listener *s, const struct sockaddr_in *from, const uint8_t *msg, size_t n,
	const struct dns_query *q);
void forward_drop_all(struct listener *s);
/* The host's resolvers, as resolv.conf text or the setting names them; loopback ones are fine. */
size_t forward_upstreams(
	const char *text, bool resolv_conf, struct sockaddr_in ret[static DNS_UPSTREAMS_MAX]);

/* stream.c */
void stream_accept(struct listener *s);
void stream_drop_all(struct listener *s);

#endif
