#include <stdlib.h>
#include <string.h>
#include <viking/buildcgroup.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "bases.h"
#include "engine_build.h"
#include "job.h"
#include "source.h"

#define ROOM_MIN        (16u << 20) /* with less free the disk is why a push failed */
#define PUSH_SILENCE_MS 300000      /* one big layer is compressed in silence */

struct image {
	char *repo; /* "ragnar/web" */
	char *name; /* "127.0.0.1:5000/ragnar/web" */
	char *tagged;
	char key[65];
	char digest[DIGEST_MAX];
};

static void image_release(struct image *m)
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

static void fill_done(const struct image *m, const json_t *image, bool cached, json_t *done)
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

/* An earlier build of the very same input, if the registry still has it. VK_NOTFOUND: build. */
static int try_known(struct job *j, struct image *m, json_t *done, struct vk_err *err)
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
	fill_done(m, image, true, done);
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

/* The digest counts only once the registry itself shows the manifest. */
static int push(struct job *j, struct image *m, struct vk_err *err)
{
	vk_autofree char *auth =
		vk_engine_registry_auth(REGISTRY_USER, j->registry.password, j->registry.server);
	vk_autofree char *path = vk_asprintf("/images/%s/push?tag=%s", m->name, j->tag);
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

/* Engines before API 1.39 have only the classic builder. */
static bool engine_has_buildkit(struct job *j)
{
	vk_autojson *version = NULL;
	uint64_t minor = 0;
	if (vk_engine_call(j->engine, "GET", "/version", NULL, 0, &version, NULL) != 0)
		return true; /* the build itself will say what is wrong */
	const char *api = vk_json_str(version, "ApiVersion", "1.39");
	return !vk_starts(api, "1.") || vk_parse_u64(api + 2, 0, UINT64_MAX, &minor) != 0 ||
		minor >= 39;
}

static int build(struct job *j, struct source *source, struct image *m, char image_id[static 80],
	struct vk_err *err)
{
	struct engine_build b = {
		.source = *source,
		.image_name = m->tagged,
		.key = m->key,
		.classic = vk_streq(j->config->build_backend, "classic") || !engine_has_buildkit(j),
	};
	limits_from_config(j->config, VK_CGROUP_ROOT, &b.limits);
	int code = engine_build_run(j, &b, err);
	memcpy(image_id, b.image, sizeof(b.image));
	*source = b.source; /* it may have been opened anew */
	return code;
}

static int build_and_push(
	struct job *j, struct source *source, struct image *m, json_t *done, struct vk_err *err)
{
	char id[80], size[24], built[24], stored[24];
	vk_autojson *image = NULL;
	int64_t start = vk_mono_ms();
	int code = registry_room(&j->registry, j->config->free_bytes_min, err);
	if (code == 0)
		code = build(j, source, m, id, err);
	if (code == 0)
		code = bases_get(j, id, &image, err);
	if (code != 0)
		return code;
	vk_format_duration_ms(vk_mono_ms() - start, built);
	start = vk_mono_ms();
	job_emit_state("pushing");
	code = push(j, m, err);
	if (code != 0)
		return code;
	vk_format_duration_ms(vk_mono_ms() - start, stored);
	vk_format_size((uint64_t)vk_json_int(image, "Size", 0), size);
	buildlog_linef(&j->log, "Image of %s: built in %s, stored in the registry in %s", size,
		built, stored);
	fill_done(m, image, false, done);
	return 0;
}

int job_image(struct job *j, json_t *done, struct vk_err *err)
{
	struct source source = {.fd = -1};
	struct image m = {
		.repo = vk_asprintf("%s/%s", j->stack, j->boat),
		.name = vk_asprintf("%s/%s/%s", j->registry.server, j->stack, j->boat),
		.tagged = vk_asprintf("%s/%s/%s:%s", j->registry.server, j->stack, j->boat, j->tag),
	};
	int code = source_open(j, "tar", &source, err);
	if (code == 0)
		code = bases_key(j, source.header, m.key, err);
	if (code == 0) {
		code = try_known(j, &m, done, err);
		if (code == VK_NOTFOUND)
			code = build_and_push(j, &source, &m, done, err);
	}
	source_close(&source);
	image_release(&m);
	return code;
}
