/*
 * Certificates of stacks: read and checked (viking/cert.h) when they are added, kept sealed, shown for those of the stack's
 * domains that they name. A name that several cover gets the one added last. The router knows a certificate with its names
 * by one id: another name is another id.
 */
#ifndef SCHEDULER_CERTS_H
#define SCHEDULER_CERTS_H

#include <viking/cert.h>

#include "hub.h"

#define CERT_WARN_DAYS 14

/* {ID: {"names": [..], "row": "STACK/KEY"}}: what is to be shown for the hosts of `domains` (domains_of). New reference. */
json_t *certs_shown(const struct state *st, const char *stack, const json_t *domains);

/* Is one of them for this host (of n bytes)? */
bool certs_cover(const json_t *shown, const char *host, size_t n);
/* Hosts of the serving release that send all to HTTPS and have no certificate to be seen there with. */
void certs_missing(const struct sched *s, const struct stack *sk, struct vk_strv *ret);

/* Warns by events, hourly looked at, of what ends within CERT_WARN_DAYS. */
struct certs *certs_new(struct sched *s);
void certs_free(struct certs *c);
void certs_doctor(struct sched *s, json_t *checks);

#endif
