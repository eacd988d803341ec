/* How long the parts of a build took: one line for the person and an object for the scheduler. */
#ifndef BUILDER_TIMINGS_H
#define BUILDER_TIMINGS_H

#include "job.h"

struct timings {
	int64_t last; /* vk_mono_ms */
	size_t n;
	struct {
		const char *name;
		int64_t ms;
	} parts[8];
};

void timings_start(struct timings *t);
void timings_mark(struct timings *t, const char *name); /* what ended now */
/* "Timings: create 25 ms, ..." into the log, {"create": 25, ..} as "timings" of done. */
void timings_tell(const struct timings *t, struct job *j, json_t *done);

#endif
