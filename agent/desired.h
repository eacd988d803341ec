/*
 * The desired document: what the scheduler wants on this host (docs/protocol.md section 6). Parsed by field
 * tables. A document whose frame is wrong is refused whole (the last good one stays in force); an
 * instance that is wrong or that the host's policy forbids is kept with the reason in `refused`, so
 * that it is reported as failed and never stands in the way of others.
 */
#ifndef AGENT_DESIRED_H
#define AGENT_DESIRED_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/crypt.h>
#include <viking/err.h>
#include <viking/mem.h>

struct desired_health {
	char *type; /* "http", "tcp", "cmd", "none" */
	char *path;
	uint64_t port;
	uint64_t below; /* http: a status below this is healthy; 0 = 400 */
	json_t *cmd;
	uint64_t interval_ms, timeout_ms, retries, start_ms;
	char *on_unhealthy; /* "restart", "kill"; NULL = it is left to run */
};

struct desired_instance {
	char *name, *stack, *node;
	uint64_t version, n, release;
	char *kind; /* "app" or "task" */
	char *image;
	json_t *cmd, *entrypoint; /* array or NULL */
	char *cwd;
	json_t *env;                       /* object of strings or NULL */
	json_t *expose, *publish, *mounts; /* arrays of objects or NULL */
	char *reach;              /* address of this host at which others reach it; NULL = not */
	char *network;            /* NULL or "" = the engine's default */
	json_t *aliases;          /* array of strings or NULL */
	json_t *dns, *dns_search; /* addresses and domains, or NULL */
	json_t *health_doc;
	struct desired_health health;
	uint64_t memory, cpus_milli, pids;
	uint64_t disk; /* the most it may write over its image (diskwatch.h); 0 = no limit */
	uint64_t stop_ms, health_timeout_ms, gen;
	char *restart;         /* "always" or "never" */
	int64_t restart_count; /* -1 = the default */
	bool privileged;
	char *network_mode, *pid_mode;
	char *group, *group_role, *group_policy; /* group.c; NULL = none */
	char *want;                              /* "run" or "stop" */
	/* made here */
	char hash[65];         /* of what the container is made of; equal hash = no restart */
	struct vk_err refused; /* code 0 = accepted */
};

struct desired_network {
	char *name, *subnet, *stack;
};
struct desired_volume {
	char *name, *stack, *node, *path;
};
struct desired_remove {
	char *volume, *network; /* exactly one is set */
};

struct desired {
	uint64_t rev, epoch;
	struct desired_network *networks;
	struct desired_volume *volumes;
	struct desired_instance *instances; /* names are unique */
	struct desired_remove *removes;
	size_t n_networks, n_volumes, n_instances, n_removes;
	struct vk_strv forget_logs;
	struct vk_strv move_logs; /* from, to, from, to: logs of renamed stacks */
};

int desired_parse(const json_t *doc, struct desired **ret, struct vk_err *err);
void desired_free(struct desired *d);
struct desired_instance *desired_find(
	const struct desired *d, const char *name); /* borrowed, NULL */
/* One instance object, for `run` requests; refused is not used: the error is returned. */
int desired_instance_parse(const json_t *obj, struct desired_instance *ret, struct vk_err *err);
void desired_instance_release(struct desired_instance *i);

bool desired_is_task(const struct desired_instance *i);
bool desired_wants_stop(const struct desired_instance *i);

/* The document on disk, mode 0600 and sealed: it holds the applications' configuration, which is nowhere in the clear
 * in our files. Load: VK_NOTFOUND at first start. */
int desired_save(
	const char *path, const struct vk_secret_key *key, const json_t *doc, struct vk_err *err);
int desired_load(
	const char *path, const struct vk_secret_key *key, json_t **ret_doc, struct vk_err *err);

#endif
