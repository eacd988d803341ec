/*
 * The path of a request to a website, already decoded once, as a path below the site's directory.
 * What could name something outside, or something hidden, is refused here; openat2 refuses it
 * again. Pure.
 */
#ifndef WEB_PATH_H
#define WEB_PATH_H

#include <stdbool.h>
#include <stddef.h>

#define PATH_TEXT_MAX 1024 /* bytes, as SECURITY.md 5d */

struct site_path {
	char rel[PATH_TEXT_MAX +
		1]; /* "docs/a.html"; "." for the site's root; no slash at the ends */
	bool dir;   /* it ended in a slash: a directory is meant */
};

/* False: nobody has such a path (control bytes, backslash, "..", a hidden name, too long, not from
 * "/"). Doubled slashes are taken as one. Names beginning with a dot are hidden but for
 * /.well-known. */
bool site_path_parse(const char *decoded, struct site_path *ret);
/* "/docs/" percent-encoded, for a redirect to the directory; out holds PATH_LOCATION_MAX. It
 * begins with exactly one slash, so that it cannot name another host. */
#define PATH_LOCATION_MAX (3 * PATH_TEXT_MAX + 3)
void site_path_location(const struct site_path *p, char out[static PATH_LOCATION_MAX]);

#endif
