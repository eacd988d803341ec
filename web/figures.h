/*
 * The API's TCP front, as far as it goes: GET /metrics for a Prometheus that has the token. Closed unless metrics.token is set. The text
 * is the scheduler's; nothing else of the API can be reached from here.
 */
#ifndef WEB_FIGURES_H
#define WEB_FIGURES_H

#include <viking/role.h>

struct figures;
/* Opens web.address:web.port, before the sandbox; *ret NULL when it is off. */
int figures_new(struct vk_role *role, struct figures **ret, struct vk_err *err);
int figures_start(struct figures *f, struct vk_err *err); /* f NULL is fine, here and below */
void figures_free(struct figures *f);

/* Does the header "Bearer TOKEN" hold the token of which digest (64 hex digits) is the SHA-256? */
bool figures_allowed(const char *authorization, const char *digest);

#endif
