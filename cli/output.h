/* What a person sees: aligned tables, ages, streams of a deploy. Control bytes never reach a terminal. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <viking/err.h>

#include "command.h"

struct table {
	struct vk_strv cells;
	size_t columns;
};
/* The names of the columns, separated by '|'. */
void table_init(struct table *t, const char *columns);
void table_add(struct table *t, const char *cell); /* NULL = "-"; copied, made printable */
void table_addf(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_print(struct table *t, FILE *out); /* and releases */

void format_age(int64_t unix_ms, char buf[static 32]); /* "5 min ago", "never" for 0 */
int print_json(const json_t *j);
/* "name   value" for eyes: moments as ages, lists joined, control bytes replaced. */
void print_pair(const char *name, const json_t *value);
/* A line for each member, and one for each member of a member that holds objects ("nodes web"). */
void print_pairs(const json_t *object);

/* API calls of this command line. path is formatted; its parts must already be valid names or escaped. */
int api_get(struct call *c, json_t **ret, struct vk_err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int api_send(struct call *c, const char *method, const json_t *body, json_t **ret,
	struct vk_err *err, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* A stream of `out` lines, printed as they come; the end's error becomes err. */
int api_follow(struct call *c, const char *method, const json_t *body, struct vk_err *err,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Any stream of JSON lines. */
int api_lines(struct call *c, vk_api_line_fn *fn, void *arg, struct vk_err *err, const char *fmt,
	...) __attribute__((format(printf, 5, 6)));
struct vk_api_opts api_opts(const struct call *c);
char *url_escape(const char *s); /* for one path component or query value; caller frees */

/* "S" checked as a stack's name, so that it may stand in a path. */
int stack_word(const struct call *c, size_t i, const char **ret, struct vk_err *err);

#endif
