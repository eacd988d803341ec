/*
 * The builder's queue: which jobs are wanted, which run, which may start next. Pure: no processes, no
 * I/O. The wanted list comes whole each time (docs/protocol.md section 5) and the queue is level-triggered
 * on it: what is new waits, what is gone is dropped or, when it runs, marked for cancelling, and what has
 * ended is remembered for as long as it is still listed, so that it is not started twice.
 *
 * Rules: at most `parallel` images at once, one at a time per stack and boat; a free place goes to who has the fewest
 * running, then to who came first, so that one key with many stacks does not keep the others waiting; sites need no engine and run
 * beside them; collecting garbage runs alone, lets images overtake it GC_OVERTAKEN_MAX times and holds the
 * queue after that; copying images from the registry's host is for hosts that build nothing: one at a time.
 */
#ifndef BUILDER_QUEUE_H
#define BUILDER_QUEUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <viking/err.h>

#define QUEUE_SITES_MAX  4 /* websites exported at once */
#define GC_OVERTAKEN_MAX 20
#define QUEUE_JOBS_MAX   1000

enum queue_kind { QUEUE_IMAGE, QUEUE_SITE, QUEUE_GC, QUEUE_COPY };
enum queue_state { QUEUE_WAITING, QUEUE_RUNNING, QUEUE_ENDED };

struct queue_job {
	char *id, *stack, *boat, *who;
	enum queue_kind kind;
	enum queue_state state;
	json_t *doc;        /* JOB */
	bool wanted;        /* in the latest list */
	unsigned overtaken; /* gc: images started before it */
	unsigned reported;  /* position told last, 0 = none */
	void *run;          /* the caller's, while running */
	json_t *done;       /* the caller's: the result, once ended; dropped with the job */
};

struct queue {
	unsigned parallel;
	struct queue_job **jobs; /* in order of arrival */
	size_t n;
};

void queue_init(struct queue *q, unsigned parallel);
void queue_release(struct queue *q);
/* Takes over a new wanted list. Jobs that run but are not wanted any more: queue_unwanted. A job that
 * cannot be understood is refused as a whole list: VK_INVALID. */
int queue_want(struct queue *q, const json_t *jobs, struct vk_err *err);
/* The next job that may start (still WAITING), or NULL. */
struct queue_job *queue_next(struct queue *q);
void queue_start(struct queue *q, struct queue_job *j, void *run);
/* The job's process is over. Frees j when it is not wanted any more; a job that was cancelled and is wanted
 * again waits again. */
void queue_end(struct queue *q, struct queue_job *j, bool cancelled);
/* A running job that is not wanted, starting the search at index *at (0 first), or NULL. */
struct queue_job *queue_unwanted(struct queue *q, size_t *at);
/* A waiting job whose position is not the one reported last; sets it as reported. NULL: all told. */
struct queue_job *queue_moved(struct queue *q, unsigned *ret_position);

#endif
