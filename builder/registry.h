/*
 * The local docker-registry over its HTTP API v2 (basic authentication): only what builds and
 * garbage collection need. Every call has a deadline and a cap on the answer. The source of the protocol is
 * the OCI distribution specification; its traps as seen with docker-registry 2.8: a manifest is deleted by
 * digest only (by tag: 400), and the digest of a tag comes from a HEAD request with the right Accept header.
 */
#ifndef BUILDER_REGISTRY_H
#define BUILDER_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <viking/config.h>
#include <viking/err.h>
#include <viking/mem.h>

#define REGISTRY_USER "viking"
#define DIGEST_MAX    72 /* "sha256:" and 64 hex digits, NUL included */

struct registry {
	char *server; /* "127.0.0.1:5000": also the first part of image names */
	char *password;
	char *data_dir; /* its storage, below STATE/registry */
	char *config;   /* its configuration file */
};

/* Reads the password; nothing is connected. */
int registry_init(struct registry *r, const struct vk_config *c, struct vk_err *err);
void registry_release(struct registry *r);
/* Does it answer and accept our password? VK_UNAVAILABLE names it and `viking doctor`. */
int registry_ping(const struct registry *r, struct vk_err *err);
/* The collector must see no push. The queue keeps builds from it; what else changes the storage holds this lock for the life
 * of *ret_fd. Held elsewhere: VK_CONFLICT. */
int registry_lock(const struct registry *r, int *ret_fd, struct vk_err *err);
/* Has the disk of its storage at least so many bytes free? VK_LIMIT says how many there are. */
int registry_room(const struct registry *r, uint64_t bytes, struct vk_err *err);
/* The digest of a manifest (reference: tag or digest). Not there: VK_NOTFOUND. */
int registry_digest(const struct registry *r, const char *repo, const char *reference,
	char ret[static DIGEST_MAX], struct vk_err *err);
int registry_delete(
	const struct registry *r, const char *repo, const char *digest, struct vk_err *err);

/* A manifest's text, by digest; a blob as it comes, to sink (viking/http.h). What comes is not compared with the digest. */
int registry_manifest(const struct registry *r, const char *repo, const char *digest,
	struct vk_buf *into, struct vk_err *err);
int registry_blob(const struct registry *r, const char *repo, const char *digest,
	int (*sink)(void *arg, const void *p, size_t n), void *arg, struct vk_err *err);

/* "127.0.0.1:5000/ragnar/base@sha256:..": repo "ragnar/base" and digest. False: not a reference by digest into
 * this registry. Both are strings to free. */
bool registry_split(const struct registry *r, const char *ref, char **ret_repo, char **ret_digest);
bool registry_is_digest(const char *s);
/* Part of a repository's name as registries allow it: no '-', '_' at the ends, no "___". */
bool registry_is_name(const char *s);

#endif
