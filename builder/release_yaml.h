/*
 * What a pack's bin/release prints: YAML of two levels. `default_process_types` and `config_vars` are
 * maps of scalars; every other key (addons, ...) may hold anything and is left alone; no output, `--- {}` and
 * null are all the same: nothing. Source: the Heroku buildpack API (devcenter: "Buildpack API", bin/release). Pure.
 */
#ifndef BUILDER_RELEASE_YAML_H
#define BUILDER_RELEASE_YAML_H

#include <jansson.h>
#include <stddef.h>
#include <viking/err.h>

#define RELEASE_YAML_MAX (64 * 1024)

struct release_yaml {
	json_t *processes;   /* type to command */
	json_t *config_vars; /* name to value: defaults, never over the person's own */
};

/* Errors name `release:line:col`. On success both objects are there; end with release_yaml_release. */
int release_yaml_parse(const char *text, size_t n, struct release_yaml *ret, struct vk_err *err);
void release_yaml_release(struct release_yaml *r);

#endif
