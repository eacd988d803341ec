/*
 * Which builder makes a boat: a Dockerfile, packs in order, one of ours, a Cloud Native builder. Chosen anew for each build from
 * what the commit has (the document's "builder" and "signals") and what the stack says; the first that is there counts:
 *
 *	`builder:` of the manifest, config BUILDPACK_URL, buildpacks:set; Dockerfile; project.toml when the host has
 *	builder.cnb; .buildpacks; bin/detect with bin/compile; a pack of ours
 *
 * Pure. Every pack is checked (packref.h), every Cloud Native builder against the host's policy.
 */
#ifndef SCHEDULER_PACKS_H
#define SCHEDULER_PACKS_H

#include <jansson.h>
#include <viking/config.h>
#include <viking/err.h>
#include <viking/mem.h>

struct packs_in {
	const struct vk_config *cfg;
	const char *stack;
	const json_t *doc;
	const json_t *list; /* of buildpacks:set, or NULL */
	const char *url;    /* config BUILDPACK_URL, or NULL */
};

struct packs_choice {
	json_t *builder; /* {"type": "own"|"packs"|"cnb", ...}; NULL: the Dockerfile */
	char *what;      /* "the node pack": what it is built with or from */
	char *why; /* "package.json and the like; other: viking ...", or NULL: nothing to say */
};

int packs_choose(
	const struct packs_in *in, const char *boat, struct packs_choice *ret, struct vk_err *err);
void packs_choice_release(struct packs_choice *c);
/* The document came without a manifest: the settings of the stack rule over its Dockerfile. */
bool packs_implied(const json_t *doc);
/* Does the build run code of packs, which get the stack's configuration and a cache? */
bool packs_foreign(const json_t *builder);

#endif
