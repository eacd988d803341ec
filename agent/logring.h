/*
 * The log rings: per stack a directory STATE/log/STACK of numbered segment files of JSON lines, within a
 * byte budget; the oldest segment goes first. A line on disk is {"t": ms, "n": ns within the ms, "i":
 * instance, "d": node, "c": container, "s": 1|2, "l": text}. Every segment begins with
 * {"cursors": {container: ns}}: the time of the last line known of each followed container, so that the
 * newest segment alone tells where to go on after a crash; line and cursor are one write, so there
 * are neither gaps nor duplicates. Descriptors: at most 32 open, whatever the number of stacks.
 */
#ifndef AGENT_LOGRING_H
#define AGENT_LOGRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>

#define LOGRING_LINE_MAX 16384 /* bytes of text; longer lines are cut into several */

struct logline {
	int64_t time_ns; /* unix */
	const char *instance, *node, *container;
	int stream; /* 1 stdout, 2 stderr */
	const char *text;
	size_t len;
};

struct logset;
/* dir: STATE/log; stack_bytes: budget of a stack. */
struct logset *logset_new(const char *dir, uint64_t stack_bytes);
void logset_free(struct logset *s); /* writes what is buffered */
/* Buffers one line; flush writes it. Errors (full disk) lose log lines, never more. */
int logset_add(struct logset *s, const char *stack, const struct logline *line, struct vk_err *err);
int logset_flush(struct logset *s, const char *stack, struct vk_err *err);
/* Time of the last line of a container in the ring, 0 = none. */
int64_t logset_cursor(struct logset *s, const char *stack, const char *container);
void logset_drop_cursor(struct logset *s, const char *stack, const char *container);
void logset_forget(struct logset *s, const char *stack); /* the files too */
/* The stack has another name. Nothing when it has no logs under the old one (they have been moved already). What an
 * earlier stack of the new name left is dropped. */
void logset_move(struct logset *s, const char *from, const char *to);

/* Called for each line as it is added. One watcher. */
typedef void logset_fn(void *arg, const char *stack, const struct logline *line);
void logset_watch(struct logset *s, logset_fn *fn, void *arg);

/* Reads a ring backwards from its present end, in slices, so that the loop goes on meanwhile. */
struct logscan;
/* One raw line (not NUL-terminated), newest first; true = enough. */
typedef bool logscan_fn(void *arg, const char *line, size_t n);
struct logscan *logscan_new(struct logset *s, const char *stack);
/* Reads one block. True when there is more. */
bool logscan_step(struct logscan *c, logscan_fn *fn, void *arg);
void logscan_free(struct logscan *c);

#endif
