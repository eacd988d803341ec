/*
 * Who may do what: the one table of verbs. An admin may all; a deploy key the verbs marked so, on the stacks its globs
 * match; our own processes the internal routes of their role. Pure.
 */
#ifndef SCHEDULER_RIGHTS_H
#define SCHEDULER_RIGHTS_H

#include <jansson.h>
#include <stdbool.h>
#include <viking/err.h>

enum verb {
	VERB_NONE, /* anybody who may talk to us at all */
	VERB_PUSH,
	VERB_FETCH,
	VERB_READ,
	VERB_CONFIG,
	VERB_PS,
	VERB_RUN,
	VERB_LOGS,
	VERB_RELEASE,
	VERB_ADMIN, /* keys, destroy, rename, state, backup ... */
	VERB_COUNT,
};

enum role { /* bits: a route names all roles that may call it */
	ROLE_AGENT = 1,
	ROLE_BUILDER = 2,
	ROLE_ROUTER = 4,
	ROLE_WEB = 8,
	ROLE_RECEIVER = 16,
	ROLE_HOOK = 32,
	ROLE_DNS = 64,
	ROLE_FIREWALL = 128,
	ROLE_CERTS = 256,
	ROLE_FRONT = 512,
	ROLE_STRANGER = 1024, /* a client of the front without a certificate: no process of ours */
};

enum caller_kind { CALLER_LOCAL_ADMIN, CALLER_KEY, CALLER_ROLE };

struct caller {
	enum caller_kind kind;
	unsigned role; /* CALLER_ROLE, or a key's call from one of our processes: bits */
	char name
		[144]; /* "local:root", "key:NAME" or "role:NAME", "@HOST" behind it when it came through
	                   * another host: the who of rows, events, audit */
	const char *key_role; /* CALLER_KEY: "admin" or "deploy"; borrowed */
	const json_t *stacks; /* CALLER_KEY: globs; borrowed */
	const char *token;    /* CALLER_KEY; borrowed */
	const char *fingerprint;
};

const char *verb_name(enum verb v);
unsigned role_from_name(const char *name); /* 0 for an unknown name */
/* stack NULL = the verb is not about one stack. DENIED names what was missing. */
int rights_check(const struct caller *c, enum verb v, const char *stack, struct vk_err *err);
/* May the caller see this stack at all (lists)? */
bool rights_sees(const struct caller *c, const char *stack);
/* What it may be called to the caller: its name, or "another stack" to who may not see it. */
const char *rights_name(const struct caller *c, const char *stack);

#endif
