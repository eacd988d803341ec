/*
 * The disk under the engine while one of its own builders works. BuildKit knows no limit of disk and has nothing that could be
 * measured from outside, so the free space is looked at each second, by a process of its own (the job waits for the engine's
 * answer meanwhile). It ends when more has gone since the start than all builds that may run at once are allowed (builds.disk
 * times builds.parallel: whose bytes they are cannot be seen), or when less than half of receive.min_free is left.
 */
#ifndef BUILDER_DISK_WATCH_H
#define BUILDER_DISK_WATCH_H

#include <stdint.h>
#include <sys/types.h>
#include <viking/config.h>
#include <viking/engine.h>
#include <viking/err.h>

/* The engine's directory; caller frees. */
char *disk_root(struct vk_engine *e);
/* Bytes free below root, or where our own state is when that cannot be seen. */
int disk_free(const char *root, const char *state_dir, uint64_t *ret);

struct disk_watch {
	pid_t pid;
	int fd; /* readable when the build has to end */
};
int disk_watch_start(
	struct vk_engine *e, const struct vk_config *c, struct disk_watch *ret, struct vk_err *err);
/* Ends it. VK_LIMIT, with the message, if it had ended by itself. */
int disk_watch_end(struct disk_watch *w, const struct vk_config *c, struct vk_err *err);

/* The process: viking-job --disk ROOT STATE_DIR MAY_GO FLOOR (bytes). Writes what has gone to stdout and returns; returns also
 * when nobody reads stdout any more. */
int disk_watch_run(char *const words[static 4]);

#endif
