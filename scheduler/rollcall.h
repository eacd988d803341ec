/*
 * Which hosts are not there at all? When an agent goes away every host of the cluster is asked for a TCP connection,
 * once: a machine that is there takes or refuses it at once, whatever of viking runs on it. One that does neither is
 * silent, unless half of the cluster is: then it may be we who are cut off, and nobody is.
 */
#ifndef SCHEDULER_ROLLCALL_H
#define SCHEDULER_ROLLCALL_H

#include <stdbool.h>

struct sched;
struct rollcall;

struct rollcall *rollcall_new(struct sched *s);
void rollcall_free(struct rollcall *r);
/* host has gone away; it is not silent before a round has found so, after which the hub is touched. */
void rollcall_begin(struct rollcall *r, const char *host);
bool rollcall_silent(const struct rollcall *r, const char *host);

#endif
