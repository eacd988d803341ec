/*
 * The stack images that buildpacks build on and their applications run on: viking-stack:build and
 * viking-stack:run. They are made on this host, from Debian packages, by LIBEXEC/stack/build.sh: when viking is installed, or here,
 * the first time one is needed.
 */
#ifndef BUILDER_STACK_IMAGE_H
#define BUILDER_STACK_IMAGE_H

#include "job.h"

#define STACK_IMAGE "viking-stack"

struct stack_image {
	char build[80], run[80]; /* ids: "sha256:.." */
};

/* Makes them if they are not there; its progress goes to the job's log. */
int stack_image_ensure(struct job *j, struct stack_image *ret, struct vk_err *err);
/* If they are there but of an earlier viking: puts this one's scripts on (seconds). */
int stack_image_refresh(struct job *j, struct vk_err *err);

#endif
