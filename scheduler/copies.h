/*
 * A second host with all images: the next holder (holder.h) has a job on its builder's list, which copies what releases name from
 * the holder's registry into its own storage. Nothing of it is stored: whoever leads asks anew, and a host that has them all
 * says so at once, also while the holder is away. Repositories come by the pushes themselves (the receiver's program_copy). When
 * the holder is lost, a host that has all images takes its role: no command is needed.
 */
#ifndef SCHEDULER_COPIES_H
#define SCHEDULER_COPIES_H

#include "hub.h"

struct copies;
struct copies *copies_new(struct sched *s);
void copies_free(struct copies *c);
void copies_look(struct sched *s); /* after every change */
/* The host that keeps copies, while it is there; or NULL. */
const char *copies_host(const struct sched *s);
/* The list of a host's builder ("" = ours); NULL: it is not the one. */
struct feed *copies_feed(const struct sched *s, const char *host);
bool copies_is_job(const char *id);
void copies_report(struct sched *s, const char *host, const char *id, const json_t *body);
/* Has the next holder all images? *ret_host: its name, NULL without one; *ret_why: what is missing, "" when that is not known. */
bool copies_whole(const struct sched *s, const char **ret_host, const char **ret_why);

#endif
