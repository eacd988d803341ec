#include <stdlib.h>
#include <string.h>
#include <viking/buildcgroup.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "bases.h"
#include "engine_build.h"
#include "image.h"
#include "job.h"
#include "source.h"
#include "stack_image.h"

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
	code = image_push(j, m, err);
	if (code != 0)
		return code;
	vk_format_duration_ms(vk_mono_ms() - start, stored);
	vk_format_size((uint64_t)vk_json_int(image, "Size", 0), size);
	buildlog_linef(&j->log, "Image of %s: built in %s, stored in the registry in %s", size,
		built, stored);
	image_fill_done(m, image, false, done);
	return 0;
}

static void own_pack(const struct job *j, const struct source *source,
	const struct stack_image *stack, json_t *done)
{
	const char *pack = vk_json_str(j->builder, "pack", "");
	json_t *processes = json_object_get(source->header, "processes");
	if (processes != NULL)
		json_object_set(done, "processes", processes);
	json_object_set_new(done, "entrypoint", json_true());
	json_object_set_new(done, "packs", json_pack("[s]", pack));
	json_object_set_new(done, "stack_image", json_string(stack->run));
	json_object_set_new(done, "stack_version", json_string(stack->version));
}

static int from_dockerfile(struct job *j, json_t *done, struct vk_err *err)
{
	struct source source = {.fd = -1};
	struct stack_image stack = {0};
	struct image m;
	bool own = j->builder != NULL;
	image_init(&m, j);
	int code = own ? stack_image_ensure(j, &stack, err) : 0;
	if (code == 0)
		code = source_open(j, "tar", &source, err);
	if (code == 0)
		code = bases_key(j, source.header, m.key, err);
	if (code == 0) {
		code = image_try_known(j, &m, done, err);
		if (code == VK_NOTFOUND)
			code = build_and_push(j, &source, &m, done, err);
	}
	if (code == 0 && own)
		own_pack(j, &source, &stack, done);
	source_close(&source);
	image_release(&m);
	return code;
}

int job_image(struct job *j, json_t *done, struct vk_err *err)
{
	const char *type = vk_json_str(j->builder, "type", "");
	if (vk_streq(type, "packs"))
		return job_packs(j, done, err);
	if (vk_streq(type, "cnb"))
		return job_cnb(j, done, err);
	if (j->builder != NULL && !vk_streq(type, "own"))
		return vk_err_set(err, VK_INVALID, "nothing builds with \"%.32s\"", type);
	return from_dockerfile(j, done, err);
}
