/* Who sent a request: peer credentials, Viking-Role, bearer token (docs/protocol.md 1). */
#ifndef SCHEDULER_PEER_H
#define SCHEDULER_PEER_H

#include "api.h"

/* Fills c->who and what it borrows. DENIED when nobody we know. */
int peer_identify(struct call *c, struct vk_err *err);
/* For a request that another host is to answer, which believes what this one lets through: as peer_identify, but of a token only
 * that the caller may use one at all. Whom it stands for is known there. */
int peer_vouch(struct call *c, struct vk_err *err);

#endif
