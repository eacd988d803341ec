/*
 * Reads the answers of HAProxy's runtime and master sockets (2.6). Unknown lines are skipped: what
 * cannot be read is missing in the result, and what is missing is repaired. Pure.
 */
#ifndef ROUTER_ANSWERS_H
#define ROUTER_ANSWERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "model.h"

#define ANSWER_WORKERS_MAX 64

/* `show servers state [B]`: sets the slots named in it. */
void answer_servers(const char *text, struct model *live);
/* `show map F`, or a map file: keys and values in order. with_pointer: each line has the entry's
 * address first. */
void answer_map(const char *text, bool with_pointer, struct routes *ret);
/* The next answer of `get map F K` in the text: the value, NULL when the map has not just this key; the caller frees. */
char *answer_key(const char **at, const char *key);
/* `show ssl crt-list F`, or the list itself: ".../ID.pem name name" -> ID and "name,name"; sorted. */
void answer_certs(const char *text, struct routes *ret);
pid_t answer_pid(const char *text); /* `show info`; 0 if it is not there */
/* `prepare map F` -> the number of the new version, 0 if refused. */
unsigned answer_version(const char *text);
/* First line that is not known as a success, or NULL. *ret_n bytes; not terminated. */
const char *answer_trouble(const char *text, size_t *ret_n);

struct workers { /* `show proc` */
	pid_t current;
	pid_t old[ANSWER_WORKERS_MAX];
	unsigned n_old;
	unsigned failed; /* reloads that failed since the last good one */
};
void answer_proc(const char *text, struct workers *ret);

/* `show servers conn`: connections in use to addr:port over all backends of ours. */
unsigned long answer_connections(const char *text, const char *addr, unsigned port);

#endif
