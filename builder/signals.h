/*
 * What a directory of a repository says about how it wants to be built. Only names in its root are
 * looked at, and the small files that list packs and processes. The scheduler chooses (its settings come first);
 * docs/protocol.md section 4 has the form. Pure.
 */
#ifndef BUILDER_SIGNALS_H
#define BUILDER_SIGNALS_H

#include <jansson.h>

#include "manifest.h"

/* *ret: {"dockerfile", "project_toml", "buildpacks", "inline", "own", "procfile", "looked_for"}. A malformed
 * Procfile or .buildpacks is an error. dir: "." or a clean path. */
int signals_read(
	const struct manifest_files *files, const char *dir, json_t **ret, struct vk_err *err);
/* The same for who builds from a Dockerfile: malformed files are left out, and said in notices. */
json_t *signals_try(const struct manifest_files *files, const char *dir, json_t *notices);
/* Is there anything that could be built? */
bool signals_any(const json_t *signals);

#endif
