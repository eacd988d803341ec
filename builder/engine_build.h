/*
 * One POST /build: the tar goes in, the image's id comes out; everything between is shown to the person.
 */
#ifndef BUILDER_ENGINE_BUILD_H
#define BUILDER_ENGINE_BUILD_H

#include "job.h"
#include "limits.h"
#include "source.h"

struct engine_build {
	struct source source;   /* the tar is still to be read */
	const char *image_name; /* "127.0.0.1:5000/ragnar/web:<tag>" */
	const char *key;
	struct limits limits;
	bool classic;   /* which of the engine's builders; BuildKit unless set */
	char image[80]; /* result: "sha256:.." */
};

/* May find that the engine has no BuildKit: then the source is opened anew and the classic builder used. */
int engine_build_run(struct job *j, struct engine_build *b, struct vk_err *err);
/* The path and query of the request. Caller frees. Pure. */
char *engine_build_path(const struct job *j, const struct engine_build *b);

#endif
