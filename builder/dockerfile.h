/*
 * The Dockerfile scanner: which images and boats a Dockerfile names, refusal of those that reach
 * into this machine, and the rewrite of `viking:STACK/BOAT` to an image by digest. It follows the
 * engine's own parser; where engines differ in reading (heredocs, doubled escapes, platform
 * variables) the text is scanned in every reading, and what is forbidden in one is refused. Only
 * the bytes of a name are replaced and every line stays where it is, so that line numbers in
 * messages stay right.
 *
 * What it cannot see: names that resolve to private addresses, HTTP redirects, variables that a
 * base image sets over an ARG, and triggers in base images (dockerfile_check_trigger is for
 * those, once the image is there). So nothing on loopback may answer without authentication.
 */
#ifndef VIKING_DOCKERFILE_H
#define VIKING_DOCKERFILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <viking/err.h>
#include <viking/mem.h>

#include "dockerfile_lines.h"
#include "image_name.h"

#define DOCKERFILE_STAGES 256
#define DOCKERFILE_USES   512

struct dockerfile_opts {
	const char *file;     /* how errors call it: "FILE:line: ..." */
	const json_t *args;   /* build arguments, name -> string; may be NULL */
	const char *target;   /* stage that has to exist; NULL or "" for none */
	const char *registry; /* "127.0.0.1:5000", refused as the host of an image; may be NULL */
};

/* One place that names an image from outside the file. */
struct dockerfile_use {
	unsigned line;
	char *image; /* as the engine reads it, variables filled in; owned */
	bool is_boat;
	struct boat_ref boat;  /* if is_boat */
	size_t nbytes, *bytes; /* where the written name stands in the text, byte by byte; owned */
};

struct dockerfile {
	size_t n;
	struct dockerfile_use *uses; /* in the order of the text */
	size_t nstages;
	char *stages[DOCKERFILE_STAGES]; /* lower-case names, "" for unnamed ones */
};

int dockerfile_scan(const char *text, size_t n, const struct dockerfile_opts *o,
	struct dockerfile **ret, struct vk_err *err);
void dockerfile_free(struct dockerfile *d);

/* The text as built. refs: "STACK/BOAT" -> image; a boat that is not in it is VK_NOTFOUND, or
 * becomes REGISTRY/STACK/BOAT:latest when guess_registry is given (for showing). */
int dockerfile_rewrite(const struct dockerfile *d, const char *text, size_t n, const json_t *refs,
	const char *guess_registry, struct vk_buf *out, struct vk_err *err);
/* The distinct outside images of the file as built, boats resolved by refs. A new array of
 * strings. */
json_t *dockerfile_images(const struct dockerfile *d, const json_t *refs);
/* The distinct boats, as "STACK/BOAT" strings. A new array. */
json_t *dockerfile_boats(const struct dockerfile *d);

/* One instruction of a base image's OnBuild list: refused if it names what a Dockerfile may not. */
int dockerfile_check_trigger(const char *instruction, const char *registry, struct vk_err *err);

#endif
