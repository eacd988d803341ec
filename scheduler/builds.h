/*
 * Builds: the list of jobs the builder follows, their output, and the records of what was built. A job lives from
 * builds_start to its done; a record stays after it, the last BUILDS_KEPT of each stack. Output is in STATE/sched/builds/ID.jsonl.
 */
#ifndef SCHEDULER_BUILDS_H
#define SCHEDULER_BUILDS_H

#include "hub.h"

#define BUILDS_KEPT 20

struct build;
struct build_spec {
	const char *kind;                                               /* "image", "site", "gc" */
	const char *stack, *boat, *node, *commit, *document_root, *who; /* NULL = none */
	const json_t *recipe, *refs, *keep;                             /* borrowed for the call */
	const json_t *env; /* plain values for packs, or NULL; they leave memory with the job */
	const char *cache; /* volume of the packs' cache, or NULL */
	bool no_cache;
	uint64_t budget;
};
struct build_events { /* any may be NULL */
	/* "lost": the builder went away; it begins anew when it is back */
	void (*state)(void *arg, struct build *b, const char *state, int64_t position);
	void (*out)(void *arg, struct build *b, const char *line);
	/* The last call. done is the builder's object: {"ok": true, ...} or {"ok": false, "error", "message", "hint"}. */
	void (*done)(void *arg, struct build *b, const json_t *done);
};

struct builds *builds_new(struct sched *s);
void builds_free(struct builds *t);
struct build *builds_start(
	struct sched *s, const struct build_spec *spec, const struct build_events *ev, void *arg);
/* Takes the job off the builder's list; no event comes any more; b is gone. */
void builds_cancel(struct sched *s, struct build *b, const char *why);
/* As if the builder had said so; done is called. */
void builds_fail(struct sched *s, struct build *b, const char *error, const char *message);
struct build *builds_find(struct sched *s, const char *id); /* among the running ones */
const struct build_row *build_row(const struct build *b);
bool builds_collecting(const struct sched *s);
/* host: "" = this one. Repositories, images and so builds are of one host of a cluster, that of its registry: builders of the
 * others have nothing to do, and what they say does not count. */
bool builds_here(const struct sched *s, const char *host);
void builds_watch(struct sched *s, const char *host, struct vk_req *r);
void builds_others_moved(struct sched *s); /* likewise, those that build nothing */
void builds_moved(struct sched *s);        /* another host is that: builders come again */
bool builds_live(const struct sched *s);   /* a builder holds its watch */
int builds_report(struct sched *s, const char *id, const json_t *body, struct vk_err *err);
/* {"builds": [...]} of the stacks that sees() names. */
json_t *builds_list(struct sched *s, bool (*sees)(void *arg, const char *stack), void *arg);
/* Streams the output kept, and with follow what comes until the end. */
int builds_output(
	struct sched *s, const char *id, bool follow, struct vk_req *r, struct vk_err *err);
/* Records that say "running" after a restart did not survive it. */
void builds_recover(struct sched *s);

#endif
