/*
 * YAML over libyaml's event API into a tree of nodes that know their place: depth 32, size cap, no
 * aliases or anchors, no tags, duplicate keys refused (SECURITY.md 1.8). The parser knows nothing of
 * manifests.
 */
#ifndef VIKING_YAML_H
#define VIKING_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <viking/err.h>
#include <viking/mem.h>

#define VK_YAML_MAX_BYTES (64 * 1024) /* larger: VK_LIMIT */

enum vk_yaml_type { VK_YAML_SCALAR, VK_YAML_LIST, VK_YAML_MAP };
struct vk_yaml {
	enum vk_yaml_type type;
	unsigned line, col; /* of the value, from 1 */
	/* scalar */
	char *text;
	size_t len;
	bool plain; /* unquoted: null, true, numbers may be meant */
	/* list and map */
	size_t n;
	struct vk_yaml **items;
	struct {
		char *name;
		unsigned line, col;
	} * keys; /* map: n keys beside n items */
};
/* file names the source in errors: "FILE:line:col: what". Empty document: *ret is an empty map. */
int vk_yaml_parse(
	const char *text, size_t n, const char *file, struct vk_yaml **ret, struct vk_err *err);
void vk_yaml_free(struct vk_yaml *y);
const struct vk_yaml *vk_yaml_get(const struct vk_yaml *map, const char *key); /* NULL if absent */
/* "FILE:line:col: <formatted>", VK_INVALID. */
int vk_yaml_error(struct vk_err *err, const char *file, const struct vk_yaml *at, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));

#endif
