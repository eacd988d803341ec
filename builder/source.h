/*
 * The source of a build: one connection to the receiver's RUN/export.sock, on whose other end a
 * viking-export reads the repository. First comes one JSON line, then, in mode "tar", the tar.
 */
#ifndef BUILDER_SOURCE_H
#define BUILDER_SOURCE_H

#include <jansson.h>

#include "job.h"

#define SOURCE_HEADER_MAX \
	(4u << 20) /* the instruction table of a long Dockerfile is the bulk of it */

struct source {
	int fd; /* at the first byte behind the header; -1 none */
	json_t *header;
};

/* mode "tar" or "site". An error object in the header becomes the error. */
int source_open(const struct job *j, const char *mode, struct source *ret, struct vk_err *err);
void source_close(struct source *s);
/* Reads one line of JSON from a stream socket and not a byte more. */
int source_read_header(int fd, int64_t timeout_ms, json_t **ret, struct vk_err *err);

#endif
