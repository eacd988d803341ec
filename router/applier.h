/*
 * Makes HAProxy's runtime state equal to the wanted one: writes the files, tells the runtime
 * socket the difference, reads back what was touched, and repeats until there is no difference. A
 * reload only when haproxy has too few backends or another head of its file.
 *
 *   idle -> [check] -> files -> wait for haproxy -> [reload] -> read -> tell -> read -> idle
 *
 * A change of a state that is in force goes the same way, but looks only at what it names: a few lines of the files, one exchange that
 * tells and reads back. When that does not end in the wanted state, everything is read and repaired as ever.
 */
#ifndef ROUTER_APPLIER_H
#define ROUTER_APPLIER_H

#include <viking/loop.h>

#include "assign.h"
#include "change.h"
#include "files.h"
#include "link.h"

struct applier;

/* The end of a run. equal: haproxy's state is the wanted one but for the backends named in
 * `faults`. Not equal and faults->n > 0: the file was refused and nothing changed; the caller may
 * give a wanted state without the stacks named (backend numbers in `faults` are stacks' names
 * already). */
struct applier_result {
	bool equal;
	const struct faults *faults; /* borrowed for the call */
	struct vk_err err;
};
typedef void applier_fn(void *arg, const struct applier_result *r);

struct applier_opts {
	struct files *files;        /* borrowed, as all below */
	const char *haproxy;        /* path of the program, for -c */
	const char *admin, *master; /* sockets */
	unsigned checked; /* backends of the present file, if haproxy -c found it valid; 0 = not */
	struct assign *assign; /* saved with each run; `reload` is cleared when it is done */
};
struct applier *applier_new(
	struct vk_loop *l, const struct applier_opts *o, applier_fn *fn, void *arg);
void applier_free(struct applier *a);
/* In the middle of a run; its end is told to fn. Nothing may be set before. */
bool applier_busy(const struct applier *a);
/* The wanted state; taken over (*want is emptied). */
void applier_set(struct applier *a, struct model *want);
/* The wanted state if it is in force and haproxy is there, else NULL: for who changes it in place and says what with applier_change(), which
 * takes the change over. */
struct model *applier_settled(struct applier *a);
void applier_change(struct applier *a, struct change *change);
/* From the link: haproxy is there (again), or gone. */
void applier_link(struct applier *a, bool up);
void applier_use_link(struct applier *a, struct link *k); /* to be restarted after a reload */
unsigned applier_reloads(const struct applier *a);

#endif
