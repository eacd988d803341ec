/*
 * Names of buildpacks as people write them, brought to one form each:
 *
 *	node, own:node             a pack of ours                      own:node
 *	inline                     the application's own scripts       inline
 *	heroku/nodejs[#REF]        Heroku's name for one of its packs  https://github.com/heroku/heroku-buildpack-nodejs[#REF]
 *	https://HOST/PATH[#REF]    a git repository (http, git too)    as written
 *	https://HOST/PATH.tgz      a tarball: .tar .tar.gz .tgz .tbz .tar.bz2
 *	/DIR, file:///DIR          a directory of the host             /DIR
 *
 * What a tenant writes here ends as an argument of git or of an HTTP client in a build container, so only what is known to
 * be harmless passes: no other scheme (ext::, ssh), no option, no user in a URL, no loopback or link-local host, no
 * byte that a shell or a terminal knows. Which of the rest a host lets in is policy, which is the scheduler's. Pure.
 */
#ifndef VIKING_PACK_NAME_H
#define VIKING_PACK_NAME_H

#include <stdbool.h>
#include <viking/err.h>

#define VK_PACK_NAME_MAX 1024 /* bytes of one as written */
#define VK_PACKS_MAX     20   /* of one boat */

enum vk_pack_kind { VK_PACK_OWN, VK_PACK_INLINE, VK_PACK_GIT, VK_PACK_TAR, VK_PACK_DIR };

extern const char *const vk_own_packs[]; /* in the order of detection; ends with NULL */
bool vk_pack_is_own(const char *name);

/* *ret: the one form, the caller frees; it is its own form. A refusal is VK_INVALID, one line, without the user and
 * password that a URL may have. */
int vk_pack_name(const char *text, char **ret, enum vk_pack_kind *ret_kind, struct vk_err *err);
/* The refusal of one that is right but not wanted: code and the caller's reason, in the same form. */
int vk_pack_refuse(const char *text, int code, const char *why, struct vk_err *err);

#endif
