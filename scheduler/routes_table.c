/* The one table of routes: docs/openapi.json has the same, which a test checks. */
#include <viking/mem.h>

#include "api.h"

#define PUBLIC(method_, path_, verb_, change_, fn_) \
	{ \
		.method = method_, .path = path_, .verb = VERB_##verb_, .change = change_, \
		.fn = fn_ \
	}
#define INTERNAL(method_, path_, roles_, fn_) \
	{ \
		.method = method_, .path = path_, .roles = roles_, .fn = fn_ \
	}
#define STACK "/v1/stacks/{stack}"

const struct route routes[] = {
	PUBLIC("GET", "/v1/ping", NONE, false, api_ping),
	PUBLIC("GET", "/v1/version", NONE, false, api_version),
	PUBLIC("GET", "/v1/cluster", READ, false, api_cluster),
	PUBLIC("POST", "/v1/cluster/move", ADMIN, true, api_cluster_move),

	INTERNAL("POST", "/v1/internal/keycheck", ROLE_RECEIVER, api_keycheck),
	INTERNAL("POST", "/v1/internal/session", ROLE_RECEIVER, api_session),
	INTERNAL("POST", "/v1/internal/git", ROLE_RECEIVER, api_git),
	INTERNAL("POST", "/v1/internal/git/moved", ROLE_RECEIVER | ROLE_HOOK, api_git_moved),
	INTERNAL("POST", "/v1/internal/git/gone", ROLE_RECEIVER, api_git_gone),
	INTERNAL("GET", "/v1/internal/builder/watch", ROLE_BUILDER, api_builder_watch),
	INTERNAL("POST", "/v1/internal/builder/jobs/{id}", ROLE_BUILDER, api_builder_job),
	INTERNAL("POST", "/v1/internal/builder/facts", ROLE_BUILDER, api_builder_facts),
	INTERNAL("GET", "/v1/internal/agent/watch", ROLE_AGENT, api_agent_watch),
	INTERNAL("POST", "/v1/internal/agent/status", ROLE_AGENT, api_agent_status),
	INTERNAL("POST", "/v1/internal/agent/host", ROLE_AGENT, api_agent_host),
	INTERNAL("GET", "/v1/internal/router/watch", ROLE_ROUTER, api_router_watch),
	INTERNAL("POST", "/v1/internal/router/ack", ROLE_ROUTER, api_router_ack),
	INTERNAL("POST", "/v1/internal/router/drained", ROLE_ROUTER, api_router_drained),
	INTERNAL("GET", "/v1/internal/net/watch", ROLE_ROUTER | ROLE_DNS | ROLE_FIREWALL,
		api_net_watch),
	INTERNAL("POST", "/v1/internal/dns/ack", ROLE_DNS, api_dns_ack),
	INTERNAL("POST", "/v1/internal/links/ack", ROLE_ROUTER, api_links_ack),
	INTERNAL("POST", "/v1/internal/firewall/ack", ROLE_FIREWALL, api_firewall_ack),
	INTERNAL("POST", "/v1/internal/router/stats", ROLE_ROUTER, api_router_stats),
	INTERNAL("POST", "/v1/internal/router/tally", ROLE_ROUTER, api_router_tally),
	INTERNAL("GET", "/v1/internal/router/certs/{id}", ROLE_ROUTER, api_router_cert),
	INTERNAL("GET", "/v1/internal/router/pages/{id}", ROLE_ROUTER, api_router_page),
	INTERNAL("GET", "/v1/internal/certs/watch", ROLE_CERTS, api_certs_watch),
	INTERNAL("POST", "/v1/internal/certs/jobs/{id}", ROLE_CERTS, api_certs_job),
	INTERNAL("POST", "/v1/internal/certs/challenges", ROLE_CERTS, api_certs_challenge),
	INTERNAL("GET", "/v1/internal/front/watch", ROLE_FRONT, api_front_watch),
	/* audited: it makes a host known */
	{.method = "POST",
		.path = "/v1/internal/join",
		.roles = ROLE_STRANGER,
		.change = true,
		.fn = api_join},
	INTERNAL("GET", "/v1/internal/web/watch", ROLE_WEB, api_web_watch),
	INTERNAL("POST", "/v1/internal/web/ack", ROLE_WEB, api_web_ack),
	INTERNAL("GET", "/v1/internal/metrics", ROLE_WEB, api_web_metrics),

	PUBLIC("GET", "/v1/keys", ADMIN, false, api_keys),
	PUBLIC("POST", "/v1/keys", ADMIN, true, api_keys_add),
	PUBLIC("DELETE", "/v1/keys/{name}", ADMIN, true, api_keys_remove),

	PUBLIC("GET", "/v1/stacks", READ, false, api_stacks),
	PUBLIC("POST", "/v1/stacks", PUSH, true, api_stacks_create),
	PUBLIC("GET", STACK, READ, false, api_stack_info),
	PUBLIC("DELETE", STACK, ADMIN, true, api_stack_destroy),
	PUBLIC("POST", STACK "/rename", ADMIN, true, api_stack_rename),
	PUBLIC("POST", STACK "/lock", RELEASE, true, api_stack_lock),
	PUBLIC("POST", STACK "/unlock", RELEASE, true, api_stack_unlock),
	PUBLIC("POST", STACK "/push/check", PUSH, true, api_push_check),
	PUBLIC("POST", STACK "/push", PUSH, true, api_push),

	PUBLIC("GET", STACK "/config", CONFIG, false, api_config),
	PUBLIC("PATCH", STACK "/config", CONFIG, true, api_config_change),
	PUBLIC("GET", STACK "/domains", READ, false, api_domains),
	PUBLIC("POST", STACK "/domains", CONFIG, true, api_domains_add),
	PUBLIC("DELETE", STACK "/domains/{domain}", CONFIG, true, api_domains_remove),

	PUBLIC("GET", STACK "/certs", READ, false, api_certs),
	PUBLIC("POST", STACK "/certs", CONFIG, true, api_certs_add),
	PUBLIC("DELETE", STACK "/certs/{id}", CONFIG, true, api_certs_remove),
	PUBLIC("POST", STACK "/certs/auto", CONFIG, true, api_certs_auto),
	PUBLIC("POST", STACK "/maintenance", RELEASE, true, api_maintenance),
	PUBLIC("POST", STACK "/hold", RELEASE, true, api_hold),
	PUBLIC("GET", STACK "/buildpacks", READ, false, api_buildpacks),
	PUBLIC("POST", STACK "/buildpacks/add", CONFIG, true, api_buildpacks_add),
	PUBLIC("POST", STACK "/buildpacks/set", CONFIG, true, api_buildpacks_set),
	PUBLIC("POST", STACK "/buildpacks/remove", CONFIG, true, api_buildpacks_remove),
	PUBLIC("POST", STACK "/buildpacks/clear", CONFIG, true, api_buildpacks_clear),

	PUBLIC("GET", STACK "/ps", READ, false, api_ps),
	PUBLIC("POST", STACK "/ps/scale", PS, true, api_scale),
	PUBLIC("POST", STACK "/ps/restart", PS, true, api_restart),
	PUBLIC("POST", STACK "/ps/stop", PS, true, api_stop),
	PUBLIC("POST", STACK "/ps/start", PS, true, api_start),
	PUBLIC("POST", STACK "/ps/rebuild", PS, true, api_rebuild),
	PUBLIC("POST", STACK "/ps/redeploy", PS, true, api_redeploy),

	PUBLIC("GET", STACK "/releases", READ, false, api_releases),
	PUBLIC("GET", STACK "/releases/{n}", READ, false, api_release_info),
	PUBLIC("POST", STACK "/rollback", RELEASE, true, api_rollback),
	PUBLIC("POST", STACK "/promote", RELEASE, true, api_promote),
	PUBLIC("POST", STACK "/abort", RELEASE, true, api_abort),

	PUBLIC("GET", "/v1/builds", READ, false, api_builds),
	PUBLIC("GET", "/v1/builds/{id}/output", READ, false, api_build_output),
	PUBLIC("POST", "/v1/builds/{id}/cancel", RELEASE, true, api_build_cancel),

	PUBLIC("GET", STACK "/logs", LOGS, false, api_logs),
	PUBLIC("POST", STACK "/exec", RUN, true, api_exec),
	PUBLIC("POST", STACK "/run", RUN, true, api_run),

	PUBLIC("GET", "/v1/plan/{stack}", READ, false, api_plan),
	PUBLIC("POST", "/v1/rebalance", ADMIN, true, api_rebalance),
	PUBLIC("GET", "/v1/hosts", READ, false, api_hosts),
	PUBLIC("GET", "/v1/hosts/{host}", READ, false, api_host_info),
	PUBLIC("POST", "/v1/hosts/{host}/label", ADMIN, true, api_host_label),
	PUBLIC("POST", "/v1/hosts/{host}/address", ADMIN, true, api_host_address),
	PUBLIC("POST", "/v1/hosts/{host}/drain", ADMIN, true, api_host_drain),
	PUBLIC("POST", "/v1/hosts/{host}/undrain", ADMIN, true, api_host_undrain),
	PUBLIC("DELETE", "/v1/hosts/{host}", ADMIN, true, api_host_remove),
	PUBLIC("GET", "/v1/invites", ADMIN, false, api_invites),
	PUBLIC("POST", "/v1/invites", ADMIN, true, api_invites_add),
	PUBLIC("DELETE", "/v1/invites/{id}", ADMIN, true, api_invites_remove),

	PUBLIC("GET", "/v1/events", READ, false, api_events),
	PUBLIC("GET", "/v1/explain/{stack}/{node}", READ, false, api_explain),
	PUBLIC("GET", "/v1/state", ADMIN, false, api_state),
	PUBLIC("GET", "/v1/firewall", ADMIN, false, api_firewall),
	PUBLIC("GET", "/metrics", ADMIN, false, api_metrics),
	PUBLIC("GET", "/v1/doctor", ADMIN, false, api_doctor),
	PUBLIC("GET", "/v1/volumes", READ, false, api_volumes),
	PUBLIC("DELETE", "/v1/volumes/{name}", ADMIN, true, api_volume_remove),
	PUBLIC("POST", "/v1/gc", ADMIN, true, api_gc),
	PUBLIC("GET", "/v1/backup", ADMIN, true, api_backup),
	PUBLIC("POST", "/v1/restore", ADMIN, true, api_restore),
};
const size_t routes_n = VK_COUNT(routes);
