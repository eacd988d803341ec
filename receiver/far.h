/*
 * git between hosts. The repositories of a cluster are on one of its hosts; a push to any other goes there:
 *
 *   session - monitor - viking-remote - RUN/hosts/H/receiver.sock = front ~TLS~ front = RUN/receiver.sock - monitor - git
 *
 * viking-remote stands in git's place. It sends one JSON line {"command": the client's line, "key": its name, "token",
 * "git_protocol", "copy": bool}, then frames (section 6 of docs/protocol.md) with git's pipes both ways, the last {"status": n}. This is the
 * far end: a session of one command, whose client is another host. That host vouches for nothing but the bytes: the token is
 * asked about here as there, and is good as long as the client's session lives.
 */
#ifndef RECEIVER_FAR_H
#define RECEIVER_FAR_H

#include <viking/loop.h>

#include "keyhold.h"

struct far;
/* fd: the connection, taken over; its line is waited for. session: the monitor's end of the socket pair on which the command is
 * asked for, as any session would; its end is that of all. */
int far_new(struct vk_loop *l, int fd, struct far **ret, int *ret_session, struct keyhold **ret_key,
	struct vk_err *err);
/* Does the holder bring what was pushed there, to be kept here (program_copy)? */
bool far_is_copy(const struct far *f);
void far_free(struct far *f);

#endif
