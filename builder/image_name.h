/*
 * Names of images and hosts as tenants write them, and which of them reach what is not theirs.
 * Loopback and the registry hold every stack's images, and the engine's store finds an image by
 * any prefix of its id: such names are refused before an engine sees them. `viking:STACK/BOAT`
 * names another boat.
 */
#ifndef VIKING_IMAGE_NAME_H
#define VIKING_IMAGE_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <viking/err.h>
#include <viking/id.h>

#define IMAGE_NAME_MAX 512

struct boat_ref {
	char stack[VK_NAME_MAX + 1];
	char boat[VK_NAME_MAX + 1];
};

/* "viking:" and a slash behind it; `viking:latest` is an ordinary image. */
bool image_is_boat(const char *name);
/* Takes "viking:STACK/BOAT" apart; a tag or digest behind it is refused. */
int image_boat_ref(const char *name, struct boat_ref *ret, struct vk_err *err);

/* Is the image name well formed and not forbidden: loopback, the registry (host:port, may be
 * NULL), an image id. */
int image_name_check(const char *name, const char *registry, struct vk_err *err);
/* Only what is forbidden; malformed names are left to the engine. */
int image_name_forbidden(const char *name, const char *registry, struct vk_err *err);

/* Only loopback and the registry. */
int image_host_forbidden(const char *name, const char *registry, struct vk_err *err);

/* The source of an ADD: a URL or git address whose host is private is refused; anything else
 * passes. */
int add_source_check(const char *source, struct vk_err *err);

#endif
