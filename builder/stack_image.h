/*
 * The stack images that buildpacks build on and their applications run on: viking-stack:build and
 * viking-stack:run. They are made on this host, from Debian packages, by LIBEXEC/stack/build.sh: when viking is installed, or here,
 * the first time one is needed.
 */
#ifndef BUILDER_STACK_IMAGE_H
#define BUILDER_STACK_IMAGE_H

#include "job.h"

#define STACK_IMAGE \
	"viking-stack" /* also its repository in the registry, which no STACK/BOAT can have */

struct stack_image {
	char build[80], run[80]; /* ids: "sha256:.." */
	char version[16];        /* of packaging/stack/VERSION when it was made */
};

/* Makes them if they are not there; its progress goes to the job's log. */
int stack_image_ensure(struct job *j, struct stack_image *ret, struct vk_err *err);
/* What is there now; VK_NOTFOUND where none was made. */
int stack_image_find(struct job *j, struct stack_image *ret, struct vk_err *err);
/* If they are there but of an earlier viking: builds this one's, of which its scripts alone take seconds. */
int stack_image_refresh(struct job *j, struct vk_err *err);
/* Puts both into the registry, unless it has them: the layers of an application's image are then all that its push has
 * to compress and send. The job is connected. *ret: it had to. */
int stack_image_store(struct job *j, bool *ret, struct vk_err *err);

#endif
