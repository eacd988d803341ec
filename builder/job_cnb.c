/*
 * An image made by Cloud Native Buildpacks: the builder image's own /cnb/lifecycle/creator, with the engine at hand,
 * detects, builds and writes the image; we give it the source and push what it made. It runs as root and could do
 * anything to this host: only builders that policy trusts get here (the scheduler checks policy.cnb_builders).
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <viking/crypt.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "bases.h"
#include "box.h"
#include "cnb.h"
#include "image.h"
#include "source.h"
#include "tar.h"
#include "timings.h"

struct cnb {
	struct job *j;
	const char *name; /* of the builder image */
	char builder_id[80];
	struct cnb_builder builder;
	struct source source;
	struct image m;
	struct box box;
	struct timings timings;
};

static int find_builder(struct cnb *c, struct vk_err *err)
{
	vk_autojson *image = NULL, *run = NULL;
	c->name = vk_json_str(c->j->builder, "image", "");
	if (c->name[0] == '\0')
		return vk_err_set(err, VK_INVALID, "no builder image is named");
	int code = bases_allowed(c->j, c->name, err);
	if (code == 0)
		code = bases_get(c->j, c->name, &image, err);
	if (code != 0)
		return code;
	code = cnb_builder_read(image, &c->builder, err);
	if (code != 0)
		return vk_err_wrap(err, "the builder %s", c->name);
	const char *id = vk_json_str(image, "Id", "");
	vk_str_printable(id, strlen(id), c->builder_id, sizeof(c->builder_id));
	return bases_get(c->j, c->builder.run_image, &run, err);
}

static void add_hash(struct vk_sha256 *h, const json_t *j)
{
	char hex[65] = "";
	if (j != NULL)
		vk_json_hash(j, hex);
	vk_sha256_add(h, hex, sizeof(hex));
}

static void make_key(struct cnb *c)
{
	struct vk_sha256 *h = vk_sha256_new();
	const char *source = vk_json_str(c->source.header, "key", "");
	vk_sha256_add(h, "cnb 1", 6);
	vk_sha256_add(h, source, strlen(source) + 1);
	vk_sha256_add(h, c->builder_id, strlen(c->builder_id) + 1);
	add_hash(h, c->j->env);
	add_hash(h, c->j->site);
	vk_sha256_end(h, c->m.key);
}

/* The lifecycle's environment: the API, and the site's lines; none of it reaches the image. */
static json_t *environment(const struct cnb *c)
{
	json_t *env =
		json_pack("[s, s]", "CNB_NO_COLOR=true", "SERVICE_BINDING_ROOT=/platform/bindings");
	vk_autofree char *api = vk_asprintf("CNB_PLATFORM_API=%s", c->builder.api);
	json_array_append_new(env, json_string(api));
	for (const char *line = vk_json_str(c->j->site, "env", ""); *line != '\0';) {
		size_t n = strcspn(line, "\n");
		if (!vk_starts(line, "CNB_"))
			json_array_append_new(env, vk_json_safe_string(line, n));
		line += n + (line[n] == '\n');
	}
	return env;
}

static int create(struct cnb *c, int cancel_fd, struct vk_err *err)
{
	struct job *j = c->j;
	vk_autojson *command = json_pack("[s,s,s,s,s,s,s,s,s,s,s]", "/cnb/lifecycle/creator",
		"-daemon", "-app", "/workspace", "-cache-dir", "/cache", "-launch-cache",
		"/launch-cache", "-run-image", c->builder.run_image, c->m.tagged);
	vk_autofree char *launch = vk_asprintf("%s-launch", j->cache);
	vk_autofree char *bind1 = vk_asprintf("%s:/cache", j->cache);
	vk_autofree char *bind2 = vk_asprintf("%s:/launch-cache", launch);
	vk_autofree char *socket = vk_asprintf("%s:/var/run/docker.sock", j->config->engine_socket);
	vk_autojson *binds = json_pack("[s]", socket);
	vk_autojson *env = environment(c);
	int code = box_network(j, err);
	if (code == 0 && j->cache[0] != '\0') {
		json_array_append_new(binds, json_string(bind1));
		json_array_append_new(binds, json_string(bind2));
		code = box_cache(j, j->cache, err);
		if (code == 0)
			code = box_cache(j, launch, err);
	}
	if (code == 0)
		code = box_create(j, cancel_fd,
			&(struct box_opts){.image = c->name,
				.command = command,
				.binds = binds,
				.env = env,
				.trusted = true},
			&c->box, err);
	timings_mark(&c->timings, "create");
	return code;
}

