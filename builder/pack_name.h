/*
 * Names of buildpacks as people write them, brought to one form each:
 *   https://host/path[.git][#ref]   a git repository        (http:// and git:// too)
 *   https://host/path.tgz           a tarball               (.tar .tar.gz .tgz .tbz .tar.bz2)
 *   heroku/nodejs                   https://github.com/heroku/heroku-buildpack-nodejs
 *   node, own:node                  "own:node": one of ours
 *   inline                          the application's own bin/detect and bin/compile
 *   /srv/packs/x, file:///srv/..    "/srv/packs/x": a directory of the host; policy decides whether it may be
 * Everything else is refused here: other schemes (ext::, ssh), options, credentials in a URL, control bytes, loopback
 * and link-local hosts. What of the rest a host lets in is policy, which is the scheduler's. Pure.
 */
#ifndef BUILDER_PACK_NAME_H
#define BUILDER_PACK_NAME_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <viking/err.h>

#define PACK_NAME_MAX    1024
#define PACKS_MAX        32 /* of one boat */
#define BUILDPACKS_BYTES (64 * 1024)

enum pack_kind { PACK_OWN, PACK_INLINE, PACK_GIT, PACK_TAR, PACK_DIR };

extern const char *const own_packs[]; /* in the order of detection; ends with NULL */
bool pack_is_own(const char *name);

/* *ret: the one form, the caller frees. */
int pack_name(const char *text, char **ret, enum pack_kind *ret_kind, struct vk_err *err);
/* The file .buildpacks: one a line, blank lines and # comments left out. *ret: a new list of names; errors are
 * ".buildpacks:2: what". */
int buildpacks_parse(const char *text, size_t n, json_t **ret, struct vk_err *err);

#endif
