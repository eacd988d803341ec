/*
 * The manifest ("vikingfile"): YAML of the native dialect in, the push document of docs/protocol.md
 * section 4 out, all defaults filled in. Pure: what it needs of the repository comes through
 * struct manifest_files. Errors are "FILE:line:col: what"; unknown keys come with a suggestion. The
 * keys are in docs/vikingfile.md; what the document's fields are called is in tables here.
 */
#ifndef VIKING_MANIFEST_H
#define VIKING_MANIFEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <viking/err.h>
#include <viking/mem.h>

#define MANIFEST_MAX       (64 * 1024)
#define MANIFEST_BOATS     64
#define MANIFEST_NODES     256
#define MANIFEST_ENV_BYTES (128 * 1024) /* of all variables of a stack or node */
#define MANIFEST_ENV_NAMES 256

/* The files beside the manifest: a commit's tree or a directory. Paths are clean and relative. */
struct manifest_files {
	void *arg;
	/* Appends a regular file; VK_NOTFOUND when there is none. */
	int (*read)(void *arg, const char *path, struct vk_buf *out, struct vk_err *err);
	bool (*is_dir)(void *arg, const char *path);
};

struct manifest_opts {
	const char *file;     /* its name, for errors and the document */
	const char *stack;    /* the stack pushed to, or "" */
	const char *registry; /* "127.0.0.1:5000"; refused as the host of images */
};

struct manifest;

extern const char *const manifest_names[]; /* looked for in this order; ends with NULL */

/* opts are borrowed for the manifest's life. */
int manifest_parse(const char *text, size_t n, const struct manifest_opts *opts,
	struct manifest **ret, struct vk_err *err);
/* A repository without manifest: one boat from its Dockerfile or, without that, from what its
 * files say; one node `web`. */
struct manifest *manifest_default(const struct manifest_opts *opts);
/* Scans the Dockerfiles of the boats (inline ones only when files is NULL), finds `needs` and
 * `refs`, refuses cycles, missing files and directories; adds `signals` (signals.h). */
int manifest_resolve(struct manifest *m, const struct manifest_files *files, struct vk_err *err);
json_t *manifest_doc(const struct manifest *m); /* borrowed */
void manifest_free(struct manifest *m);

/* The document as a manifest that parses to the same document. */
int manifest_print(const json_t *doc, struct vk_buf *out, struct vk_err *err);

/* "a/./b/" -> "a/b"; VK_INVALID for absolute, escaping, empty or odd paths. The caller frees.
 * "." is the root. */
int manifest_path(const char *s, char **ret, struct vk_err *err);

#endif
