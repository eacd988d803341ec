/*
 * The HTTP API: one table of routes (api.c), each with the verb or roles it needs; handlers by noun in api_*.c. A
 * handler owns its call and ends it with exactly one of the call_* answers, now or from a callback.
 */
#ifndef SCHEDULER_API_H
#define SCHEDULER_API_H

#include <viking/id.h>

#include "hub.h"
#include "op.h"
#include "rights.h"
#include "router.h"
#include "txn.h"

struct route;
struct call {
	struct sched *s;
	struct vk_req *r; /* NULL: the client went away before an answer */
	const struct route *route;
	struct caller who;
	char host[VK_NAME_MAX +
		1];             /* the host it comes from, which vouches for who; "" = this one */
	char *part[2];          /* what {stack} and the second pattern word matched */
	const char *stack;      /* part of {stack}, or NULL */
	json_t *body;           /* object, or NULL when none was sent */
	json_t *state;          /* handlers' own, freed with the call */
	router_wait_fn *routed; /* of call_commit_routed */
	char key_role[16];      /* copies behind who */
	json_t *globs;
	char token[65];
	char fingerprint[64];
};

typedef void route_fn(struct call *c);
struct route {
	const char *method, *path; /* "/v1/stacks/{stack}/ps" */
	enum verb verb;
	unsigned roles; /* when set: only these of our processes (bits) */
	bool change;    /* changes something: audited and synced before the answer */
	route_fn *fn;
};
extern const struct route routes[];
extern const size_t routes_n;

void api_request(void *arg, struct vk_req *r);            /* vk_httpd_fn; arg = struct sched */
struct call *call_new(struct sched *s, struct vk_req *r); /* nothing is known of it yet */
/* Doctor of a host that waits: what it sees of itself, and then the leader's answer to the same request. */
void api_doctor_standby(struct call *c, const char *leader);
void api_print_routes(FILE *out); /* "METHOD PATH" lines, for the test of docs/openapi.json */

void call_json(struct call *c, int status, json_t *body); /* steals body */
void call_ok(struct call *c);                             /* {} */
void call_text_answer(struct call *c, const char *type, const struct vk_buf *text); /* 200 */
void call_error(struct call *c, const struct vk_err *err);
/* The request goes on as a stream of somebody else's: audited as accepted; returns it; c is freed. */
struct vk_req *call_take(struct call *c);
/* A handler that answers from a callback: c stays when its client goes, with r NULL. */
void call_outlive(struct call *c);
/* Commits t and answers answer (stolen; NULL = {}) after it. */
void call_commit(struct call *c, struct txn *t, json_t *answer);
/* Commits t, waits until every router serves it (at most route_ack_ms), and has routed(c, reached) answer. */
void call_commit_routed(struct call *c, struct txn *t, router_wait_fn *routed);
router_wait_fn call_served; /* {"served": reached} */
/* Submits op, with the request as its stream; ?wait=1 is honoured. */
void call_submit(struct call *c, struct op *op, enum op_busy busy);
struct stack *call_stack(struct call *c, struct vk_err *err); /* NULL: err NOTFOUND */
const char *call_text(const struct call *c, const char *key); /* of the body; NULL if absent */

/* Handlers, by noun. */
route_fn api_ping, api_version, api_cluster, api_cluster_move;
route_fn api_keycheck, api_session, api_git, api_git_moved, api_git_gone, api_push_check, api_push;
route_fn api_builder_watch, api_builder_job, api_builder_facts, api_agent_watch, api_agent_status,
	api_agent_host;
route_fn api_router_watch, api_router_ack, api_router_drained, api_web_watch, api_web_ack;
route_fn api_net_watch, api_front_watch, api_dns_ack, api_firewall_ack, api_links_ack, api_firewall;
route_fn api_keys, api_keys_add, api_keys_remove;
route_fn api_stacks, api_stacks_create, api_stack_info, api_stack_destroy, api_stack_rename,
	api_stack_lock, api_stack_unlock;
route_fn api_config, api_config_change;
route_fn api_domains, api_domains_add, api_domains_remove;
route_fn api_certs, api_certs_add, api_certs_remove, api_certs_watch, api_certs_job, api_certs_auto,
	api_certs_challenge, api_router_cert, api_maintenance, api_hold;
route_fn api_metrics, api_web_metrics, api_router_stats, api_router_tally, api_router_page;
route_fn api_buildpacks, api_buildpacks_add, api_buildpacks_set, api_buildpacks_remove,
	api_buildpacks_clear;
route_fn api_ps, api_scale, api_restart, api_stop, api_start, api_rebuild, api_redeploy;
route_fn api_releases, api_release_info, api_rollback, api_promote, api_abort;
route_fn api_builds, api_build_output, api_build_cancel;
route_fn api_logs, api_exec, api_run;
route_fn api_plan, api_rebalance;
route_fn api_hosts, api_host_info, api_host_label, api_host_address, api_host_drain,
	api_host_undrain, api_host_remove;
route_fn api_invites, api_invites_add, api_invites_remove, api_join;
route_fn api_events, api_explain, api_state, api_doctor, api_volumes, api_volume_remove, api_gc,
	api_backup, api_restore;

#endif
