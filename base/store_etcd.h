/* Inside of the etcd back end: what its operations (store_etcd.c) and its watches (store_etcd_watch.c) share. */
#ifndef VIKING_BASE_STORE_ETCD_H
#define VIKING_BASE_STORE_ETCD_H

#include "store_etcd_http.h"
#include "store_etcd_wire.h"

struct vk_etcd_watches;

struct vk_etcd_watches *vk_etcd_watches_new(struct vk_loop *l, struct vk_etcd_http *h,
	struct vk_store *s, const char *prefix, int64_t check_ms);
void vk_etcd_watches_end(struct vk_etcd_watches *all);  /* no function is called any more */
void vk_etcd_watches_free(struct vk_etcd_watches *all); /* after the answers that name one */
uint64_t vk_etcd_watches_add(struct vk_etcd_watches *all, const char *key, uint64_t from_rev,
	vk_store_watch_fn *fn, void *arg);
void vk_etcd_watches_remove(struct vk_etcd_watches *all, uint64_t id);

/* Around every call of a user's function: a close inside of one waits for its end. */
void vk_store_etcd_enter(struct vk_store *s);
void vk_store_etcd_leave(struct vk_store *s);

#endif
