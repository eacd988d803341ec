/*
 * One instance: a state machine from "wanted" to "healthy" and from "not wanted" to "gone". It holds at
 * most one container; a changed definition or generation stops it and makes a new one. Every engine call
 * is asynchronous, at most one is in flight per instance, and what comes next is decided by inst_step
 * when it ends, so that a document may change at any moment.
 */
#ifndef AGENT_INSTANCE_H
#define AGENT_INSTANCE_H

#include "agent.h"
#include "logfollow.h"
#include "probe.h"
#include "supervise.h"
#include "tail.h"

enum phase {
	PHASE_NONE,  /* no container, nothing going on */
	PHASE_WAIT,  /* back-off or retry timer, then NONE */
	PHASE_PULL,  /* the image is being pulled */
	PHASE_QUEUE, /* waits for a start slot */
	PHASE_CREATE,
	PHASE_START,
	PHASE_INSPECT, /* verifies what was started or adopted */
	PHASE_UP,      /* verified in this life of the agent */
	PHASE_DEATH,   /* ended: exit status and last lines are fetched */
	PHASE_STOP,
	PHASE_DRAIN, /* waits up to 1 s for the last log lines */
	PHASE_REMOVE,
	PHASE_COUNT
};

struct inst {
	struct agent *a;
	struct inst *next;
	char *name, *stack, *node;
	struct desired_instance *want; /* in the agent's document; NULL = to go */
	enum phase phase;
	uint64_t touched; /* listing number at the last change */
	struct vk_engine_op *op;
	struct vk_timer *timer; /* back-off, retry, drain */
	struct vk_timer *heal;  /* 60 s of health; health time-out before */
	struct images_wait *pull;
	unsigned pull_failures;
	bool slot;
	/* container */
	char id[65]; /* "" = none */
	char hash[65];
	bool dead;    /* known not to run */
	bool outside; /* somebody else stopped or killed it */
	bool oom;
	bool falls;          /* with another of its group: to be stopped */
	bool timed_out;      /* not healthy within health_timeout_ms */
	int pid;             /* of its first process on this host */
	unsigned disk_round; /* of diskwatch.h: when it was asked about last */
	uint64_t stop_ms;
	int64_t started_ms;
	int64_t backoff_ms; /* to wait once the dead container is removed */
	char ip[64];
	json_t *published; /* {"80/tcp": 32768} */
	json_t *resolver;  /* the addresses it was made with, or NULL */
	json_t *reached;   /* spec_reached() */
	struct logfollow *follow;
	struct probe *probe;
	enum health health;
	char probe_text[200];
	struct supervise sup;
	char reason[256];
	struct tail *tail; /* the last lines, being read */
	int end_code;      /* of the death whose last lines are being read */
	int64_t end_lived_ms;
	bool found_dead; /* when it was adopted */
};

struct inst *inst_new(struct agent *a, const char *name, const char *stack, const char *node);
void inst_free(struct inst *i);
struct inst *inst_find(struct agent *a, const char *name);
struct inst *inst_by_container(struct agent *a, const char *id);
/* Decides and does the next thing. May free i when it is gone and not wanted. */
void inst_step(struct inst *i);
void inst_want(struct inst *i, struct desired_instance *want); /* no step */
/* Takes a container found by a listing or a name clash. hash: its viking.hash label. */
void inst_adopt(struct inst *i, const char *id, const char *hash, bool running);
void inst_died(struct inst *i, bool outside);    /* its container does not run any more */
void inst_lost(struct inst *i);                  /* its container is gone */
void inst_moved(struct inst *i, const char *ip); /* a listing shows this address */
bool inst_busy(const struct inst *i, uint64_t listing);
const char *inst_state(const struct inst *i); /* as reported */
json_t *inst_report(const struct inst *i);    /* STATUS of the protocol; new reference */

/* Between the files of the state machine. */
void inst_phase(struct inst *i, enum phase p);
void inst_reason(struct inst *i, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void inst_retry(struct inst *i, int64_t ms); /* PHASE_WAIT for so long, then step */
void inst_start(struct inst *i);             /* start.c: from a free slot to verified */
void inst_verify(struct inst *i);
void inst_over_disk(
	struct inst *i, uint64_t used); /* health.c: it has written more than its disk */
void inst_give_slot(struct inst *i);
void inst_stop(struct inst *i); /* stop.c: SIGTERM, wait, kill, remove */
void inst_remove(struct inst *i);
void inst_death(struct inst *i);                       /* death.c: why did it end, and what now */
struct supervise_rule inst_rule(const struct inst *i); /* i is wanted */
/* group.c: another of its group is to stop or start anew with it, as its policy says. */
void inst_group_falls(struct inst *i, enum supervise_next next);
void inst_start_failed(struct inst *i, const char *why);
void inst_up(struct inst *i);     /* health.c: runs and is verified */
void inst_follow(struct inst *i); /* its log into the ring, if that is not done yet */
void inst_down(struct inst *i);
void inst_reprobe(struct inst *i); /* the document changed its health check */
void inst_save(struct inst *i, bool now);
bool inst_away(const struct vk_err *err); /* the engine did not answer */

#endif
