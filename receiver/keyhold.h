/*
 * The right to be here: the stream of POST /v1/internal/session. As long as it is open the key may act and
 * its token works; a line {"revoked"} or a refusal on coming back ends the connection. When the API goes
 * away (an upgrade) the hold is `lost`, running commands go on, and it is asked for again.
 */
#ifndef RECEIVER_KEYHOLD_H
#define RECEIVER_KEYHOLD_H

#include <stdbool.h>
#include <viking/api.h>
#include <viking/err.h>
#include <viking/loop.h>

struct keyhold;
typedef void keyhold_fn(void *arg, const char *why); /* revoked; from the loop; called once */

/* Blocks until the first line is there. VK_DENIED: this key may not log in. */
int keyhold_new(struct vk_loop *l, const char *socket, const char *key, const char *addr,
	keyhold_fn *revoked, void *arg, struct keyhold **ret, struct vk_err *err);
/* The right of another host's hold: it lives and ends there (far.h). Never lost here. */
struct keyhold *keyhold_given(const char *name, const char *token);
/* Comes back if it was lost (blocks as new does). VK_DENIED: revoked meanwhile. */
int keyhold_renew(struct keyhold *k, struct vk_err *err);
void keyhold_free(struct keyhold *k);

const char *keyhold_name(const struct keyhold *k);
const char *keyhold_fingerprint(const struct keyhold *k);
const char *keyhold_role(const struct keyhold *k);
const char *keyhold_token(const struct keyhold *k);

#endif
