/* Output of one build: a file of JSON lines {"t", "out"}, and whoever follows it. */
#ifndef SCHEDULER_BUILD_OUTPUT_H
#define SCHEDULER_BUILD_OUTPUT_H

#include "hub.h"

#define BUILD_OUTPUT_MAX (8 << 20) /* bytes kept of one build */

struct build_output;
struct build_output *build_output_open(struct sched *s, const char *id);
void build_output_line(struct build_output *o, const char *text);
void build_output_end(
	struct build_output *o, const char *state, const char *cause); /* tells the followers */
void build_output_close(struct build_output *o);
void build_output_remove(struct sched *s, const char *id);
/* Answers r with what is kept; o != NULL: and what is still to come. */
void build_output_send(struct sched *s, const char *id, struct build_output *o, struct vk_req *r);

#endif
