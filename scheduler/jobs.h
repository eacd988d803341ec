/*
 * Jobs under /proc become stacks: all jobs of one STACK are one push document (job.h), deployed like a push and with an
 * administrator's rights, for who may write to etcd is one; policy holds as for everybody, and the agent checks again. Each TAG of a
 * node is one instance; the job written last is the definition of its node. A stack whose last job is deleted is destroyed.
 * What cannot run is moved to /failed/STACK/NODE/TAG with the reason, and the job that it was written over, if that serves, is put
 * back. Level-triggered: jobs_look gets all jobs there are; what is wanted is compared with what the serving release was made of.
 *
 * Such a stack belongs to its jobs (stack_row.who): a push to it is refused, and a job for any other stack is.
 */
#ifndef SCHEDULER_JOBS_H
#define SCHEDULER_JOBS_H

#include "hub.h"

#define JOBS_WHO "local:/proc"

struct job_row {         /* borrowed for the call */
	const char *key; /* "STACK/NODE/TAG" */
	const char *text;
	size_t len;
	uint64_t rev; /* of its last change */
};
struct jobs_ops {
	/* The job is to go to /failed, unless it was changed since rev. back: what comes in its place, or NULL. */
	void (*fail)(void *arg, const char *key, uint64_t rev, const char *why, const char *back);
	/* Look again: at once, or when something may be different. */
	void (*again)(void *arg, bool soon);
	void *arg;
};

struct jobs;
struct jobs *jobs_new(struct sched *s, const struct jobs_ops *ops);
void jobs_free(struct jobs *j);
/* all: there are no others; else no stack is destroyed. */
void jobs_look(struct jobs *j, const struct job_row *rows, size_t n, bool all);
/* Is the stack made by jobs? */
bool jobs_own(const struct stack *sk);
/* CONFLICT when it is: for who would push to it. sk may be NULL. */
int jobs_check_push(const struct stack *sk, struct vk_err *err);

#endif
