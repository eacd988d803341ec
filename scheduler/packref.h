/*
 * One buildpack as people name it -> the form a job carries, or a refusal in one line. Pure. What a tenant writes ends as an
 * argument of git or of an HTTP client inside a build container, so only what is known to be harmless passes:
 *
 *	node, own:node             a pack of ours                      own:node
 *	inline                     the application's own scripts       inline
 *	heroku/nodejs[#REF]        Heroku's name for one of its packs  https://github.com/heroku/heroku-buildpack-nodejs[#REF]
 *	SCHEME://HOST/PATH[#REF]   as policy.pack_urls allows; no user, no loopback or link-local address
 *	/DIR, file:///DIR          a directory of the host under policy.pack_paths
 */
#ifndef SCHEDULER_PACKREF_H
#define SCHEDULER_PACKREF_H

#include <stdbool.h>
#include <viking/config.h>
#include <viking/err.h>

#define PACKREF_MAX 1024 /* bytes of one */

int packref_parse(const struct vk_config *cfg, const char *text, char **ret, struct vk_err *err);
bool packref_own(const char *name); /* is there a pack of ours with that name? */

#endif
