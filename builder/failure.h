/*
 * Says why a build failed in one line, with the Dockerfile line where that is known:
 * `build failed at Dockerfile:3: RUN make: exit code 2`. Pure.
 *
 * The line comes from the table of instructions that viking-export sends with the tar ([[line, text], ..],
 * global ARGs included): the classic builder counts its steps over that very list; BuildKit counts, per
 * stage, RUN, COPY, ADD, WORKDIR, and FROM where it names an image.
 */
#ifndef BUILDER_FAILURE_H
#define BUILDER_FAILURE_H

#include <jansson.h>
#include <viking/err.h>

#include "limits.h"
#include "progress.h"

struct failure {
	const char *source;  /* name of the Dockerfile for the person: "Dockerfile", "build.src" */
	bool source_is_file; /* a file of the repository, not lines of the manifest */
	const json_t *steps; /* the table; NULL = not known */
	const struct progress *progress;
	const char *engine; /* what the engine said; NULL = progress->error */
	const struct limits *limits;
	bool memory_hit; /* the memory limit of builds was hit meanwhile */
};

/* Fills err (VK_FAILED) with message and hint; returns its code. */
int failure_describe(const struct failure *f, struct vk_err *err);
/* Index in steps of instruction n of a stage (BuildKit's count), or -1. stage "" = the only one. */
int failure_find_step(const json_t *steps, const char *stage, unsigned n);
/* The number behind "exit code:" or "non-zero code:" in an engine's message, or -1. */
int failure_exit_code(const char *message);

#endif
