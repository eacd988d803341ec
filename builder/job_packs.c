/*
 * An image made by buildpacks of the classic (Heroku) kind: a box from the stack's build image gets the source and
 * what packs need to know, runs them, and what it leaves in /app becomes the image. packaging/stack/bin/run-packs is
 * the other half: the contract itself, in the box.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <viking/buildcgroup.h>
#include <viking/crypt.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/pack_name.h>
#include <viking/str.h>

#include "bases.h"
#include "box.h"
#include "image.h"
#include "pack_dir.h"
#include "pack_result.h"
#include "source.h"
#include "stack_image.h"
#include "timings.h"

#define APP_ID     1000 /* user and group of everything in the build, as the stack image has them */
#define LIST_MAX   (64 * 1024)
#define VARS_BYTES (1u << 20)

struct packs {
	struct job *j;
	struct stack_image stack;
	struct source source;
	struct image m;
	struct box box;
	struct pack_result result;
	struct vk_buf list; /* the lines of /tmp/viking/packs */
	int dirs[VK_PACKS_MAX];
	size_t ndirs;
	struct timings timings;
};

/* -- what packs ------------------------------------------------------------------------------ */

static int add_dir(struct packs *p, const char *path, struct vk_err *err)
{
	int code = pack_dir_open(path, p->j->config->policy_pack_paths, &p->dirs[p->ndirs], err);
	if (code == 0)
		vk_buf_addf(&p->list, "dir %zu\n", p->ndirs++);
	return code;
}

static int add_pack(struct packs *p, const char *text, struct vk_err *err)
{
	vk_autofree char *name = NULL;
	enum vk_pack_kind kind;
	int code = vk_pack_name(text, &name, &kind, err);
	if (code != 0)
		return code;
	char *ref = strchr(name, '#');
	if (ref != NULL)
		*ref++ = '\0';
	switch (kind) {
	case VK_PACK_OWN:
		return vk_buf_addf(&p->list, "own %s\n", name + 4);
	case VK_PACK_INLINE:
		return vk_buf_adds(&p->list, "inline\n");
	case VK_PACK_GIT:
		return vk_buf_addf(&p->list, "git %s %s\n", name, ref != NULL ? ref : "");
	case VK_PACK_TAR:
		return vk_buf_addf(&p->list, "tar %s\n", name);
	case VK_PACK_DIR:
		return add_dir(p, name, err);
	}
	return VK_INVALID;
}

static int list_packs(struct packs *p, struct vk_err *err)
{
	json_t *names = json_object_get(p->j->builder, "packs");
	size_t n = json_array_size(names);
	if (n == 0 || n > VK_PACKS_MAX)
		return vk_err_set(err, VK_INVALID, "a boat takes 1 to %d buildpacks", VK_PACKS_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(names, i));
		int code = text != NULL ? add_pack(p, text, err)
					: vk_err_set(err, VK_INVALID, "a buildpack without name");
		if (code != 0)
			return code;
	}
	return 0;
}

/* -- key ------------------------------------------------------------------------------------- */

static void add_hash(struct vk_sha256 *h, const json_t *j)
{
	char hex[65] = "";
	if (j != NULL)
		vk_json_hash(j, hex);
	vk_sha256_add(h, hex, sizeof(hex));
}

/* Tree, packs, stack image, the stack's variables and the site's. A pack named by a branch counts by that name. */
static int make_key(struct packs *p, struct vk_err *err)
{
	struct vk_sha256 *h = vk_sha256_new();
	const char *source = vk_json_str(p->source.header, "key", "");
	int code = 0;
	vk_sha256_add(h, "packs 1", 8);
	vk_sha256_add(h, source, strlen(source) + 1);
	vk_sha256_add(h, p->stack.build, strlen(p->stack.build) + 1);
	vk_sha256_add(h, vk_buf_str(&p->list), p->list.len + 1);
	add_hash(h, p->j->env);
	add_hash(h, p->j->site);
	for (size_t i = 0; i < p->ndirs && code == 0; i++)
		code = pack_dir_write(p->dirs[i], "pack", NULL, h, err);
	vk_sha256_end(h, p->m.key);
	return code;
}

/* -- what goes in besides the source --------------------------------------------------------- */

static int put_text(struct tar *t, const char *path, const char *text, struct vk_err *err)
{
	return tar_file(t, path, false, text, strlen(text), err);
}

static int put_variables(struct tar *t, json_t *env, struct vk_err *err)
{
	const char *name;
	json_t *value;
	int code = tar_dir(t, "tmp/env", err);
	json_object_foreach(env, name, value)
	{
		vk_autofree char *path = vk_asprintf("tmp/env/%s", name);
		if (code == 0)
			code = vk_env_name(name, err); /* it becomes a file's name */
		if (code == 0 && json_is_string(value))
			code = tar_file(t, path, false, json_string_value(value),
				json_string_length(value), err);
	}
	return code;
}

