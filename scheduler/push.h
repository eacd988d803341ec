/* Checks of a pushed document that need the state: policy, owners of domains and ports, references, names. */
#ifndef SCHEDULER_PUSH_H
#define SCHEDULER_PUSH_H

#include "hub.h"
#include "rights.h"

/* {"domains": [...], "publish": ["5000/tcp"]} a document asks for. New reference. */
json_t *push_claims(const json_t *doc);
/* Are they free for this stack? CONFLICT names who has it, if the caller may see that stack. Also names of containers
 * (names_check). */
int push_claims_check(struct sched *s, const struct caller *c, const char *stack, const json_t *doc,
	struct vk_err *err);
/* CONFLICT when a domain is another stack's, or is being given to one right now. */
int push_domain_free(struct sched *s, const struct caller *c, const char *stack, const char *domain,
	struct vk_err *err);
/* DENIED when the base domain keeps this name for a stack that the caller has no right on, or for the host. */
int push_domain_allowed(const struct sched *s, const struct caller *c, const char *stack,
	const char *domain, struct vk_err *err);
/* Everything, with the caller's rights on other stacks' boats. */
int push_check(struct sched *s, const struct caller *c, const char *stack, const json_t *doc,
	struct vk_err *err);
/* Where the hosts differ from those that the manifest's nodes: expects: absent ones, missing roles, unexpected ones. */
void push_hosts(const struct sched *s, const json_t *doc, json_t *lines);
/* Lines of a dry run: processes, configuration names, placement, what would change. */
void push_plan(struct sched *s, const char *stack, const json_t *doc, json_t *lines);

#endif
