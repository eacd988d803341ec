/*
 * Work of the certs process (certs/): PEM from outside is read there, in a child, never here; and orders of certificates
 * (acme.h). One list that it follows, answers by id.
 */
#ifndef SCHEDULER_CERTWORK_H
#define SCHEDULER_CERTWORK_H

#include <viking/cert.h>

#include "hub.h"

struct certwork *certwork_new(struct sched *s);
void certwork_free(struct certwork *w);
void certwork_watch(struct sched *s, struct vk_req *r);
void certwork_refresh(struct sched *s);    /* the list may have changed */
bool certwork_live(const struct sched *s); /* somebody follows the list */

/* Reads and checks a chain and its key: fn gets it (its own until it returns), or what is wrong with it. Always called later,
 * within CERTWORK_CHECK_MS. */
#define CERTWORK_CHECK_MS 10000
typedef void certwork_fn(void *arg, const struct vk_cert *cert, const struct vk_err *err);
void certwork_check(struct sched *s, const char *pem, certwork_fn *fn, void *arg);
/* An answer of the process; VK_NOTFOUND: nobody waits for it. */
int certwork_answer(struct sched *s, const char *id, const json_t *body, struct vk_err *err);
/* The certificate in an answer, borrowed from body; or why there is none. */
int certwork_cert(const json_t *body, struct vk_cert *ret, struct vk_err *err);

#endif
