/*
 * The authority that makes a cluster's hosts known to each other (docs/protocol.md 9). Whoever may lead may sign, so every
 * host's scheduler has its key: STATE/sched/hosts-ca.{pem,key}, made at the first invitation, brought along by each join.
 */
#ifndef SCHEDULER_AUTHORITY_H
#define SCHEDULER_AUTHORITY_H

#include <viking/config.h>
#include <viking/loop.h>
#include <viking/tls.h>

/* This host's own certificate, made anew in time as long as the handle lives. */
struct authority *authority_new(struct vk_loop *l, const struct vk_config *c);
void authority_free(struct authority *a);

bool authority_exists(const struct vk_config *c);
/* Makes the authority and this host's key and certificate as far as they are missing. */
int authority_make(const struct vk_config *c, struct vk_err *err);
/* This host's certificate, as others see it. */
int authority_own(const struct vk_config *c, struct vk_tls_info *ret, struct vk_err *err);
/* A certificate for the host's name and address, whatever the request says; VK_INVALID as vk_tls_sign. */
int authority_sign(const struct vk_config *c, const char *host, const char *addr,
	const char *request, char **ret_cert, struct vk_err *err);

#endif