static int put_settings(struct packs *p, struct tar *t, struct vk_err *err)
{
	struct job *j = p->j;
	vk_autofree char *env =
		vk_asprintf("%sREQUEST_ID=%s\n%s%s%s", vk_json_str(j->site, "env", ""), j->id,
			j->source_version[0] != '\0' ? "SOURCE_VERSION=" : "", j->source_version,
			j->source_version[0] != '\0' ? "\n" : "");
	int code = tar_dir(t, "viking-result", err);
	if (code == 0)
		code = tar_dir(t, "tmp/viking", err);
	if (code == 0)
		code = put_text(t, "tmp/viking/packs", vk_buf_str(&p->list), err);
	if (code == 0)
		code = put_text(t, "tmp/viking/mode", "explicit\n", err);
	if (code == 0)
		code = put_text(t, "tmp/viking/env", env, err);
	return code == 0 ? put_text(t, "tmp/viking/ca.crt", vk_json_str(j->site, "ca", ""), err)
			 : code;
}

static int put_packs(struct packs *p, struct tar *t, struct vk_err *err)
{
	int code = p->ndirs > 0 ? tar_dir(t, "tmp/packs", err) : 0;
	for (size_t i = 0; i < p->ndirs && code == 0; i++) {
		vk_autofree char *prefix = vk_asprintf("tmp/packs/%zu", i);
		code = pack_dir_write(p->dirs[i], prefix, t, NULL, err);
	}
	return code;
}

typedef int fill_fn(struct packs *p, struct tar *t, struct vk_err *err);

static int fill_inputs(struct packs *p, struct tar *t, struct vk_err *err)
{
	int code = put_settings(p, t, err);
	if (code == 0)
		code = put_variables(t, p->j->env, err);
	return code == 0 ? put_packs(p, t, err) : code;
}

/* Defaults that the last pack's bin/release asks for, where /opt/viking/bin/exec looks for them. */
static int fill_defaults(struct packs *p, struct tar *t, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(VARS_BYTES);
	pack_result_vars(p->result.config_vars, &text);
	int code = tar_dir(t, "app/.viking", err);
	return code == 0 ? put_text(t, "app/.viking/config_vars.sh", vk_buf_str(&text), err) : code;
}

static int put(struct packs *p, fill_fn *fill, struct vk_err *err)
{
	vk_autoclose int fd = memfd_create("inputs", MFD_CLOEXEC);
	if (fd < 0)
		return vk_err_errno(err, errno, "memfd_create");
	struct tar *t = tar_new(fd);
	tar_own(t, APP_ID, APP_ID);
	int code = fill(p, t, err);
	if (code == 0)
		code = tar_end(t, err);
	tar_free(t);
	if (code == 0 && lseek(fd, 0, SEEK_SET) != 0)
		code = vk_err_errno(err, errno, "lseek");
	return code == 0 ? box_put(&p->box, "/", fd, err) : code;
}

/* -- the run --------------------------------------------------------------------------------- */

static int create(struct packs *p, int cancel_fd, struct vk_err *err)
{
	vk_autojson *command = NULL;
	vk_autofree char *bind = vk_asprintf("%s:/cache", p->j->cache);
	vk_autojson *binds = p->j->cache[0] != '\0' ? json_pack("[s]", bind) : NULL;
	int code = box_network(p->j, err);
	if (code == 0 && binds != NULL)
		code = box_cache(p->j, p->j->cache, err);
	command = box_entry();
	if (code == 0)
		code = box_create(p->j, cancel_fd,
			&(struct box_opts){
				.image = p->stack.build, .command = command, .binds = binds},
			&p->box, err);
	timings_mark(&p->timings, "create");
	return code;
}

static int upload(struct packs *p, struct vk_err *err)
{
	int code = box_put_source(&p->box, "/tmp/build", &p->source.fd, err);
	if (code == 0)
		code = put(p, fill_inputs, err);
	timings_mark(&p->timings, "upload");
	return code;
}

static int explain(struct packs *p, int status, struct vk_err *err)
{
	struct limit_signs signs = {.exit_code = status,
		.memory_hit = p->box.out_of_memory,
		.message = p->box.disk.full ? "no space left on device" : "",
		.log = &p->j->log};
	if (p->box.disk.full)
		status = 1; /* what we ended it for */
	return pack_result_explain(&p->result, status, &p->box.limits, &signs, err);
}

