/*
 * Push options (`git push -o ...`), checked strictly: an unknown one is an error with a suggestion, since
 * a misspelt `dry-run` must not deploy. Pure.
 */
#ifndef HOOKS_OPTIONS_H
#define HOOKS_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <viking/err.h>
#include <viking/mem.h>

#define OPTIONS_MAX      32
#define OPTION_MAX_BYTES 4096
#define NOTE_MAX_BYTES   200

struct push_options {
	bool dry_run, no_cache, wait, supersede;
	char *note;           /* NULL = none */
	struct vk_strv given; /* as they came, for the API */
};

int push_options_add(struct push_options *o, const char *text, size_t n, struct vk_err *err);
/* As git gives them to pre-receive: GIT_PUSH_OPTION_COUNT, GIT_PUSH_OPTION_<i>. */
int push_options_from_env(struct push_options *o, struct vk_err *err);
json_t *push_options_json(const struct push_options *o); /* array of strings, new reference */
void push_options_release(struct push_options *o);

#endif
