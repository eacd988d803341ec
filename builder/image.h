/*
 * The image that a job makes, whoever builds it: its names, an earlier one of the same key, the way into the
 * registry, and what is told of it.
 */
#ifndef BUILDER_IMAGE_H
#define BUILDER_IMAGE_H

#include "job.h"

struct image {
	char *repo; /* "ragnar/web" */
	char *name; /* "127.0.0.1:5000/ragnar/web" */
	char *tagged;
	const char *tag; /* borrowed */
	char key[65];
	char digest[DIGEST_MAX];
};

void image_init(struct image *m, const struct job *j);
void image_release(struct image *m);
/* An earlier build of the very same input, if the registry still has it. VK_NOTFOUND: build. */
int image_try_known(struct job *j, struct image *m, json_t *done, struct vk_err *err);
/* Pushes m->tagged. The digest counts only once the registry itself shows the manifest. */
int image_push(struct job *j, struct image *m, struct vk_err *err);
/* image: as the engine shows it. */
void image_fill_done(const struct image *m, const json_t *image, bool cached, json_t *done);

#endif
