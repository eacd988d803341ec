/*
 * What a run of packs left in /viking-result (packaging/stack/bin/run-packs), and what it means: the
 * process types of the application and the packs that made it, or one line about what failed. Pure.
 */
#ifndef BUILDER_PACK_RESULT_H
#define BUILDER_PACK_RESULT_H

#include <jansson.h>
#include <viking/mem.h>

#include "limits.h"

#define RESULT_MAX (1u << 20) /* of the tar */

enum pack_exit {
	PACK_EXIT_OPEN = 19,  /* the network could not be closed (box_entry.c) */
	PACK_EXIT_NONE = 20,  /* nothing applies */
	PACK_EXIT_FETCH = 21, /* a pack is not to be had, or is no pack */
	PACK_EXIT_DETECT = 22,
	PACK_EXIT_COMPILE = 23,
	PACK_EXIT_RELEASE = 24,
};

struct pack_result {
	json_t *processes, *packs, *config_vars;
	bool from_procfile;
	char at[200];     /* "PACK PHASE": what it was at last */
	char failed[200]; /* "PACK PHASE STATUS" or "" */
};

/* tar: /viking-result as the engine sends it. */
int pack_result_read(const char *tar, size_t n, struct pack_result *ret, struct vk_err *err);
void pack_result_release(struct pack_result *r);
/* The error of a run that ended with `status`, or was ended by us (status < 0, err says why already). */
int pack_result_explain(const struct pack_result *r, int status, const struct limits *l,
	const struct limit_signs *signs, struct vk_err *err);
/* The lines of /app/.viking/config_vars.sh. */
void pack_result_vars(const json_t *config_vars, struct vk_buf *out);

#endif
