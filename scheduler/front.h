/* The other hosts and how they are reached, for viking-front (docs/protocol.md 9). */
#ifndef SCHEDULER_FRONT_H
#define SCHEDULER_FRONT_H

#include "api.h"
#include "dial.h"

/* Makes the table anew from the /host rows, and sends it if it differs. Pure but for that. */
void front_refresh(struct sched *s);
json_t *front_table(const struct state *st, const char *own); /* {"hosts": {...} or null} */

/* 0 if own may act for the cluster; DENIED when others have an address there and own has none: it was removed. */
int front_check_member(const struct state *st, const char *own, struct vk_err *err);

/* Sends the request to host's scheduler with the caller's role and token, and its answer back, as a stream, a body or a 101. Who
 * calls it has found the caller (peer_identify): there he is believed. Takes c over; needs c->route NULL: it is audited there. */
void front_forward(struct call *c, const char *host);
/* The same request, asked for the caller's own use of the answer. */
struct dial *front_ask(struct sched *s, const struct vk_req *r, const char *host, const char *whom,
	const struct dial_events *ev, void *arg);
void front_end_all(struct sched *s, const struct vk_err *why);

#endif
