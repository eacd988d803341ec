/* Files: whole reads with a cap, atomic durable writes, directories. All descriptors are O_CLOEXEC. */
#ifndef VIKING_FS_H
#define VIKING_FS_H

#include <stdbool.h>
#include <sys/types.h>
#include <viking/err.h>
#include <viking/mem.h>

/* Appends the file's bytes to b; over b->max: VK_LIMIT. */
int vk_fs_read(const char *path, struct vk_buf *b, struct vk_err *err);
int vk_fs_read_fd(int fd, struct vk_buf *b, struct vk_err *err);
/* Temp file in the same directory, write, fsync, rename, fsync of the directory. */
int vk_fs_write_atomic(
	const char *path, const void *data, size_t n, mode_t mode, struct vk_err *err);
/* The same without waiting for the disk: whole for every reader and after any death of the writer, not after a loss of power. For files that
 * a new boot makes anew. */
int vk_fs_replace(const char *path, const void *data, size_t n, mode_t mode, struct vk_err *err);
int vk_fs_mkdir_p(const char *path, mode_t mode, struct vk_err *err); /* existing is fine */
/* Removes a tree without following symlinks; missing is fine. */
int vk_fs_remove_tree(const char *path, struct vk_err *err);
bool vk_fs_exists(const char *path);
int vk_fs_free_bytes(const char *path, uint64_t *ret_free, uint64_t *ret_total, struct vk_err *err);
/* VK_LIMIT, saying what is there and what is needed, with less than want bytes free. */
#define VK_ROOM_HINT "viking gc, or room on the host; the limit is receive.min_free"
int vk_fs_room(const char *path, uint64_t want, struct vk_err *err);
/* write(2) until all is written; EINTR retried. */
int vk_write_all(int fd, const void *p, size_t n, struct vk_err *err);
/* Holds flock(LOCK_EX|LOCK_NB) on path for the life of the descriptor; held elsewhere: VK_CONFLICT. */
int vk_fs_lock(const char *path, int *ret_fd, struct vk_err *err);

#endif
