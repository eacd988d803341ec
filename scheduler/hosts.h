/*
 * Hosts and their agents: the document each converges to, and what it reports. Of a host only what it is (capacity,
 * roles) is stored; reports are kept in memory, and a host lives while its agent is connected. After a restart nothing
 * is routed anew until all agents have reported in full, but for those that do not come within cluster.host_grace.
 */
#ifndef SCHEDULER_HOSTS_H
#define SCHEDULER_HOSTS_H

#include "hub.h"
#include "instances.h"

/* The agent measures deploy.health_timeout from the start of each container and ends it with the container's last
 * lines; who waits for it waits so much longer: for the creating before, and for an agent that says nothing. */
#define HOSTS_HEALTH_SLACK_MS 10000

enum inst_state {
	INST_PULLING,
	INST_STARTING,
	INST_RUNNING,
	INST_HEALTHY,
	INST_UNHEALTHY,
	INST_BACKOFF,
	INST_EXITED,
	INST_FAILED,
	INST_STOPPING,
	INST_GONE,
	INST_UNKNOWN,
};

struct inst_status {
	char *name;
	enum inst_state state;
	uint64_t gen;
	char *container, *ip, *reason, *probe;
	int64_t started_ms, exit;
	uint64_t restarts;
	bool oom, exited;  /* exited: exit is set */
	bool old_resolver; /* its container asks elsewhere for names */
	json_t *tail, *published;
	json_t *reach; /* {"addr", "ports": {"80": 20001}}: for other hosts, or NULL */
};

enum host_life {
	HOST_UP,   /* its agent is connected */
	HOST_AWAY, /* for less than cluster.host_grace: what it runs is waited for */
	HOST_LOST, /* for longer, or its machine is silent (rollcall.h) */
};

struct hosts *hosts_new(struct sched *s);
void hosts_free(struct hosts *h);
void hosts_refresh(struct sched *s); /* makes the wanted document anew and sends it if it differs */
const json_t *hosts_wanted(const struct sched *s); /* our host's */
/* host NULL = ours. id: of the agent's installation, or NULL. CONFLICT: another goes by this name; r is not answered then. */
int hosts_watch(
	struct sched *s, const char *host, const char *id, struct vk_req *r, struct vk_err *err);
/* May something new go there? An agent that has been away for a moment may be of a host that is lost. */
bool hosts_fit(const struct sched *s, const char *host);
enum host_life hosts_life(const struct sched *s, const char *host);
/* Never ours: without its agent, what it runs is waited for. */
bool hosts_lost(const struct sched *s, const char *host);
int hosts_status(struct sched *s, const json_t *body, struct vk_err *err);
void hosts_facts_set(struct sched *s, const json_t *body);
/* UNAVAILABLE when our host's engine has been gone for ms or longer. What runs then is cancelled after a while. */
int hosts_engine(const struct sched *s, int64_t ms, struct vk_err *err);
/* As its agent told last; NULL until then. host NULL = ours. */
const json_t *hosts_facts(const struct sched *s, const char *host);
int hosts_role_check(const char *role, struct vk_err *err); /* a word that nodes may ask for */
/* The host that shall run it, its stack; NULL = it is not wanted. */
const char *hosts_where(const struct sched *s, const char *instance);
const char *hosts_stack(const struct sched *s, const char *instance); /* likewise */
/* The socket of the agent of a host ("" = ours): on another it leads through viking-front. Caller frees. */
char *hosts_agent_socket(const struct sched *s, const char *host);
const struct inst_status *hosts_find(
	const struct sched *s, const char *instance); /* NULL: nothing is known of it */
/* Why it is as it is, in the agent's words without what "exits with status N" or "does not start" say; or NULL. */
const char *inst_why(const struct inst_status *st);
bool hosts_live(const struct sched *s);   /* our host's agent is connected */
bool hosts_synced(const struct sched *s); /* full reports have come since the start */
const char *inst_state_name(enum inst_state st);
inst_addr_fn hosts_address; /* arg = struct sched */
/* Number of a stack's instances that still have something on a host, by name prefix of the wanted list given. */
bool hosts_is_gone(const struct sched *s, const char *instance);

#endif
