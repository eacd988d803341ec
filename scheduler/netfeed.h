/*
 * Those who follow the network document: resolver, link proxy, firewall; and what each says of it. As with routes, nothing is sent
 * before an agent has reported in full after our start: what they hold stays in force.
 */
#ifndef SCHEDULER_NETFEED_H
#define SCHEDULER_NETFEED_H

#include "hub.h"

struct netfeed;
struct netfeed *netfeed_new(struct sched *s);
void netfeed_free(struct netfeed *n);
void netfeed_refresh(struct sched *s);
void netfeed_watch(struct sched *s, struct vk_req *r);
const json_t *netfeed_doc(const struct sched *s); /* NULL before the first */

/* who: "dns", "links" or "firewall" of a host ("" = ours). */
int netfeed_ack(
	struct sched *s, const char *host, const char *who, const json_t *body, struct vk_err *err);
/* The last acknowledgement, NULL if there was none since our start. */
const json_t *netfeed_acked(const struct sched *s, const char *host, const char *who);

#endif
