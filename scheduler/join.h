/*
 * What a host that wants to join says (POST /v1/internal/join): {"token": the invitation's secret, "name", "addr", "port",
 * "request": PEM, "version": of its viking}. It comes from a stranger: nothing of it is believed that the invitation or the rows do not allow. Pure.
 */
#ifndef SCHEDULER_JOIN_H
#define SCHEDULER_JOIN_H

#include "state.h"

struct join_request { /* borrowed from the body */
	const char *name, *addr, *request, *version;
	char invite[65]; /* name of the invitation's row: SHA-256 of its secret */
	uint64_t port;
};
int join_parse(const json_t *body, struct join_request *ret, struct vk_err *err);

/* May it? key: of its request, hex SHA-256. The same host with the same key may come again as long as the invitation
 * stands: its first answer may have been lost. DENIED: the invitation; CONFLICT: its name, address or version. */
int join_check(const struct state *st, const struct join_request *q, const char *key,
	int64_t now_ms, struct vk_err *err);

/* Can the others reach the host there, and is no other one there? */
int join_place_check(const struct state *st, const char *name, const char *addr, uint64_t port,
	struct vk_err *err);

/* An address and a port as in /host rows. */
int join_address_check(const char *addr, int64_t port, struct vk_err *err);

#endif
