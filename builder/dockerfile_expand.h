/* Variables in a Dockerfile word: $V, ${V}, ${V:-word}, ${V:+word} and their forms without
 * colon, nested; quotes and escapes are taken off. Result and depth are bounded. */
#ifndef VIKING_DOCKERFILE_EXPAND_H
#define VIKING_DOCKERFILE_EXPAND_H

#include <jansson.h>
#include <stddef.h>
#include <viking/err.h>
#include <viking/mem.h>

#define EXPAND_MAX   4096 /* bytes of a value */
#define EXPAND_DEPTH 8

struct df_expand {
	const json_t *vars; /* name -> string; borrowed */
	char escape;
	size_t unknown_at; /* result: where the first unknown variable stands, or SIZE_MAX */
	unsigned depth;    /* used inside */
};

/* VK_LIMIT: too long or deep. VK_INVALID: a form that cannot be followed. */
int df_expand(struct df_expand *x, const char *word, struct vk_buf *out, struct vk_err *err);

#endif
