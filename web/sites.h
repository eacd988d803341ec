/*
 * Which files a host name shows: the table of the scheduler, checked entry by entry. A bad entry
 * is left out (the one before stays) and the others go on. Pure.
 */
#ifndef WEB_SITES_H
#define WEB_SITES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>

struct site {
	char *key; /* "help.a.com", or ".b.com" for "*.b.com" */
	char *stack, *node, *commit;
};

struct sites {
	int64_t rev;
	struct site *v; /* sorted by key */
	size_t n;
};

/* old may be NULL. bad: called for each entry that is refused; may be NULL. */
typedef void sites_bad_fn(void *arg, const char *host, const struct vk_err *err);
int sites_parse(const json_t *doc, const struct sites *old, sites_bad_fn *bad, void *arg,
	struct sites **ret, struct vk_err *err);
void sites_free(struct sites *s);
/* host: as in a Host header: any case, perhaps a port, perhaps a trailing dot. The exact name,
 * else the longest suffix; NULL if there is none. */
const struct site *sites_find(const struct sites *s, const char *host);

#endif
