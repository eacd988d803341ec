#include "engine_build.h"

#include <string.h>
#include <strings.h>
#include <viking/buildcgroup.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "disk_watch.h"
#include "failure.h"
#include "image_name.h"
#include "progress.h"
#include "relay.h"

#define QUERY_MAX (512u << 10) /* build arguments travel in it */
#define LABELS    5

static void add(struct vk_buf *query, const char *name, const char *value)
{
	vk_autofree char *escaped = vk_engine_escape(value);
	vk_buf_addf(query, "&%s=%s", name, escaped);
}

static void add_json(struct vk_buf *query, const char *name, const json_t *value)
{
	vk_autofree char *text = vk_json_text(value);
	add(query, name, text);
}

/* The recipe's arguments as the engine gets them: viking:STACK/BOAT becomes the image in the registry, as the
 * scanner did with such names in the Dockerfile itself. */
static json_t *build_args(const struct job *j)
{
	json_t *args = json_object(), *value;
	const char *name;
	json_object_foreach(json_object_get(j->recipe, "args"), name, value)
	{
		struct boat_ref boat;
		const char *text = json_string_value(value);
		json_object_set(args, name, value);
		if (text == NULL || !image_is_boat(text) || image_boat_ref(text, &boat, NULL) != 0)
			continue;
		vk_autofree char *key = vk_asprintf("%s/%s", boat.stack, boat.boat);
		json_t *ref = json_object_get(j->refs, key);
		if (json_is_string(ref))
			json_object_set(args, name, ref);
	}
	return args;
}

char *engine_build_path(const struct job *j, const struct engine_build *b)
{
	vk_autobuf query = VK_BUF_INIT(QUERY_MAX);
	vk_autojson *args = build_args(j);
	const char *target = vk_json_str(j->recipe, "target", "");
	vk_autojson *labels = json_pack("{s:s, s:s, s:s, s:s, s:s}", "viking.stack", j->stack,
		"viking.boat", j->boat, "viking.commit", j->commit, "viking.build-key", b->key,
		"viking.root", j->root_label);
	vk_buf_addf(
		&query, "/build?version=%d&rm=1&forcerm=1&networkmode=default", b->classic ? 1 : 2);
	add(&query, "t", b->image_name);
	add(&query, "dockerfile", vk_json_str(b->source.header, "dockerfile", "Dockerfile"));
	if (target[0] != '\0')
		add(&query, "target", target);
	if (json_object_size(args) > 0)
		add_json(&query, "buildargs", args);
	add_json(&query, "labels", labels);
	if (j->no_cache)
		vk_buf_adds(&query, "&nocache=1");
	if (b->classic)
		limits_query(&b->limits, &query);
	return vk_buf_take(&query);
}

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct progress *p = arg;
	p->now_ms = vk_mono_ms();
	return progress_line(p, line, err);
}

/* What the engine said as an error of ours. */
static int explain(struct job *j, const struct engine_build *b, const struct progress *p,
	uint64_t hits, const char *engine, struct vk_err *err)
{
	const char *file = vk_json_str(j->recipe, "dockerfile", NULL);
	vk_autofree char *inlined = vk_asprintf("build.%s", j->boat);
	struct failure f = {
		.source = file != NULL ? file : inlined,
		.source_is_file = file != NULL,
		.steps = json_object_get(b->source.header, "steps"),
		.progress = p,
		.engine = engine,
		.limits = &b->limits,
		.memory_hit = vk_build_cgroup_memory_hits(VK_CGROUP_ROOT) > hits,
	};
	return failure_describe(&f, err);
}

/* Trouble between us and the engine, not in what was pushed. */
static bool is_ours(int code)
{
	return code == VK_UNAVAILABLE || code == VK_TIMEOUT || code == VK_CANCELLED;
}

/* The class can be named as a container's parent only with the cgroupfs driver; systemd wants slices. */
static bool engine_uses_cgroupfs(struct job *j)
{
	vk_autojson *info = NULL;
	return vk_engine_call(j->engine, "GET", "/info", NULL, 0, &info, NULL) == 0 &&
		vk_streq(vk_json_str(info, "CgroupDriver", ""), "cgroupfs");
}

static int run_once(struct job *j, struct engine_build *b, struct progress *p, struct vk_err *err)
{
	vk_autofree char *self = vk_libexec_path(j->config, "viking-job");
	if (b->classic && b->limits.class_there)
		b->limits.class_there = engine_uses_cgroupfs(j);
	vk_autofree char *path = engine_build_path(j, b);
	uint64_t hits = vk_build_cgroup_memory_hits(VK_CGROUP_ROOT);
	struct relay relay;
	/* it adds them to the last stage; a target before that one loses them, so nothing relies on them there */
	p->own_steps = b->classic && vk_json_str(j->recipe, "target", "")[0] == '\0' ? LABELS : 0;
	int code = relay_start(self, b->source.fd, &relay, err);
	if (code != 0)
		return code;
	vk_closep(&b->source.fd);
	b->source.fd = -1;
	struct disk_watch disk;
	code = disk_watch_start(j->engine, j->config, &disk, err);
	if (code != 0) {
		relay_kill(&relay);
		return code;
	}
	code = vk_engine_upload(j->engine, "POST", path, NULL, relay.out, disk.fd, on_line, p,
		(int64_t)j->config->build_timeout_ms, err);
	progress_end(p);
	int full = disk_watch_end(&disk, j->config, code == VK_CANCELLED ? err : NULL);
	if (full != 0 && code == VK_CANCELLED) {
		relay_kill(&relay);
		return full;
	}
	if (code == 0 && p->error == NULL && p->image[0] != '\0')
		return relay_end(&relay, err);
	relay_kill(&relay);
	if (code != 0 && is_ours(code))
		return code;
	vk_autofree char *said = code != 0 && err != NULL ? vk_strdup(err->msg) : NULL;
	return explain(j, b, p, hits, said, err);
}

static bool lacks_buildkit(const struct progress *p, const struct vk_err *err)
{
	return p->n == 0 && p->error == NULL && strcasestr(err->msg, "buildkit") != NULL;
}

int engine_build_run(struct job *j, struct engine_build *b, struct vk_err *err)
{
	struct progress p;
	progress_init(&p, &j->log);
	int code = run_once(j, b, &p, err);
	if (code != 0 && !b->classic && lacks_buildkit(&p, err)) {
		buildlog_linef(&j->log, "The engine has no BuildKit: its classic builder is used");
		progress_release(&p);
		progress_init(&p, &j->log);
		source_close(&b->source);
		b->classic = true;
		code = source_open(j, "tar", &b->source, err);
		if (code == 0)
			code = run_once(j, b, &p, err);
	}
	if (code == 0)
		memcpy(b->image, p.image, sizeof(b->image));
	progress_release(&p);
	return code;
}
