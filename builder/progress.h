/*
 * Follows one build: takes the JSON lines the engine answers POST /build with, from BuildKit or the
 * classic builder, and keeps what matters: lines for the person (through a buildlog), the image's id, the
 * error, and which step failed. Pure: no I/O, the clock is a parameter.
 *
 * A step is named once, when it starts: `Step 2/5: RUN make` (`Step base 2/3: ...` with several stages);
 * its output follows, `(cached)` when it did not have to run. Steps that run at the same time take turns,
 * each turn with its name.
 */
#ifndef BUILDER_PROGRESS_H
#define BUILDER_PROGRESS_H

#include <jansson.h>
#include <stdint.h>
#include <viking/err.h>

#include "buildlog.h"
#include "linefold.h"

#define STEPS_MAX 1000 /* steps of one build that are followed; more are run, not shown */

struct progress_step {
	char digest[80]; /* BuildKit's name of it */
	char stage[64];  /* "" with one stage */
	unsigned n,
		total; /* 2 of 5; 0 for BuildKit's own work (loading, exporting), which is not shown */
	char text[201]; /* "RUN make" */
	char *error;
	bool named, cached, ended;
	struct linefold fold;
};

struct progress {
	struct buildlog *log;
	int64_t now_ms; /* set by the caller before each line */
	struct progress_step *steps;
	size_t n;
	int64_t shown; /* index of the step named last, -1 */
	struct linefold classic;
	unsigned classic_step; /* the step the classic builder is at */
	unsigned
		own_steps; /* set by the caller: how many LABELs the classic builder adds for us at the end */
	char classic_text[201];
	char image[80]; /* "sha256:..." when built */
	char *error;    /* the engine's last word on a failed build, or NULL */
};

void progress_init(struct progress *p, struct buildlog *log);
void progress_release(struct progress *p);
/* One line of the engine's answer. Not understood: ignored, but a damaged trace is VK_INVALID. */
int progress_line(struct progress *p, const json_t *line, struct vk_err *err);
void progress_end(struct progress *p); /* shows lines that never got their newline */
/* The step whose own failure ended the build, or NULL (BuildKit only). */
const struct progress_step *progress_failed(const struct progress *p);

#endif
