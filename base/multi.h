/*
 * libcurl's multi interface on the loop, for the clients in base. libcurl forbids calls into itself from its
 * own callbacks, so what is to be begun, ended or handed on there is only noted: `after` runs whenever libcurl
 * has returned, and there everything is allowed.
 */
#ifndef VIKING_BASE_MULTI_H
#define VIKING_BASE_MULTI_H

#include <curl/curl.h>
#include <viking/loop.h>

struct vk_multi {
	CURLM *curl;
	struct vk_loop *loop;
	struct vk_timer *timer; /* libcurl's */
	struct vk_timer *soon;
	unsigned inside; /* depth in libcurl: its calls must not nest */
	vk_timer_fn *after;
	void *arg;
};

void vk_multi_init(
	struct vk_multi *m, struct vk_loop *l, long idle_max, vk_timer_fn *after, void *arg);
void vk_multi_release(struct vk_multi *m); /* its handles have been removed before */
void vk_multi_add(struct vk_multi *m, CURL *easy);
void vk_multi_soon(struct vk_multi *m); /* `after` runs in the next pass of the loop */
/* The next transfer that has ended, or NULL; *ret is its result. */
CURL *vk_multi_ended(struct vk_multi *m, CURLcode *ret);
/* One blocking step outside of the loop, of at most ms; for the end of a program. */
void vk_multi_step(struct vk_multi *m, int ms);

#endif
