/*
 * The images a build starts from: each is there, or fetched, before the build begins, since BuildKit
 * without a session can neither log in to our registry nor say clearly that the host is offline. Their ids are
 * part of the build key.
 */
#ifndef BUILDER_BASES_H
#define BUILDER_BASES_H

#include "job.h"

/* key: 64 hex digits, SHA-256 over the source's key and the ids of its bases in order. */
int bases_key(struct job *j, const json_t *header, char key[static 65], struct vk_err *err);
/* Inspects an image; not there: pulled first (our registry with the password, others without). The answer
 * is the engine's, a new reference. */
int bases_get(struct job *j, const char *name, json_t **ret, struct vk_err *err);
/* May a Dockerfile name it? Not by id, and of our registry only what the job lists in refs. */
int bases_allowed(const struct job *j, const char *name, struct vk_err *err);
/* Did the engine find the image because name is the beginning of its id? ("cafe" may be a name.) */
bool bases_is_id(const char *name, const char *id);

#endif
