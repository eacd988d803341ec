/*
 * The Procfile of a repository or of a built application: what to run, one `name: command` a line. The
 * first colon splits; names are [A-Za-z0-9_-], at most 63 of them; blank lines and # comments count for nothing;
 * CRLF ends a line too. Source of the form: the Heroku buildpack API (devcenter: "The Procfile"). Lines that other
 * platforms skip in silence are errors here. Pure.
 */
#ifndef BUILDER_PROCFILE_H
#define BUILDER_PROCFILE_H

#include <jansson.h>
#include <stddef.h>
#include <viking/err.h>

#define PROCFILE_MAX     (64 * 1024)
#define PROCESSES_MAX    64
#define PROCESS_NAME_MAX 63
#define PROCESS_CMD_MAX  8192

/* *ret: a new object, name to command, in the file's order. VK_INVALID is "Procfile:3: what"; VK_LIMIT. */
int procfile_parse(const char *text, size_t n, json_t **ret, struct vk_err *err);
/* One type into the object, by the same rules; the message does not say where. */
int process_add(json_t *processes, const char *name, const char *command, struct vk_err *err);

#endif
