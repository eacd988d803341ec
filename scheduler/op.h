/*
 * Operations on a stack: one runs at a time, others are refused or wait in order. An operation has an
 * overlay (what it adds to the wanted state while it runs), a client whose stream it feeds (or none any
 * more) and a type that drives it. It ends with op_end, which answers the client, takes the overlay away and starts the
 * next one waiting.
 */
#ifndef SCHEDULER_OP_H
#define SCHEDULER_OP_H

#include "hub.h"
#include "instances.h"
#include "rights.h"

struct op;
struct op_type {
	const char *kind; /* "push", "scale" ...: shown to those who find the stack busy */
	void (*start)(struct op *op);
	void (*poke)(struct op *op); /* something changed: look again; may end op */
	/* Asked to stop: ends op, at once or soon, and returns true; false = it cannot be stopped any more. */
	bool (*cancel)(struct op *op, const struct vk_err *why);
	void (*free)(struct op *op); /* frees what embeds op, op included */
};

struct op {
	const struct op_type *type;
	struct sched *s;
	char *stack;
	char who[144];
	struct vk_req *r; /* NULL: nobody listens */
	struct overlay overlay;
	int64_t since_ms;     /* wall clock, for showing */
	int64_t began, spoke; /* monotonic */
	struct vk_timer *beat;
	char doing[200];               /* for "still ..." after 10 s of silence */
	bool running, ended, detached; /* detached: goes on when its client goes */
	bool waited;                   /* for its turn */
	bool leaving; /* the stack's name ends with it: nobody may wait behind it */
	unsigned refs;
	/* Told of the end (err NULL = ok); not when it never ran, nor at the end of the program. May be NULL. */
	void (*over)(void *arg, const struct op *op, const struct vk_err *err);
	void *over_arg;
	struct op *next; /* in stack->waiting */
};

enum op_busy { OP_REFUSE, OP_WAIT, OP_SUPERSEDE };

/* op is the first member of memory from vk_alloc. r may be NULL. */
void op_init(struct op *op, const struct op_type *type, struct sched *s, const char *stack,
	const char *who);
/* CONFLICT when the stack is busy (message says who holds it) or locked. Used before op_submit, without effect. */
int op_check(struct sched *s, const char *stack, const char *who_kind, enum op_busy busy,
	struct vk_err *err);
/* Who asked for it, with the rights of now; what it points to is the state's. */
struct caller op_caller(const struct op *op);
/* Takes r over as a stream and starts op, or lets it wait. On an error nothing was done and op is freed. */
int op_submit(struct op *op, struct vk_req *r, enum op_busy busy, struct vk_err *err);
/* A line for the person. */
void op_out(struct op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Seven blanks before the text. */
void op_detail(struct op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The last lines of a container that failed, or of a release task; tail is an array of texts, or NULL. */
void op_tail(struct op *op, const char *node, unsigned n, const json_t *tail);
void op_doing(struct op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* err NULL or code 0 = ok; more (stolen, may be NULL) is put into the end line. */
void op_end(struct op *op, const struct vk_err *err, json_t *more);
/* A committed write or other callback holds op: it is freed after the last unref. */
void op_ref(struct op *op);
void op_unref(struct op *op);
/* Lets all running operations look at the changed world. */
void ops_poke(struct sched *s);
bool ops_running(const struct sched *s); /* of any stack */
/* Asks the running operation of the stack to stop. */
bool op_cancel_running(struct sched *s, const char *stack, const struct vk_err *why);
/* The same for those of all stacks. */
void ops_cancel_all(struct sched *s, const struct vk_err *why);
/* Answers all that wait for the stack with err: it is leaving. */
void op_refuse_waiting(struct stack *sk, const struct vk_err *err);
void ops_free_all(struct sched *s); /* at the end of the program: streams are dropped */
/* "0.4 s" since a monotonic time. */
const char *op_seconds(int64_t since, char buf[static 24]);

#endif
