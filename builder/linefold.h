/*
 * Turns the raw output of build steps into lines for a person: pieces are joined, a carriage return
 * replaces what stood before it (progress bars leave only their last state), terminal escapes and control
 * bytes go, over-long lines are cut. A bar that never sends a newline still shows about every other second.
 * Pure: the clock is a parameter.
 */
#ifndef BUILDER_LINEFOLD_H
#define BUILDER_LINEFOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/mem.h>

#define LINE_BYTES_MAX 4096 /* of one line; the rest of it is dropped and marked */
#define BAR_EVERY_MS   2000 /* how often a progress bar's state is let through */

/* line is not NUL-terminated and borrowed for the call. */
typedef void line_fn(void *arg, const char *line, size_t n);

struct linefold {
	struct vk_buf line;
	bool carriage;    /* the next character starts the line over */
	bool cut;         /* the line was longer than LINE_BYTES_MAX */
	int escape;       /* state inside a terminal escape sequence */
	int64_t shown_ms; /* when something of this stream was last handed on */
};

void linefold_init(struct linefold *f);
void linefold_release(struct linefold *f);
void linefold_feed(
	struct linefold *f, const char *p, size_t n, int64_t now_ms, line_fn *fn, void *arg);
void linefold_end(struct linefold *f, line_fn *fn, void *arg); /* a last line without newline */

#endif
