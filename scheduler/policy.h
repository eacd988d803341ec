/*
 * What a pushed document may ask of the host: privileges, host network, host paths, published ports, buildpacks. One table, from the
 * host's configuration (policy.*); the agent checks the final container again. Pure.
 */
#ifndef SCHEDULER_POLICY_H
#define SCHEDULER_POLICY_H

#include <jansson.h>
#include <viking/config.h>
#include <viking/err.h>

int policy_check(const struct vk_config *cfg, const json_t *doc, struct vk_err *err);
/* path lies under one of the comma-separated directories, by its text; not where ".." is a part of it. */
bool policy_path_allowed(const char *prefixes, const char *path);
/* One buildpack as people name it -> its one form (viking/pack_name.h), if policy.pack_urls or policy.pack_paths lets it in. */
int policy_pack(const struct vk_config *cfg, const char *text, char **ret, struct vk_err *err);

#endif
