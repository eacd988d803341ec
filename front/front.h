/*
 * The front process: TLS connections of other hosts to this host's API and agent sockets, and a pair of sockets for each
 * other host that lead to its (docs/protocol.md 9). Level-triggered by the scheduler's table of hosts.
 */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include <viking/role.h>

#include "creds.h"
#include "hosts.h"

enum service {
	SERVICE_API,
	SERVICE_AGENT,
	SERVICE_REGISTRY,
	SERVICE_RECEIVER,
	SERVICE_SITES,
	SERVICE_COUNT
};
struct service_row {
	const char *protocol; /* ALPN */
	const char *door;     /* below RUN/hosts/H */
	const char *socket;   /* where it leads to there: below RUN; NULL = the registry's port */
	const char *user;     /* who may use the doors, besides root and ourselves */
};
extern const struct service_row services[SERVICE_COUNT];

struct front {
	struct vk_loop *l;
	const struct vk_config *c;
	struct creds creds;
	struct hosts hosts;
	char *sockets[SERVICE_COUNT]; /* of this host */
	uid_t users[SERVICE_COUNT];   /* of services; (uid_t)-1 when there is no such user */
	int listening;
	struct vk_io *listener;
	struct vk_timer *again; /* takes up listening, or accepting, after a failure */
	struct door *doors;     /* doors.c */
	struct tunnel *tunnels; /* tunnel.c */
	unsigned n_tunnels, n_newcomers, n_strangers;
};

extern const struct vk_role_ops front_role;

#endif
