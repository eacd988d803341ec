/*
 * Cloud Native Buildpacks, the platform's side: what a builder image says about itself, which platform API to speak,
 * what the lifecycle's exit status means, which processes an application image has. Sources: the platform
 * specification of buildpacks.io (0.7 to 0.14) and the labels of `pack`-made builders. Pure.
 */
#ifndef BUILDER_CNB_H
#define BUILDER_CNB_H

#include <jansson.h>
#include <viking/err.h>

#define CNB_API_MIN 7 /* 0.7 .. 0.14: those whose flags and files were tried */
#define CNB_API_MAX 14

struct cnb_builder {
	char run_image[256];
	char api[16]; /* "0.12": the highest that both sides know */
	unsigned uid, gid;
};

/* image: as the engine shows it. VK_INVALID says what is missing. */
int cnb_builder_read(const json_t *image, struct cnb_builder *ret, struct vk_err *err);
/* Fills err for a lifecycle that ended with `status`. */
int cnb_explain(int status, struct vk_err *err);
/* Process types of an application image: type to command, for showing. New reference, maybe empty. */
json_t *cnb_processes(const json_t *image);

#endif
