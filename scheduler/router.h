/*
 * Routers and webs of all hosts: the tables they follow, the same for all, and what each has acknowledged. Until the agents
 * have reported in full after our start no table is sent: what they hold goes on serving. host "" = ours.
 */
#ifndef SCHEDULER_ROUTER_H
#define SCHEDULER_ROUTER_H

#include "hub.h"

struct router *router_new(struct sched *s);
void router_free(struct router *t);
void router_refresh(struct sched *s);
void router_watch(struct sched *s, const char *host, struct vk_req *r);
void web_watch(struct sched *s, const char *host, struct vk_req *r);
int router_ack(struct sched *s, const char *host, const json_t *body, struct vk_err *err);
int web_ack(struct sched *s, const char *host, const json_t *body, struct vk_err *err);

/* A point to wait for: what was sent when it was taken. */
struct route_mark {
	uint64_t routes, sites;
};
struct route_mark router_mark(const struct sched *s);
enum route_wait { ROUTE_DONE, ROUTE_WAITS, ROUTE_NO_ROUTER, ROUTE_NO_WEB };
/* Done when all have it that are connected, or whose host is there (its haproxy serves on without the router). A host that is
 * away is not waited for: its router gets a new table before anything else, and ports are not given again (docs/protocol.md 7). */
enum route_wait router_reached(const struct sched *s, const struct route_mark *m, bool sites);
/* A host whose router has it not yet. */
const char *router_missing(const struct sched *s, const struct route_mark *m);
/* Has every router that is waited for a key, its host's name, in `said`? */
bool router_all_said(const struct sched *s, const json_t *said);
/* Calls fn, later, when router and web (if one is there) have what was sent by now, or, reached false, after ms or when no router is
 * connected. */
typedef void router_wait_fn(void *arg, bool reached);
void router_wait(struct sched *s, int64_t ms, router_wait_fn *fn, void *arg);
/* What the router could not do for the stack at its last acknowledgement, or NULL. */
const char *router_complaint(const struct sched *s, const char *stack);
/* Why the router cannot apply its table at all (a full disk), or NULL. */
const char *router_trouble(const struct sched *s);
const json_t *router_table(const struct sched *s);
bool router_live(const struct sched *s);
bool web_live(const struct sched *s);
/* "ready", "canary" or "drain" in the table that stands; NULL: it lists no such server. */
const char *router_state(const struct sched *s, const char *stack, const char *instance);

#endif
