/* ETC/conf.d/50-cluster.yml, which says whose store counts, and vikingd, which reads it. For the tools that change it. */
#ifndef VIKINGD_CLUSTER_FILE_H
#define VIKINGD_CLUSTER_FILE_H

#include <stdbool.h>
#include <viking/config.h>
#include <viking/err.h>
#include <viking/loop.h>

int cluster_file_write(const struct vk_config *c, const char *text, struct vk_err *err);
/* SIGHUP: it reads its settings. */
int cluster_file_reread(const struct vk_config *c, struct vk_err *err);
/* Until a file is there, or is not; VK_TIMEOUT: "vikingd did not ..." with what. */
int cluster_file_wait(
	struct vk_loop *l, const char *path, bool there, const char *what, struct vk_err *err);
void cluster_file_say(const char *line);

#endif
