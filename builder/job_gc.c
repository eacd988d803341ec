#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "gc.h"
#include "job.h"

#define COLLECT_MS 600000
#define ENGINE_MS  120000 /* removing big images, measuring */

/* One collection. The registry takes no pushes meanwhile: viking-builder runs no build beside it, the stack image's
 * job is kept out by a lock, and nobody else has its password. */
struct gc {
	struct job *job;
	uint64_t removed;
	uint64_t kept_bytes; /* of local images that stay */
	uint64_t freed;
};

static int drop_manifests(struct gc *g, struct vk_err *err)
{
	struct job *j = g->job;
	vk_autostrv refs = {0};
	int code = gc_manifests(j->registry.data_dir, j->registry.server, &refs, err);
	for (size_t i = 0; i < refs.n && code == 0; i++) {
		vk_autofree char *repo = NULL, *digest = NULL;
		if (gc_kept(j->keep, refs.v[i]) ||
			!registry_split(&j->registry, refs.v[i], &repo, &digest))
			continue;
		code = registry_delete(&j->registry, repo, digest, err);
		if (code == VK_NOTFOUND)
			code = 0;
		g->removed += code == 0;
	}
	return code;
}

static int drop_name(struct job *j, const char *name, struct vk_err *err)
{
	vk_autofree char *escaped = vk_engine_escape(name);
	vk_autofree char *path = vk_asprintf("/images/%s", escaped);
	return vk_engine_call(j->engine, "DELETE", path, NULL, ENGINE_MS, NULL, err);
}

/* Its last name takes the image along. One in use after all stays: the engine says so by a conflict. */
static int drop_image(struct gc *g, const json_t *image, struct vk_err *err)
{
	vk_autostrv names = {0};
	gc_image_names(image, &names);
	if (names.n == 0)
		vk_strv_add(&names, vk_json_str(image, "Id", ""));
	for (size_t i = 0; i < names.n; i++) {
		int code = drop_name(g->job, names.v[i], err);
		if (code == VK_CONFLICT)
			return 0;
		if (code != 0 && code != VK_NOTFOUND)
			return code;
	}
	g->removed++;
	return 0;
}

static int drop_images(struct gc *g, struct vk_err *err)
{
	struct job *j = g->job;
	vk_autojson *containers = NULL, *images = NULL;
	vk_autostrv used = {0};
	int code = vk_engine_call(
		j->engine, "GET", "/containers/json?all=1", NULL, ENGINE_MS, &containers, err);
	if (code == 0)
		code = vk_engine_call(
			j->engine, "GET", "/images/json", NULL, ENGINE_MS, &images, err);
	if (code != 0)
		return code;
	gc_used_images(containers, &used);
	for (size_t i = 0; i < json_array_size(images) && code == 0; i++) {
		const json_t *image = json_array_get(images, i);
		if (!gc_image_ours(image, j->registry.server, j->root_label))
			continue;
		if (gc_image_unused(image, j->keep, &used))
			code = drop_image(g, image, err);
		else
			g->kept_bytes += (uint64_t)vk_json_int(image, "Size", 0);
	}
	return code;
}

static int drop_cache(struct gc *g, struct vk_err *err)
{
	struct job *j = g->job;
	vk_autojson *answer = NULL;
	if (j->budget == 0)
		return 0;
	vk_autofree char *path = vk_asprintf("/build/prune?all=1&keep-storage=%llu",
		(unsigned long long)gc_cache_budget(j->budget, g->kept_bytes));
	int code = vk_engine_call(j->engine, "POST", path, NULL, COLLECT_MS, &answer, err);
	if (code == VK_NOTFOUND) /* an engine without a build cache */
		return 0;
	int64_t bytes = vk_json_int(answer, "SpaceReclaimed", 0);
	g->freed += bytes > 0 ? (uint64_t)bytes : 0;
	return code;
}

int gc_collect_blobs(struct job *j, struct vk_err *err)
{
	const char *const argv[] = {"docker-registry", "garbage-collect", j->registry.config, NULL};
	vk_autobuf errout = VK_BUF_INIT(64u << 10);
	int code = vk_proc_run(&(struct vk_proc_opts){.path = j->config->registry_path,
				       .argv = argv,
				       .in = VK_FD_NULL,
				       .die_with_parent = true},
		NULL, 0, NULL, &errout, COLLECT_MS, err);
	if (code != 0)
		return vk_err_wrap(err, "docker-registry garbage-collect");
	return gc_empty_repositories(j->registry.data_dir, err);
}

static int collect_blobs(struct gc *g, struct vk_err *err)
{
	struct job *j = g->job;
	vk_autostrv left = {0};
	int code = gc_manifests(j->registry.data_dir, j->registry.server, &left, err);
	return code != 0 || (left.n == 0 && g->removed == 0) ? code : gc_collect_blobs(j, err);
}

/* Bytes of all layers the engine holds; 0 when it does not say. */
static uint64_t layers_bytes(struct job *j)
{
	vk_autojson *df = NULL;
	if (vk_engine_call(j->engine, "GET", "/system/df", NULL, ENGINE_MS, &df, NULL) != 0)
		return 0;
	int64_t n = vk_json_int(df, "LayersSize", 0);
	return n > 0 ? (uint64_t)n : 0;
}

static uint64_t less(uint64_t before, uint64_t after)
{
	return before > after ? before - after : 0;
}

int job_gc(struct job *j, json_t *done, struct vk_err *err)
{
	struct gc g = {.job = j};
	vk_autoclose int lock = -1;
	int code = registry_lock(&j->registry, &lock, err);
	if (code != 0)
		return code;
	uint64_t disk = gc_disk_usage(j->registry.data_dir), layers = layers_bytes(j);
	code = drop_manifests(&g, err);
	if (code == 0)
		code = drop_images(&g, err);
	g.freed += less(layers, layers_bytes(j));
	if (code == 0)
		code = drop_cache(&g, err);
	if (code == 0)
		code = collect_blobs(&g, err);
	if (code != 0)
		return code;
	g.freed += less(disk, gc_disk_usage(j->registry.data_dir));
	json_object_set_new(done, "freed", json_integer((json_int_t)g.freed));
	json_object_set_new(done, "removed", json_integer((json_int_t)g.removed));
	return 0;
}
