/* The file itself. Its bytes are written, not only promised: not every file system keeps such promises. */
#include "reserve.h"

#include <unistd.h>
#include <viking/fs.h>
#include <viking/log.h>
#include <viking/mem.h>

#define PLENTY (4 * RESERVE_BYTES)

static char *reserve_path(const struct sched *s)
{
	return vk_state_path(s->cfg, "sched/reserve");
}

void reserve_keep(struct sched *s)
{
	if (s->reserved)
		return;
	vk_autofree char *path = reserve_path(s);
	s->reserved = vk_fs_exists(path);
	uint64_t left = 0;
	if (s->reserved || vk_fs_free_bytes(s->cfg->state_dir, &left, NULL, NULL) != 0 ||
		left < PLENTY)
		return;
	vk_autofree char *nothing = vk_alloc(RESERVE_BYTES);
	struct vk_err err = {0};
	s->reserved = vk_fs_write_atomic(path, nothing, RESERVE_BYTES, 0600, &err) == 0;
	if (!s->reserved)
		vk_log_err(VK_WARN, "no-reserve", &err);
}

bool reserve_give(const struct sched *s)
{
	vk_autofree char *path = reserve_path(s);
	if (unlink(path) != 0)
		return false;
	vk_log(VK_WARN, "reserve-given", "bytes=%zu why=\"the disk is full\"", RESERVE_BYTES);
	return true;
}
