/*
 * Lines for the person who pushes (DESIGN section 5): git shows what a hook writes to stderr as `remote:`
 * lines, each promptly if it comes in one write(2) with its newline. Control bytes are replaced: what
 * tenants' programs print must not reach the pusher's terminal as commands.
 */
#ifndef HOOKS_REPORT_H
#define HOOKS_REPORT_H

#include <stddef.h>
#include <viking/err.h>

#define REPORT_LINE_MAX 16384

/* As it is, without grammar; newlines in it begin new lines. */
void report_line(const char *text, size_t n);
/* " !     MESSAGE", and " !     try: HINT" when there is one. */
void report_problem(const char *message, const char *hint);
void report_err(const struct vk_err *err);

#endif
