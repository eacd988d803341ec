/* `haproxy -c` over a rendered file, as a child with a deadline. */
#ifndef ROUTER_CHECK_H
#define ROUTER_CHECK_H

#include <viking/err.h>
#include <viking/loop.h>
#include <viking/mem.h>

struct check;

/* err->code 0: the file is valid. messages: what haproxy printed, borrowed for the call. The check
 * is freed behind it. */
typedef void check_done_fn(void *arg, const struct vk_err *err, const char *messages);

int check_start(struct vk_loop *l, const char *haproxy, const char *file, check_done_fn *done,
	void *arg, struct check **ret, struct vk_err *err);
void check_free(struct check *c); /* kills a running child; done is not called */
/* The same, waiting: for the first file, before anything is served. messages may be NULL. */
int check_now(const char *haproxy, const char *file, struct vk_buf *messages, struct vk_err *err);

#endif
