/*
 * What garbage collection may remove: the choices (pure) and the look at the registry's storage. Kept is
 * what a reference in `keep` names (127.0.0.1:5000/STACK/BOAT@sha256:..) and what a container uses. Untagged
 * manifests do not show in the registry's API, so they are read from its directory, which is ours.
 */
#ifndef BUILDER_GC_H
#define BUILDER_GC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

/* Image ids ("sha256:..") that containers use, from the engine's GET /containers/json?all=1. */
void gc_used_images(const json_t *containers, struct vk_strv *ret);
/* Is this entry of GET /images/json of this installation: named into its registry, or labelled by it? The stack image
 * is not, for as long as it has a tag: what an upgrade has replaced goes when nothing stands on it any more. */
bool gc_image_ours(const json_t *image, const char *server, const char *root_label);
/* May it go? */
bool gc_image_unused(const json_t *image, const json_t *keep, const struct vk_strv *used);
/* All names under which the engine knows it (tags, then digests), without the engine's "<none>". */
void gc_image_names(const json_t *image, struct vk_strv *ret);
/* References ("SERVER/STACK/BOAT@sha256:..") of all manifests in the registry's data directory. A registry
 * that holds nothing yet gives none. */
int gc_manifests(const char *data_dir, const char *server, struct vk_strv *ret, struct vk_err *err);
/* Removes the directories of repositories that have no manifest left. */
int gc_empty_repositories(const char *data_dir, struct vk_err *err);
/* Is ref one of keep? */
bool gc_kept(const json_t *keep, const char *ref);
/* Bytes on disk below path, as du counts them. 0 for a missing one. */
uint64_t gc_disk_usage(const char *path);
/* What the build cache may hold: the budget less what images take. */
uint64_t gc_cache_budget(uint64_t budget, uint64_t images);

#endif
