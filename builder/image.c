#include "image.h"

#include <stdlib.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "bases.h"

#define ROOM_MIN        (16u << 20) /* with less free the disk is why a push failed */
#define PUSH_SILENCE_MS 300000      /* one big layer is compressed in silence */

void image_init(struct image *m, const struct job *j)
{
	*m = (struct image){
		.repo = vk_asprintf("%s/%s", j->stack, j->boat),
		.name = vk_asprintf("%s/%s/%s", j->registry.server, j->stack, j->boat),
		.tag = j->tag,
		.tagged = vk_asprintf("%s/%s/%s:%s", j->registry.server, j->stack, j->boat, j->tag),
	};
}

void image_release(struct image *m)
{
	vk_freep(&m->repo);
	vk_freep(&m->name);
	vk_freep(&m->tagged);
}

/* "80/tcp" of the image's configuration, sorted. */
static json_t *exposed_ports(const json_t *image)
{
	json_t *ports = json_object_get(json_object_get(image, "Config"), "ExposedPorts");
	vk_autostrv list = {0};
	const char *port;
	json_t *value;
	json_object_foreach(ports, port, value) vk_strv_add(&list, port);
	vk_strv_sort(&list);
	json_t *a = json_array();
	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(a, json_string(list.v[i]));
	return a;
}

void image_fill_done(const struct image *m, const json_t *image, bool cached, json_t *done)
{
	vk_autofree char *ref = vk_asprintf("%s@%s", m->name, m->digest);
	json_object_set_new(done, "ref", json_string(ref));
	json_object_set_new(done, "digest", json_string(m->digest));
	json_object_set_new(done, "image", json_string(vk_json_str(image, "Id", "")));
	json_object_set_new(done, "key", json_string(m->key));
	json_object_set_new(done, "cached", json_boolean(cached));
	json_object_set_new(done, "expose", exposed_ports(image));
	json_object_set_new(done, "bytes", json_integer(vk_json_int(image, "Size", 0)));
}

/* What was learned when the image was built, and no image tells. */
static void copy_known(const json_t *known, json_t *done)
{
	static const char *const keys[] = {"processes", "entrypoint", "packs", "stack_image"};
	for (size_t i = 0; i < VK_COUNT(keys); i++)
		if (json_object_get(known, keys[i]) != NULL)
			json_object_set(done, keys[i], json_object_get(known, keys[i]));
}

int image_try_known(struct job *j, struct image *m, json_t *done, struct vk_err *err)
{
	struct vk_err why = {0};
	vk_autojson *image = NULL;
	vk_autofree char *repo = NULL, *digest = NULL;
	char found[DIGEST_MAX];
	const json_t *known = json_object_get(j->known, m->key);
	const char *ref = vk_json_str(known, "ref", "");
	if (j->no_cache || !registry_split(&j->registry, ref, &repo, &digest))
		return VK_NOTFOUND;
	int code = registry_digest(&j->registry, repo, digest, found, &why);
	if (code != 0 && code != VK_NOTFOUND) {
		*err = why;
		return code;
	}
	if (code != 0 || bases_get(j, ref, &image, &why) != 0)
		return VK_NOTFOUND;
	vk_freep(&m->name);
	m->name = vk_asprintf("%s/%s", j->registry.server, repo);
	memcpy(m->digest, found, sizeof(m->digest));
	image_fill_done(m, image, true, done);
	copy_known(known, done);
	return 0;
}

struct push {
	const struct registry *registry;
	char *error;
	char digest[DIGEST_MAX];
};

static int on_push(void *arg, json_t *line, struct vk_err *err)
{
	struct push *p = arg;
	const char *error = vk_json_str(line, "error", NULL);
	const char *digest = vk_json_str(json_object_get(line, "aux"), "Digest", "");
	struct vk_err full = {0};
	if (error != NULL && p->error == NULL)
		p->error = vk_strdup(error);
	/* the engine tries again for most of a minute, which gives a full disk no room */
	if (vk_starts(vk_json_str(line, "status", ""), "Retrying") &&
		registry_room(p->registry, ROOM_MIN, &full) == VK_LIMIT)
		return vk_err_set(err, VK_LIMIT, "%s", full.msg);
	if (registry_is_digest(digest))
		memcpy(p->digest, digest, sizeof(p->digest));
	return 0;
}

static int push_failed(const struct job *j, const char *why, struct vk_err *err)
{
	struct vk_err full = {0};
	if (registry_room(&j->registry, ROOM_MIN, &full) == VK_LIMIT)
		why = full.msg;
	vk_err_set(err, VK_UNAVAILABLE,
		"the image was built but the registry at %s did not take it: %s",
		j->registry.server, why);
	if (full.hint[0] != '\0')
		return vk_err_hint(err, "%s", full.hint);
	return vk_err_hint(err, "sudo viking doctor");
}

int image_push(struct job *j, struct image *m, struct vk_err *err)
{
	vk_autofree char *auth =
		vk_engine_registry_auth(REGISTRY_USER, j->registry.password, j->registry.server);
	vk_autofree char *path = vk_asprintf("/images/%s/push?tag=%s", m->name, m->tag);
	struct push p = {.registry = &j->registry};
	struct vk_err why = {0};
	int code =
		vk_engine_stream(j->engine, "POST", path, auth, on_push, &p, PUSH_SILENCE_MS, &why);
	vk_autofree char *error = p.error;
	if (error != NULL || code != 0)
		return push_failed(j, error != NULL ? error : why.msg, err);
	if (p.digest[0] == '\0')
		return push_failed(j, "the engine gives no digest", err);
	code = registry_digest(&j->registry, m->repo, p.digest, m->digest, err);
	if (code != 0)
		return vk_err_wrap(err, "after the push");
	return vk_streq(m->digest, p.digest)
		? 0
		: push_failed(j, "it answers with another digest", err);
}
