/*
 * Logins that are alive: each is a stream held by a receiver's session, and its token is good exactly as long. A session
 * also keeps the one push document that pre-receive brought, for proc-receive to push.
 */
#ifndef SCHEDULER_SESSIONS_H
#define SCHEDULER_SESSIONS_H

#include "hub.h"

struct session {
	char token[65];
	char *key; /* name of the key */
	char *stack, *commit;
	json_t *doc; /* document of (stack, commit), NULL = none kept */
	struct vk_req *r;
	struct sched *s;
	struct session *next;
};

struct sessions *sessions_new(struct sched *s);
void sessions_free(struct sessions *t);
/* The key a line stands for, if it may log in now: DENIED otherwise. */
int sessions_key(struct sched *s, const char *line, struct key_row **ret, struct vk_err *err);
/* Makes a session of the key and answers r as its stream. */
void sessions_open(struct sched *s, const struct key_row *key, struct vk_req *r);
struct session *sessions_find(struct sched *s, const char *token); /* NULL if unknown or over */
void session_keep(struct session *se, const char *stack, const char *commit,
	json_t *doc); /* doc: new reference taken */
const json_t *session_doc(const struct session *se, const char *stack, const char *commit);
/* Ends all sessions of a key, telling them why. */
void sessions_revoke(struct sched *s, const char *key, const char *why);

#endif
