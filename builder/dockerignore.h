/*
 * .dockerignore: which paths of a build context stay out of it. The engine does not filter a tar
 * body, so this is ours to do, by the rules of the docker command (moby's patternmatcher):
 * anchored at the root, a path is out when a pattern matches it or a directory above it, the last
 * matching line wins, `!` takes back. Matching is linear in pattern times path: no backtracking
 * on tenant text.
 */
#ifndef VIKING_DOCKERIGNORE_H
#define VIKING_DOCKERIGNORE_H

#include <stdbool.h>
#include <stddef.h>
#include <viking/err.h>

#define DOCKERIGNORE_MAX   (64 * 1024) /* bytes of the file */
#define DOCKERIGNORE_LINES 4096

struct dockerignore;

/* VK_INVALID names `file` and the line of a malformed pattern. */
int dockerignore_parse(const char *text, size_t n, const char *file, struct dockerignore **ret,
	struct vk_err *err);
/* .slugignore, with which people keep files from buildpacks: the same but as a shell reads file names, so a leading
 * dot is matched by a dot only, ** is *, [!a] is [^a]; and there is no !, which begins a name as any other. */
int slugignore_parse(const char *text, size_t n, struct dockerignore **ret, struct vk_err *err);
void dockerignore_free(struct dockerignore *d);
/* Is this path (relative, no leading slash) out? NULL d keeps everything. */
bool dockerignore_drops(const struct dockerignore *d, const char *path);
/* May something below a dropped directory be taken back, so that a walk has to go in? True
 * when some `!` pattern begins, read as plain text, with the directory. */
bool dockerignore_enters(const struct dockerignore *d, const char *dir);

#endif
