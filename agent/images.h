/*
 * Pulls, one per image however many instances wait for it. Our registry is asked with the password of
 * STATE/registry/password; errors inside the engine's 200 stream count. A pull that is silent for two
 * minutes is given up.
 */
#ifndef AGENT_IMAGES_H
#define AGENT_IMAGES_H

#include <viking/config.h>
#include <viking/engine.h>
#include <viking/loop.h>

struct images;
struct images_wait;
typedef void images_fn(void *arg, const struct vk_err *err);
struct images *images_new(const struct vk_config *c, struct vk_loop *l, struct vk_engine *e);
void images_free(struct images *s);
struct images_wait *images_pull(struct images *s, const char *image, images_fn *fn, void *arg);
void images_cancel(struct images_wait *w); /* fn is not called; others may still wait */

#endif
