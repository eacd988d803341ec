/*
 * What the site gives to builds by packs and to nothing else: variables (proxies, mirrors) and certificates,
 * from the files that builder.build_env and builder.extra_ca name. They reach the build, never the image.
 */
#ifndef BUILDER_SITE_H
#define BUILDER_SITE_H

#include <jansson.h>
#include <viking/config.h>
#include <viking/err.h>

#define SITE_ENV_MAX (64 * 1024)
#define SITE_CA_MAX  (512 * 1024)

/* *ret: {"env": NAME=VALUE lines, "ca": PEM}, "" where nothing is set. */
int site_read(const struct vk_config *c, json_t **ret, struct vk_err *err);
/* Comments and blank lines out; a line that is no NAME=VALUE is VK_INVALID with its number. Pure. */
int site_env(const char *text, size_t n, struct vk_buf *out, struct vk_err *err);

#endif
