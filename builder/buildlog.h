/*
 * What a build says to the person: finished lines, bounded in total, and the last of them kept for the
 * failure report. The scheduler indents them when it shows them.
 */
#ifndef BUILDER_BUILDLOG_H
#define BUILDER_BUILDLOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAIL_LINES 20
#define BUILDLOG_BYTES_MAX \
	(16u << 20) /* of one build; of what comes after, the last lines are shown */

typedef void buildlog_fn(void *arg, const char *line, size_t n); /* n bytes, not NUL-terminated */

struct buildlog {
	buildlog_fn *fn;
	void *arg;
	uint64_t bytes;
	bool full;
	uint64_t hidden;        /* lines since it is full */
	char *tail[TAIL_LINES]; /* ring */
	unsigned next;
};

void buildlog_init(struct buildlog *b, buildlog_fn *fn, void *arg);
void buildlog_release(struct buildlog *b);
void buildlog_line(struct buildlog *b, const char *line, size_t n);
void buildlog_linef(struct buildlog *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Shows the last of the lines that were too many. */
void buildlog_end(struct buildlog *b);
/* The last lines, oldest first: a new array of strings. */
json_t *buildlog_tail(const struct buildlog *b);
/* True when one of the last lines contains text. */
bool buildlog_tail_has(const struct buildlog *b, const char *text);

#endif