static int run(struct packs *p, struct vk_err *err)
{
	vk_autobuf tar = VK_BUF_INIT(RESULT_MAX);
	struct vk_err why = {0};
	int status = -1;
	int code = box_run(&p->box, &status, err);
	timings_mark(&p->timings, "run");
	if (code == VK_CANCELLED || !p->box.started)
		return code;
	int got = box_get(&p->box, "/viking-result", &tar, &why);
	if (got == 0)
		got = pack_result_read(vk_buf_str(&tar), tar.len, &p->result, &why);
	if (code != 0 || status != 0)
		return explain(p, status, err);
	if (got != 0)
		*err = why;
	return got;
}

/* -- the image ------------------------------------------------------------------------------- */

static json_t *image_config(const struct packs *p)
{
	const struct job *j = p->j;
	const char *web = vk_json_str(p->result.processes, "web", NULL);
	json_t *config = json_pack("{s:[s], s:s, s:s}", "Entrypoint", "/opt/viking/bin/exec",
		"User", "1000:1000", "WorkingDir", "/app");
	if (web != NULL)
		json_object_set_new(config, "Cmd", json_pack("[s, s]", "-c", web));
	json_object_set_new(config, "Labels",
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "viking.stack", j->stack, "viking.boat",
			j->boat, "viking.commit", j->commit, "viking.build-key", p->m.key,
			"viking.root", j->root_label, "viking.build", ""));
	return config;
}

static void say_processes(const struct packs *p)
{
	vk_autobuf names = VK_BUF_INIT(8192);
	const char *name;
	json_t *command;
	json_object_foreach(p->result.processes, name, command)
		vk_buf_addf(&names, "%s%s", names.len > 0 ? ", " : "", name);
	buildlog_linef(&p->j->log, "-----> Discovering process types");
	buildlog_linef(&p->j->log, "       %s -> %s",
		p->result.from_procfile ? "Procfile declares types"
					: "Default types of the buildpack",
		names.len > 0 ? vk_buf_str(&names) : "none");
}

static int commit(struct packs *p, json_t **ret_image, struct vk_err *err)
{
	char id[80];
	vk_autojson *config = image_config(p);
	int code = json_object_size(p->result.config_vars) > 0 ? put(p, fill_defaults, err) : 0;
	if (code == 0)
		code = box_commit(&p->box, p->m.name, p->j->tag, config, id, err);
	if (code == 0)
		code = bases_get(p->j, id, ret_image, err);
	timings_mark(&p->timings, "commit");
	return code;
}

static void fill_done(struct packs *p, const json_t *image, json_t *done)
{
	image_fill_done(&p->m, image, false, done);
	json_object_set(done, "processes", p->result.processes);
	json_object_set(done, "packs", p->result.packs);
	json_object_set_new(done, "entrypoint", json_true());
	json_object_set_new(done, "stack_image", json_string(p->stack.run));
	json_object_set_new(done, "stack_version", json_string(p->stack.version));
	timings_tell(&p->timings, p->j, done);
}

static int build(struct packs *p, json_t *done, struct vk_err *err)
{
	vk_autojson *image = NULL;
	vk_autoclose int cancel_fd = box_cancel_fd();
	int code = registry_room(&p->j->registry, p->j->config->free_bytes_min, err);
	timings_start(&p->timings);
	if (code == 0)
		code = create(p, cancel_fd, err);
	if (code == 0)
		code = upload(p, err);
	if (code == 0)
		code = run(p, err);
	if (code == 0) {
		say_processes(p);
		code = commit(p, &image, err);
	}
	box_remove(&p->box);
	if (code != 0)
		return code;
	timings_start(&p->timings); /* the removal is none of the parts */
	job_emit_state("pushing");
	code = image_push(p->j, &p->m, err);
	timings_mark(&p->timings, "push");
	if (code == 0)
		fill_done(p, image, done);
	return code;
}

int job_packs(struct job *j, json_t *done, struct vk_err *err)
{
	struct packs p = {.j = j, .source = {.fd = -1}, .list = VK_BUF_INIT(LIST_MAX)};
	image_init(&p.m, j);
	j->owner = APP_ID;
	int code = list_packs(&p, err);
	if (code == 0)
		code = stack_image_ensure(j, &p.stack, err);
	if (code == 0)
		code = source_open(j, "tar", &p.source, err);
	if (code == 0)
		code = make_key(&p, err);
	if (code == 0)
		code = image_try_known(j, &p.m, done, err);
	if (code == VK_NOTFOUND && p.m.key[0] != '\0')
		code = build(&p, done, err);
	for (size_t i = 0; i < p.ndirs; i++)
		vk_closep(&p.dirs[i]);
	pack_result_release(&p.result);
	source_close(&p.source);
	vk_buf_release(&p.list);
	image_release(&p.m);
	return code;
}
