/*
 * Which domains a stack has and who owns one. Pure. A domain belongs to one stack only; a wildcard "*.x" covers every
 * name below x, so that neither may another stack take a name under it nor it be taken over such a name.
 * The default domain yields: a stack whose default is covered by another's domain goes without it.
 */
#ifndef SCHEDULER_DOMAINS_H
#define SCHEDULER_DOMAINS_H

#include "instances.h"
#include "rights.h"

/* The node of release entries that domains lead to when none is named: `web`, else the only one that could; NULL if none. */
const char *domains_web(const json_t *entries);
/* True when a host could match both: places of one stack may share one, other stacks' may not. */
bool domains_clash(const char *a, const char *b);
/* The host of a place: "a.com" of "a.com/api"; caller frees. */
char *domains_host(const char *place);
/* "<stack>.<base>" or "<stack>.localhost"; caller frees. */
char *domains_default(const char *stack, const char *base_domain);
/* {"a.com": {"node", "from": "manifest"|"command"|"default"}} for the entries given (NULL = of the serving
 * release). New reference. */
json_t *domains_of(const struct state *st, const struct stack *sk, const json_t *entries,
	const char *base_domain);
/* The same for whoever asks about every stack. *claimed, the caller's, is NULL at first and made when it is needed: the hosts that
 * manifests name, of serving releases and of deploys under way, each with its stack, "" = several. */
json_t *domains_among(const struct state *st, const struct stack *sk, const json_t *entries,
	const char *base_domain, json_t **claimed);
/* The stack whose name the base domain gives a domain to: "api" for api.BASE and all names below it, "" for BASE
 * itself and *.BASE, which are nobody's; NULL: no name below BASE. The caller frees. Without a base: localhost. */
char *domains_namesake(const char *domain, const char *base_domain);
/* The other stack that holds what clashes with domain (in its serving release, in a deploy under way, by command or as its
 * default), or NULL. */
const char *domains_owner(
	const struct state *st, const char *stack, const char *domain, const char *base_domain);
/* Likewise for a published host port, "5000/tcp". */
const char *publish_owner(const struct state *st, const char *stack, const char *port);
/* Do node names of this document and another stack's make equal instance names ("a-b" + "c" = "a" + "b-c")? Names
 * both in err, if the caller may see the other. */
int names_check(const struct state *st, const struct caller *c, const char *stack,
	const json_t *doc, struct vk_err *err);
/* Takes the domains out that nothing serves, since their node has 0 instances; adds those nodes to ret. */
void domains_take_idle(const struct stack *sk, json_t *domains, struct vk_strv *ret);
/* http://domain[:port]/ for each exact domain of the entries; https:// where one of `shown` (certs_shown) is for it. */
void domains_urls(const json_t *domains, const json_t *shown, uint64_t http_port,
	uint64_t https_port, struct vk_strv *ret);

#endif
