/*
 * The rules for refs, each update judged by itself (DESIGN section 5): the deploy branches deploy, tags
 * are stored, everything else is refused with the line to type. Pure: pre-receive and proc-receive judge
 * the same list and come to the same answer.
 */
#ifndef HOOKS_REFS_H
#define HOOKS_REFS_H

#include <stdbool.h>
#include <stddef.h>
#include <viking/err.h>
#include <viking/mem.h>

#define REF_UPDATES_MAX 1000
#define REF_NAME_MAX    255
#define REASON_MAX      200 /* bytes of a reason in git's `ng` line */

struct ref_update {
	char old[41], new[41]; /* 40 hex digits; zeros = does not exist */
	char *ref;
};

enum ref_kind { REF_DEPLOY, REF_TAG, REF_REFUSED };
struct ref_verdict {
	enum ref_kind kind;
	char reason[REASON_MAX + 1]; /* REFUSED: one printable line */
	char hint[REASON_MAX + 1];   /* what to type, or "" */
};

struct ref_updates {
	struct ref_update *v;
	size_t n;
	struct ref_verdict *verdicts; /* after refs_judge: n of them */
};

/* "OLD NEW REF". sha256 object names are refused by name. */
int refs_add(struct ref_updates *u, const char *line, size_t n, struct vk_err *err);
/* branches: the names that deploy, comma-separated; preferred: the one to name in hints. */
void refs_judge(struct ref_updates *u, const char *branches, const char *preferred);
bool refs_all_refused(const struct ref_updates *u);
const struct ref_update *refs_deploying(
	const struct ref_updates *u); /* NULL if none; at most one is */
void refs_release(struct ref_updates *u);

bool ref_is_zero(const char *oid);
/* The first name of the comma-separated list; name holds REF_NAME_MAX + 1. */
void refs_first_branch(const char *branches, char *name);
bool refs_is_branch(const char *branches, const char *name);

#endif
