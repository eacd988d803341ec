/* The web process: the table of sites from the scheduler and the listener for HAProxy, on one
 * loop. */
#ifndef WEB_H
#define WEB_H

#include <viking/config.h>
#include <viking/err.h>
#include <viking/loop.h>
#include <viking/sandbox.h>

struct web;

/* Opens the socket and the directory: before the sandbox. */
int web_new(struct vk_loop *l, const struct vk_config *c, struct web **ret, struct vk_err *err);
/* Read access below STATE/static and no other right: the socket is open already. */
int web_confine(const struct vk_config *c, struct vk_sandbox_report *ret, struct vk_err *err);
/* Begins to answer and to watch the scheduler: inside the sandbox. */
int web_start(struct web *w, struct vk_err *err);
void web_free(struct web *w);

#endif
