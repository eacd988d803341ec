/* The Dockerfile as built: names of boats replaced by images, byte for byte where they stand. */
#include <string.h>

#include "dockerfile.h"

static char *boat_key(const struct dockerfile_use *u)
{
	return vk_asprintf("%s/%s", u->boat.stack, u->boat.boat);
}

static int boat_image(const struct dockerfile_use *u, const json_t *refs,
	const char *guess_registry, char **ret, struct vk_err *err)
{
	vk_autofree char *key = boat_key(u);
	const char *image = json_string_value(json_object_get(refs, key));
	if (image != NULL)
		*ret = vk_strdup(image);
	else if (guess_registry != NULL)
		*ret = vk_asprintf("%s/%s:latest", guess_registry, key);
	else
		return vk_err_set(
			err, VK_NOTFOUND, "line %u: there is no image of viking:%s", u->line, key);
	return 0;
}

/* Text up to the use's first byte, the image, then only what is no part of the name (line ends and
 * comments between the pieces of a name that is continued). */
static int replace(const struct dockerfile_use *u, const char *image, const char *text, size_t *at,
	struct vk_buf *out)
{
	int rc = vk_buf_add(out, text + *at, u->bytes[0] - *at);
	if (rc == 0)
		rc = vk_buf_adds(out, image);
	*at = u->bytes[0];
	for (size_t i = 0; rc == 0 && i < u->nbytes; i++) {
		rc = vk_buf_add(out, text + *at, u->bytes[i] - *at);
		*at = u->bytes[i] + 1;
	}
	return rc;
}

int dockerfile_rewrite(const struct dockerfile *d, const char *text, size_t n, const json_t *refs,
	const char *guess_registry, struct vk_buf *out, struct vk_err *err)
{
	size_t at = 0;
	for (size_t i = 0; i < d->n; i++) {
		const struct dockerfile_use *u = &d->uses[i];
		if (!u->is_boat || u->nbytes == 0)
			continue;
		vk_autofree char *image = NULL;
		int rc = boat_image(u, refs, guess_registry, &image, err);
		if (rc != 0)
			return rc;
		if (replace(u, image, text, &at, out) != 0)
			return vk_err_set(err, VK_LIMIT, "the Dockerfile as built is too large");
	}
	if (vk_buf_add(out, text + at, n - at) != 0)
		return vk_err_set(err, VK_LIMIT, "the Dockerfile as built is too large");
	return 0;
}

static void add_once(json_t *list, const char *s)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) if (strcmp(json_string_value(item), s) == 0) return;
	json_array_append_new(list, json_string(s));
}

json_t *dockerfile_images(const struct dockerfile *d, const json_t *refs)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->n; i++) {
		if (!d->uses[i].is_boat) {
			add_once(list, d->uses[i].image);
			continue;
		}
		vk_autofree char *key = boat_key(&d->uses[i]);
		const char *image = json_string_value(json_object_get(refs, key));
		if (image != NULL)
			add_once(list, image);
	}
	return list;
}

json_t *dockerfile_boats(const struct dockerfile *d)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->n; i++) {
		if (!d->uses[i].is_boat)
			continue;
		vk_autofree char *key = boat_key(&d->uses[i]);
		add_once(list, key);
	}
	return list;
}
