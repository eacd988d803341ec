/*
 * viking-export: the short-lived child in which everything a tenant pushed is parsed. It reads a
 * bare repository and writes JSON, a tar or a website's files; it has limits, a deadline and no
 * network. docs/protocol.md sections 3 to 5 describe what it prints.
 */
#ifndef VIKING_EXPORT_H
#define VIKING_EXPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <viking/config.h>
#include <viking/err.h>
#include <viking/mem.h>

#include "manifest.h"
#include "tree.h"

struct export
{
	struct vk_config *config;
	const char *mode; /* check, serve, file, context, dockerfile */
	const char *path; /* the word behind the mode */
	const char *repo, *quarantine, *commit, *stack, *static_dir;
	const char *refs, *args; /* JSON objects */
	bool json, print, rewrite;
	char *registry; /* host:port of ours; owned */
	char *cwd;      /* where relative paths begin; owned */
	bool answered;  /* the JSON line is out: errors can no longer be told */
};

int export_parse(struct export *x, int argc, char **argv, struct vk_err *err);
int export_run(struct export *x, struct vk_err *err);
void export_release(struct export *x);
/* The error for whoever called: JSON on stdout for programs, lines on stderr for people.
 * Returns the exit status. */
int export_report(const struct export *x, const struct vk_err *err);
int export_print_json(const json_t *j, struct vk_err *err);

/* -- modes -- */
int export_check(struct export *x, struct vk_err *err);
int export_serve(struct export *x, struct vk_err *err);
int export_file(struct export *x, struct vk_err *err);
int export_context(struct export *x, struct vk_err *err);
int export_dockerfile(struct export *x, struct vk_err *err);

/* -- confinement (export_sandbox.c) -- */
struct export_limits {
	unsigned deadline_s, cpu_s; /* the deadline first: the kernel's end comes without a word */
	uint64_t memory;
};
/* After this: files below read_dir and read_dir2 can be read, below write_dir written (each
 * may be NULL), no program be started and no socket made; at the deadline the process ends
 * with an error line. */
int export_confine(const struct export *x, const struct export_limits *l, const char *read_dir,
	const char *read_dir2, const char *write_dir, struct vk_err *err);

/* Sets the deadline anew, in seconds from now. */
int export_extend(unsigned seconds, struct vk_err *err);

/* -- where files beside a manifest come from -- */
struct export_tree_files {
	struct tree_store *store;
	git_oid root;
};
struct manifest_files export_files_of_tree(struct export_tree_files *t);
struct manifest_files export_files_of_dir(const char *dir); /* borrowed */

#endif
