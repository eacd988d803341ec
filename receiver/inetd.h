/*
 * Sockets below RUN whose connections each get a program of their own, with the connection as its standard input, as inetd did
 * it; the listener reads none of it. export.sock: the builder asks for a commit's tree (`viking-export serve`, which answers on its
 * standard output). receiver.sock: another host comes for git (`viking-monitor far`, far.h; its standard output takes what a
 * connection's monitor tells the listener).
 */
#ifndef RECEIVER_INETD_H
#define RECEIVER_INETD_H

#include <viking/config.h>
#include <viking/err.h>
#include <viking/loop.h>

#include "housekeeping.h"

struct inetd;
int inetd_exports(struct vk_loop *l, const struct vk_config *c, const char *config_file,
	struct inetd **ret, struct vk_err *err);
/* house is told of pushes; borrowed. */
int inetd_hosts(struct vk_loop *l, const struct vk_config *c, const char *config_file,
	struct housekeeping *house, struct inetd **ret, struct vk_err *err);
void inetd_free(struct inetd *e); /* ends all that run */

#endif
