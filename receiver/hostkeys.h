/*
 * The host keys, ed25519 and rsa, in STATE/ssh: made once, kept for ever (a changed host key locks every
 * client out), and held as one ssh_bind with all of SECURITY.md 5c's algorithm lists set.
 */
#ifndef RECEIVER_HOSTKEYS_H
#define RECEIVER_HOSTKEYS_H

#include <viking/config.h>
#include <viking/err.h>

struct hostkeys;
int hostkeys_load(const struct vk_config *c, struct hostkeys **ret, struct vk_err *err);
void hostkeys_free(struct hostkeys *k);
/* Makes an accepted socket (taken over) a server session that has not yet read anything. */
struct ssh_session_struct;
int hostkeys_accept(
	struct hostkeys *k, int fd, struct ssh_session_struct **ret, struct vk_err *err);

#endif
