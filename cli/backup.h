/*
 * A backup is one tar file: `meta.json`, `state.jsonl` (every key of the store, secrets sealed), the key that unseals them,
 * repositories, host keys, website files, the registry's images, and with --volumes the data of the volumes. Restore
 * puts it into an empty state directory while vikingd is stopped; the scheduler takes `state.jsonl` in at its next start.
 */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include "command.h"

int backup_write(struct call *c, const char *file, bool volumes, struct vk_err *err);
int backup_read(struct call *c, const char *file, struct vk_err *err);

#endif
