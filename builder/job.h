/*
 * One job, in its own process (viking-job): what is asked for, and the means to do it. The job reads its
 * JSON from stdin, answers with JSON lines on stdout - {"out": line} and at the end {"done": {..}} - and
 * is cancelled by killing it: the engine gives up a build whose connection closes.
 */
#ifndef BUILDER_JOB_H
#define BUILDER_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/config.h>
#include <viking/engine.h>
#include <viking/err.h>

#include "buildlog.h"
#include "registry.h"

#define JOB_BYTES_MAX (8u << 20) /* of a job's JSON */

struct job {
	const char *id, *kind, *stack, *boat, *node, *commit, *document_root,
		*tag; /* borrowed from doc */
	bool no_cache;
	json_t *recipe, *refs, *known, *keep; /* borrowed from doc; NULL when the kind has none */
	json_t *builder;                      /* of the recipe; NULL: a Dockerfile */
	json_t *env;                          /* the stack's variables, for packs; may be NULL */
	const char *cache, *source_version;
	json_t *site;   /* {"env", "ca"}: what the site lets packs have; NULL: a Dockerfile */
	unsigned owner; /* of the files in the tar that is asked for */
	uint64_t budget;
	json_t *doc;

	const struct vk_config *config;
	struct vk_engine *engine;
	struct registry registry;
	struct buildlog log;
	char root_label
		[17]; /* value of our images' label viking.root: this installation, not another's */
	int64_t started_ms;
};

/* Takes a reference to doc. Names that reach paths, image names or URLs are checked here. */
int job_init(struct job *j, json_t *doc, const struct vk_config *c, struct vk_err *err);
void job_release(struct job *j);
/* Connects what all kinds but sites need: the engine and the registry, which must both answer. */
int job_connect(struct job *j, struct vk_err *err);
/* Does the job; *ret_done gets what goes into {"done": ..} on success. */
int job_run(struct job *j, json_t **ret_done, struct vk_err *err);

int job_image(struct job *j, json_t *done, struct vk_err *err);
int job_packs(struct job *j, json_t *done, struct vk_err *err);
int job_cnb(struct job *j, json_t *done, struct vk_err *err);
int job_sweep(struct job *j, json_t *done, struct vk_err *err);
int job_stack(struct job *j, json_t *done, struct vk_err *err);
int job_store(struct job *j, json_t *done, struct vk_err *err);
int job_site(struct job *j, json_t *done, struct vk_err *err);
int job_copy(struct job *j, json_t *done, struct vk_err *err);
int job_gc(struct job *j, json_t *done, struct vk_err *err);

/* The registry's own collector frees the blobs that no manifest names any more. */
int gc_collect_blobs(struct job *j, struct vk_err *err);

/* {"out"}, {"state"} and {"done"} lines on stdout; the process ends when nobody reads them. */
void job_emit_out(void *arg, const char *line, size_t n);
void job_emit_state(const char *state);
void job_emit_done(const struct job *j, json_t *done, const struct vk_err *err);

#endif
