/*
 * What the embedded back ends of the store share about watches: a bounded history of committed events, and
 * watchers that read it from their revision on. Nothing here calls back except vk_history_pump.
 */
#ifndef VIKING_BASE_STORE_WATCH_H
#define VIKING_BASE_STORE_WATCH_H

#include <viking/store.h>

struct vk_history;
/* rev: the store's revision at open; events up to it are not known (compacted). */
struct vk_history *vk_history_new(uint64_t rev);
void vk_history_free(struct vk_history *h);
/* Events of the transaction that is being committed; they count only after vk_history_commit. */
void vk_history_add(struct vk_history *h, bool del, const struct vk_kv *kv);
void vk_history_commit(struct vk_history *h);
void vk_history_rollback(struct vk_history *h);
uint64_t vk_history_watch(struct vk_history *h, const char *prefix, uint64_t from_rev,
	vk_store_watch_fn *fn, void *arg);
void vk_history_unwatch(struct vk_history *h, uint64_t id);
/* Hands every watcher what it has not seen, then forgets the oldest over the bound. */
void vk_history_pump(struct vk_history *h);
/* True when some watcher has not seen everything. */
bool vk_history_pending(const struct vk_history *h);

#endif
