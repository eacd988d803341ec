/*
 * A deploy: from a push document, or from an earlier release, to instances that serve. One operation (op.h), one machine of
 * stages. Until the commit (one transaction: outcome, current release, ref still to move, configuration, drain) everything can
 * be taken back by dropping the overlay; after it the deploy has succeeded whatever happens.
 *
 *	BUILD    jobs of the builder, in the order of needs (s5, s6, s7)
 *	RELEASE  row v<N> "deploying" and the intent are written (s8)
 *	START    waves of new instances, each healthy before the next (s9, s10)
 *	ROUTE    new ones ready, old ones draining, acknowledged by router and web (s11)
 *	COMMIT   the transaction; then s4 (the hook moves the ref), s12, s13 go on behind
 *
 * A push with `rollout.canary` ends in a release on trial beside the serving one (deploy_canary.c): its COMMIT writes /canary
 * in place of /current. To promote it is a deploy without BUILD and RELEASE; to abort it is ROUTE and COMMIT alone.
 *
 * After a restart of the scheduler no deploy goes on: its client is gone. Rows still "deploying" become "cancelled"
 * (recover.c), and the wanted state is that of the serving release again.
 */
#ifndef SCHEDULER_DEPLOY_H
#define SCHEDULER_DEPLOY_H

#include "builds.h"
#include "op.h"
#include "packs.h"
#include "place.h"
#include "router.h"
#include "txn.h"

enum deploy_kind {
	DEPLOY_PUSH,
	DEPLOY_CONFIG,
	DEPLOY_ROLLBACK,
	DEPLOY_REDEPLOY,
	DEPLOY_REBUILD,
	DEPLOY_SCALE,
	DEPLOY_PROMOTE, /* the canary serves all */
	DEPLOY_ABORT    /* the canary goes */
};
enum deploy_stage {
	STAGE_NEW,
	STAGE_BUILD,
	STAGE_RELEASE,
	STAGE_START,
	STAGE_ROUTE,
	STAGE_COMMIT,
	STAGE_OVER
};

struct deploy_spec {
	enum deploy_kind kind;
	json_t *doc;                 /* push: reference taken */
	const char *ref, *old, *new; /* push; ref NULL: no branch moves with it (jobs.h) */
	const char *note;
	bool no_cache;
	json_t *set;                 /* config: {"K": sealed or null}, reference taken */
	bool rows_only;              /* config: stored, and left to the next release */
	unsigned to;                 /* rollback, 0 = the one before */
	const char *node;            /* redeploy: only this one; NULL = all */
	const struct vk_strv *nodes; /* or only these, over it; copied */
	const char *
		why; /* told in the history: instead of "redeploy of ...", behind a rollback; may be NULL */
	json_t *scale; /* scale: {"web": 2}, reference taken */
};

enum wave { WAVE_NEW_STORES, WAVE_TASKS, WAVE_NODES, WAVE_STOP, WAVE_STORES, WAVE_END };

struct deploy_job {
	struct deploy *d;
	char *name; /* boat, or node of a site */
	bool site, sent, told, done;
	struct packs_choice choice; /* of a boat */
	struct build *b;            /* while it runs */
	int64_t began;
	struct deploy_job *next;
};

struct deploy {
	struct op op;
	enum deploy_kind kind;
	enum deploy_stage stage;
	json_t *doc;
	char *ref, *old, *commit, *note, *cause;
	struct vk_strv only; /* redeploy: nodes it is about, none = all */
	bool no_cache, force, services, rows_only;
	json_t *set;
	unsigned to;
	json_t *boats;  /* images so far, as in the release */
	json_t *config; /* {"K": sealed} the release will have */
	struct deploy_job *jobs;
	bool pushing_told, running_told;
	struct place_out placed;
	struct vk_strv stop_first; /* nodes whose old instances must make room */
	struct release *rel;       /* the row being made; NULL for scale */
	enum wave wave;
	size_t wave_from; /* first of overlay.fresh that belongs to the wave */
	struct route_mark mark;
	struct vk_timer *deadline;
	int64_t phase, pulled_until;
	bool writing;       /* a transaction is under way */
	struct vk_err fail; /* why it is being taken back */
};

/* The operation, ready for op_submit. */
struct op *deploy_new(
	struct sched *s, const char *stack, const char *who, struct deploy_spec *spec);

/* Between the files of the machine. */
struct stack *deploy_stack(struct deploy *d);
void deploy_stage_event(struct deploy *d, const char *what);
void deploy_fail(struct deploy *d, const struct vk_err *err);
void deploy_build_begin(struct deploy *d); /* deploy_build.c */
void deploy_build_stop(struct deploy *d, const char *why);
void deploy_built(struct deploy *d); /* deploy.c: all images are there */
/* deploy_place.c: hosts for all that will be started, into the overlay; and the one of an instance, NULL = not placed. */
int deploy_assign(struct deploy *d, struct vk_err *err);
/* Another host for what was to start on one that is lost by now. Returns how many, or an error. */
int deploy_assign_lost(struct deploy *d, struct vk_err *err);
const char *deploy_host(const struct deploy *d, const char *node, unsigned n);
void deploy_start_begin(struct deploy *d); /* deploy_start.c */
void deploy_start_look(struct deploy *d);
void deploy_start_deadline(struct deploy *d);
/* deploy_canary.c: takes the release that is being made for a trial if the push wants one (overlay.trial). */
int deploy_trial(struct deploy *d, struct vk_err *err);
bool deploy_waits(
	const struct deploy *d, const char *node); /* is the node left to the promotion? */
/* CONFLICT for what would make a release from the serving one while another is on trial; pushes and rollbacks end it. */
int deploy_refuses_canary(const struct deploy *d, const struct stack *sk, struct vk_err *err);
int deploy_promote(struct deploy *d, struct stack *sk, struct vk_err *err);
int deploy_abort(struct deploy *d, struct stack *sk, struct vk_err *err);
void deploy_put_aborted(
	const struct deploy *d, struct txn *t, const struct stack *sk, const char *cause);
void deploy_route_begin(struct deploy *d); /* deploy_commit.c */
void deploy_route_look(struct deploy *d);
void deploy_route_deadline(struct deploy *d);
/* Image of another stack's boat "other/x" as its serving release has it, or NULL. */
const json_t *deploy_foreign_boat(const struct state *st, const char *name);
/* "ragnar/src" -> "src" when ragnar is the stack or the name its manifest goes by; else NULL. */
const char *deploy_own_boat(const char *stack, const json_t *doc, const char *name);

#endif