/* The site's authorities, as a binding of the type that buildpacks look for (Service Binding Specification). */
static int fill_bindings(struct cnb *c, struct tar *t, struct vk_err *err)
{
	const char *ca = vk_json_str(c->j->site, "ca", "");
	if (*ca == '\0')
		return 0;
	int code = tar_dir(t, "platform/bindings", err);
	if (code == 0)
		code = tar_dir(t, "platform/bindings/site", err);
	if (code == 0)
		code = tar_file(
			t, "platform/bindings/site/type", false, "ca-certificates", 15, err);
	return code == 0 ? tar_file(t, "platform/bindings/site/ca.crt", false, ca, strlen(ca), err)
			 : code;
}

/* /platform/env has a file a variable; CNB_ ones are the platform's own. */
static int fill_platform(struct cnb *c, struct tar *t, struct vk_err *err)
{
	const char *name;
	json_t *value;
	int code = tar_dir(t, "workspace", err);
	if (code == 0)
		code = tar_dir(t, "platform", err);
	if (code == 0)
		code = tar_dir(t, "platform/env", err);
	if (code == 0)
		code = fill_bindings(c, t, err);
	json_object_foreach(c->j->env, name, value)
	{
		vk_autofree char *path = vk_asprintf("platform/env/%s", name);
		if (code == 0 && !vk_starts(name, "CNB_") && json_is_string(value) &&
			(code = vk_env_name(name, err)) == 0)
			code = tar_file(t, path, false, json_string_value(value),
				json_string_length(value), err);
	}
	return code;
}

static int upload(struct cnb *c, struct vk_err *err)
{
	vk_autoclose int fd = memfd_create("platform", MFD_CLOEXEC);
	if (fd < 0)
		return vk_err_errno(err, errno, "memfd_create");
	struct tar *t = tar_new(fd);
	tar_own(t, c->builder.uid, c->builder.gid);
	int code = fill_platform(c, t, err);
	if (code == 0)
		code = tar_end(t, err);
	tar_free(t);
	if (code == 0 && lseek(fd, 0, SEEK_SET) != 0)
		code = vk_err_errno(err, errno, "lseek");
	if (code == 0)
		code = box_put(&c->box, "/", fd, err);
	if (code == 0)
		code = box_put_source(&c->box, "/workspace", &c->source.fd, err);
	timings_mark(&c->timings, "upload");
	return code;
}

static int run(struct cnb *c, struct vk_err *err)
{
	int status = -1;
	int code = box_run(&c->box, &status, err);
	timings_mark(&c->timings, "run");
	if (code != 0)
		return code == VK_CANCELLED
			? code
			: vk_err_wrap(err, "build failed: the builder %s", c->name);
	return status != 0 ? cnb_explain(c->box.out_of_memory ? 137 : status, err) : 0;
}

static int build(struct cnb *c, json_t *done, struct vk_err *err)
{
	vk_autojson *image = NULL;
	vk_autoclose int cancel_fd = box_cancel_fd();
	int code = registry_room(&c->j->registry, c->j->config->free_bytes_min, err);
	timings_start(&c->timings);
	if (code == 0)
		code = create(c, cancel_fd, err);
	if (code == 0)
		code = upload(c, err);
	if (code == 0)
		code = run(c, err);
	box_remove(&c->box);
	if (code == 0)
		code = bases_get(c->j, c->m.tagged, &image, err);
	if (code != 0)
		return code;
	timings_start(&c->timings);
	job_emit_state("pushing");
	code = image_push(c->j, &c->m, err);
	timings_mark(&c->timings, "push");
	if (code != 0)
		return code;
	image_fill_done(&c->m, image, false, done);
	json_object_set_new(done, "processes", cnb_processes(image));
	json_object_set_new(done, "entrypoint", json_string("cnb"));
	timings_tell(&c->timings, c->j, done);
	return 0;
}

int job_cnb(struct job *j, json_t *done, struct vk_err *err)
{
	struct cnb c = {.j = j, .source = {.fd = -1}};
	image_init(&c.m, j);
	int code = find_builder(&c, err);
	j->owner = c.builder.uid;
	if (code == 0)
		code = source_open(j, "tar", &c.source, err);
	if (code == 0) {
		make_key(&c);
		code = image_try_known(j, &c.m, done, err);
	}
	if (code == VK_NOTFOUND && c.m.key[0] != '\0')
		code = build(&c, done, err);
	source_close(&c.source);
	image_release(&c.m);
	return code;
}
