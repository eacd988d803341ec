/*
 * The commands that make HAProxy's runtime state the wanted one: a difference of two models. An
 * empty plan is the proof that they are equal. Pure.
 *
 * Order: certificates that come, routes that go (so that no name leads to a backend that changes its owner), policies and
 * what else routes refer to, servers that begin, routes that come or move, servers that end, what no
 * route refers to any more.
 */
#ifndef ROUTER_PLAN_H
#define ROUTER_PLAN_H

#include <stdbool.h>
#include <viking/mem.h>

#include "change.h"

enum step_kind {
	STEP_LINE, /* commands joined by ';' */
	STEP_SWAP, /* the whole map by prepare, add, commit; of the suffixes, where order matters,
	            * every change is a swap */
	STEP_CERT, /* a certificate is added; line is its id */
};

struct step {
	enum step_kind kind;
	char *line;      /* with newline; NULL for swaps */
	enum map_id map; /* of a swap */
};

struct plan {
	struct step *steps;
	size_t n, cap;
	unsigned *touched; /* backends whose servers are changed; may repeat */
	size_t n_touched;
	bool certs;
	unsigned maps; /* those that are changed: bit 1 << id */
	bool reload;   /* haproxy has too few backends: nothing else is planned */
};

#define PLAN_LINE_MAX      12000 /* bytes; haproxy's command line buffer has 16 KiB */
#define PLAN_DELETES_MAX   100   /* single deletes cost O(entries): more go by a swap of the map */
#define PLAN_STALL_ENTRIES 70000 /* entries looked at by the deletes of one line: about 2 ms */

struct plan_paths {
	const char *maps[MAPS];       /* as named in the configuration */
	const char *certs, *cert_dir; /* the list, and where its files are */
};

void plan_make(const struct model *want, const struct model *live, const struct plan_paths *paths,
	struct plan *ret);
/* The same, looking only at what the change names: the rest is known to be equal. Its keys are read back one by one, so `maps` has
 * only those that are swapped. */
void plan_change(const struct model *want, const struct model *live, const struct change *change,
	const struct plan_paths *paths, struct plan *ret);
bool plan_empty(const struct plan *p);
void plan_release(struct plan *p);

/* One `add map @V F <<` command with entries from `from` on; returns the index after the last one.
 * */
size_t plan_swap_chunk(const struct routes *r, size_t from, const char *path, unsigned version,
	struct vk_buf *out);

/* Calls fn for each backend (number; 0 = the maps or no backend of ours) that differs. */
typedef void plan_differs_fn(void *arg, unsigned backend);
void plan_differences(
	const struct model *want, const struct model *live, plan_differs_fn *fn, void *arg);

#endif
