/* ETC/conf.d/50-cluster.yml, which says whose store counts, and vikingd, which reads it. For the tools that change it,
 * viking-cluster-init and viking-join. */
#ifndef VIKINGD_CLUSTER_FILE_H
#define VIKINGD_CLUSTER_FILE_H

#include <stdbool.h>
#include <viking/config.h>
#include <viking/err.h>
#include <viking/loop.h>

/* Such a tool: settings out of argv, only for root; its error in one line, its exit status. argv[1] on is its own. */
typedef int cluster_tool(const struct vk_config *c, int argc, char **argv, struct vk_err *err);
int cluster_tool_run(int argc, char **argv, cluster_tool *tool);

int cluster_file_write(const struct vk_config *c, const char *text, struct vk_err *err);
/* SIGHUP: it reads its settings. */
int cluster_file_reread(const struct vk_config *c, struct vk_err *err);
/* Until a file is there, or is not; VK_TIMEOUT: "vikingd did not ..." with what. */
int cluster_file_wait(const char *path, bool there, const char *what, struct vk_err *err);
/* Until commands on this host are answered out of the cluster's state. */
int cluster_file_wait_served(const struct vk_config *c, struct vk_err *err);
void cluster_file_say(const char *line);

#endif
