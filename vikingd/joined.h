/*
 * How a host becomes one of a cluster (viking join). STATE/join is root's own: host.key, made once; answer.json, all that the
 * cluster gave. The rename of conf.d/50-cluster.yml is the moment: from then on the settings name that cluster's store, and
 * before the scheduler starts on them, vikingd puts everything into its place.
 */
#ifndef VIKINGD_JOINED_H
#define VIKINGD_JOINED_H

#include <jansson.h>
#include <stdbool.h>
#include <viking/config.h>
#include <viking/err.h>

#define JOINED_KEY    "join/host.key"
#define JOINED_ANSWER "join/answer.json"

/* The settings that make c's host one of the cluster whose answer it is; address: this host's. VK_INVALID: not an answer.
 * The caller's. */
int joined_settings(const struct vk_config *c, const json_t *answer, const char *address,
	char **ret, struct vk_err *err);
/* Puts into place what waits in STATE/join, when c's settings are those of its answer; then removes it. Killed on the way,
 * it is done again. *ret: there was something. */
int joined_install(const struct vk_config *c, bool *ret, struct vk_err *err);

#endif
