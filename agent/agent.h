/*
 * The agent: one loop that makes this host's containers equal the desired document. It owns the parts
 * below; the parts know one another only through this struct. Level-triggered: a document, an engine
 * event, the end of an engine call and the resync every 30 s all end in "look at the instance, do the next
 * thing" (inst_step), so a lost event costs time, never the wanted state.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/engine.h>
#include <viking/mem.h>
#include <viking/role.h>

#include "desired.h"

#define AGENT_STARTS_CPU \
	2 /* engine starts at once for each core: those are the limit, not the daemon */
#define AGENT_RESYNC_MS 30000
#define AGENT_CALL_MS   15000 /* an engine call that is not known to be slow */
#define AGENT_PULSE_MS \
	5000 /* how often the engine is asked for a sign of life, and how long it has for it */
#define AGENT_LOAD_STEP 50 /* hundredths: another load than that is told, with a listing */
#define AGENT_ID_MAX    64
#define AGENT_RETRY_MS  1000 /* after the engine did not answer */

struct inst;

struct agent {
	const struct vk_config *config;
	struct vk_secret_key key; /* of the document on disk */
	struct vk_loop *loop;
	struct vk_engine *engine;
	struct vk_buf id;        /* host_id() */
	uint64_t load;           /* as the scheduler knows it */
	char root[17];           /* label viking.root of all that is ours */
	struct desired *desired; /* NULL until the first document */
	struct inst *insts;
	unsigned starting; /* start slots taken, of starts_max */
	unsigned starts_max;
	uint64_t listing; /* number of the last listing asked for */
	bool listed;      /* a listing was applied: nothing is created before */
	bool engine_up;
	json_t *counters; /* name -> supervise record */
	struct nets *nets;
	struct ports *ports;
	struct images *images;
	struct logset *logs;
	struct events *events;
	struct diskwatch *diskwatch;
	struct status *status;
	struct relay *relay;
	struct killer *killers; /* that wait for the engine */
	struct vk_timer *resync, *save, *settle, *pulse;
	struct vk_engine_op *list_op, *info_op, *pulse_op;
	bool list_again;
	bool settled; /* adopted containers have been seen: reports go out */
	int64_t settle_until;
	struct vk_api_watch *watch;
};

extern const struct vk_role_ops agent_role;

/* A new document from the scheduler or the disk; an epoch lower than one seen is refused. */
int agent_desire(struct agent *a, const json_t *doc, struct vk_err *err);
void agent_step_all(struct agent *a); /* a dependency changed */
void agent_slots(struct agent *a);    /* starts what waits while slots are free */
void agent_resync(struct agent *a);   /* lists the containers now */
void agent_settle(struct agent *a);   /* an adopted container became healthy or not */
void agent_engine_failed(struct agent *a, const struct vk_err *err); /* a call found it away */
/* The counters of an instance: NULL record forgets. now: on disk before the call returns. */
void agent_count(struct agent *a, const char *name, json_t *record, bool now);
const json_t *agent_counted(const struct agent *a, const char *name); /* borrowed */
/* RFC 3339 as the engine prints it; 0 if malformed. */
int64_t agent_time_ns(const char *text, size_t n, size_t *ret_used);

#endif
