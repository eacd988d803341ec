/*
 * What must exist before the processes start: directories with their owners, the registry's
 * configuration and password. All of it is idempotent; nothing that exists is made more open.
 */
#ifndef VIKINGD_LAYOUT_H
#define VIKINGD_LAYOUT_H

#include <sys/types.h>
#include <viking/config.h>
#include <viking/err.h>

/* Checks that the users of all processes exist (not with single_uid). Missing: VK_NOTFOUND with the
 * line that makes them. */
int layout_users(const struct vk_config *c, struct vk_err *err);
int layout_directories(const struct vk_config *c, struct vk_err *err);
int layout_etcd(const struct vk_config *c, struct vk_err *err); /* those of etcd */
/* A file with its owner; one that is there with the same text is left as it is. */
int layout_write(const struct vk_config *c, const char *path, const char *text, mode_t mode,
	const char *user, const char *group, struct vk_err *err);
int layout_write_bytes(const struct vk_config *c, const char *path, const void *p, size_t n,
	mode_t mode, const char *user, const char *group, struct vk_err *err);
/* STATE/registry/password, and the scheduler's copy, which it gives to hosts that join. */
int layout_registry_password(const struct vk_config *c, const char *password, struct vk_err *err);
/* Does the registry run here? In a cluster the scheduler says whose it is (its holder.h), else the setting does. */
#define LAYOUT_REGISTRY_HOST "sched/registry-host"
bool layout_registry_here(const struct vk_config *c);
/* STATE/registry: password (made once), htpasswd (bcrypt of it) and config.yml (always rendered). */
int layout_registry(const struct vk_config *c, struct vk_err *err);

#endif
