#include "job.h"

#include "site.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/crypt.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

static const struct kind {
	const char *name;
	bool needs_engine;
	int (*run)(struct job *j, json_t *done, struct vk_err *err);
} kinds[] = {
	{"image", true, job_image},
	{"site", false, job_site},
	{"gc", true, job_gc},
	{"copy", false, job_copy},
	{"sweep", false, job_sweep},
	{"stack", false, job_stack},
	{"store", false, job_store},
};

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < VK_COUNT(kinds); i++) {
		if (vk_streq(kinds[i].name, name))
			return &kinds[i];
	}
	return NULL;
}

static bool is_tag(const char *s)
{
	return s[0] != '\0' && strlen(s) <= 40 &&
		strspn(s, "0123456789abcdefghijklmnopqrstuvwxyz") == strlen(s);
}

static int check_image(const struct job *j, struct vk_err *err)
{
	int code = vk_stack_name(j->stack, err);
	if (code == 0)
		code = vk_node_name(j->boat, err);
	if (code != 0)
		return code;
	if (!registry_is_name(j->stack) || !registry_is_name(j->boat))
		return vk_err_set(err, VK_INVALID,
			"no image can be named %s/%s: a name may not end in - or _, "
			"nor hold more than two _ in a row",
			j->stack, j->boat);
	if (!vk_is_commit(j->commit) || !is_tag(j->tag))
		return vk_err_set(err, VK_INVALID, "job %s has no proper commit and tag", j->id);
	if (!json_is_object(j->recipe))
		return vk_err_set(err, VK_INVALID, "job %s has no recipe", j->id);
	return 0;
}

static int check_site(const struct job *j, struct vk_err *err)
{
	int code = vk_stack_name(j->stack, err);
	if (code == 0)
		code = vk_node_name(j->node, err);
	if (code == 0 && !vk_is_commit(j->commit))
		return vk_err_set(err, VK_INVALID, "job %s has no proper commit", j->id);
	return code;
}

static int check(const struct job *j, struct vk_err *err)
{
	if (find_kind(j->kind) == NULL)
		return vk_err_set(err, VK_INVALID, "job %s is of no known kind", j->id);
	if (vk_streq(j->kind, "image"))
		return check_image(j, err);
	if (vk_streq(j->kind, "site"))
		return check_site(j, err);
	if (vk_streq(j->kind, "copy") && !json_is_array(json_object_get(j->doc, "images")))
		return vk_err_set(err, VK_INVALID, "job %s does not say what to copy", j->id);
	if (vk_streq(j->kind, "gc") && !json_is_array(j->keep))
		return vk_err_set(err, VK_INVALID, "job %s does not say what to keep", j->id);
	return 0;
}

int job_init(struct job *j, json_t *doc, const struct vk_config *c, struct vk_err *err)
{
	char hash[65];
	*j = (struct job){
		.id = vk_json_str(doc, "id", ""),
		.kind = vk_json_str(doc, "kind", ""),
		.stack = vk_json_str(doc, "stack", ""),
		.boat = vk_json_str(doc, "boat", ""),
		.node = vk_json_str(doc, "node", ""),
		.commit = vk_json_str(doc, "commit", ""),
		.document_root = vk_json_str(doc, "document_root", ""),
		.tag = vk_json_str(doc, "tag", ""),
		.no_cache = vk_json_bool(doc, "no_cache", false),
		.recipe = json_object_get(doc, "recipe"),
		.refs = json_object_get(doc, "refs"),
		.known = json_object_get(doc, "known"),
		.keep = json_object_get(doc, "keep"),
		.env = json_object_get(doc, "env"),
		.cache = vk_json_str(doc, "cache", ""),
		.source_version = vk_json_str(doc, "source_version", ""),
		.doc = json_incref(doc),
		.config = c,
		.started_ms = vk_mono_ms(),
	};
	json_t *builder = json_object_get(j->recipe, "builder");
	j->builder = json_is_object(builder) ? builder : NULL;
	int64_t budget = vk_json_int(doc, "budget", 0);
	j->budget = budget > 0 ? (uint64_t)budget : 0;
	vk_sha256_hex(c->state_dir, strlen(c->state_dir), hash);
	memcpy(j->root_label, hash, sizeof(j->root_label) - 1);
	buildlog_init(&j->log, job_emit_out, NULL);
	int code = check(j, err);
	return code == 0 && j->builder != NULL ? site_read(c, &j->site, err) : code;
}

void job_release(struct job *j)
{
	buildlog_release(&j->log);
	registry_release(&j->registry);
	vk_engine_free(j->engine);
	json_decref(j->site);
	json_decref(j->doc);
}

int job_connect(struct job *j, struct vk_err *err)
{
	int code = vk_engine_new(j->config->engine_socket, NULL, &j->engine, err);
	if (code == 0)
		code = registry_init(&j->registry, j->config, err);
	if (code == 0)
		code = registry_ping(&j->registry, err);
	return code;
}

int job_run(struct job *j, json_t **ret_done, struct vk_err *err)
{
	const struct kind *k = find_kind(j->kind);
	if (k == NULL)
		return vk_err_set(err, VK_INVALID, "a job of kind %.32s is not known", j->kind);
	int code = k->needs_engine ? job_connect(j, err) : 0;
	if (code != 0)
		return code;
	vk_autojson *done = json_object();
	code = k->run(j, done, err);
	if (code != 0)
		return code;
	json_object_set_new(done, "ok", json_true());
	json_object_set_new(done, "ms", json_integer(vk_mono_ms() - j->started_ms));
	*ret_done = VK_TAKE(done);
	return 0;
}

static void emit(json_t *line)
{
	vk_autofree char *text = vk_json_text(line);
	vk_autofree char *whole = vk_asprintf("%s\n", text);
	json_decref(line);
	if (vk_write_all(STDOUT_FILENO, whole, strlen(whole), NULL) != 0)
		_exit(1); /* viking-builder is gone: so is the one who wanted this */
}

void job_emit_out(void *arg, const char *line, size_t n)
{
	(void)arg;
	emit(json_pack("{s:o}", "out", vk_json_safe_string(line, n)));
}

void job_emit_state(const char *state)
{
	emit(json_pack("{s:s}", "state", state));
}

void job_emit_done(const struct job *j, json_t *done, const struct vk_err *err)
{
	if (done == NULL) {
		done = json_pack("{s:b, s:s, s:o, s:o}", "ok", 0, "error", vk_err_name(err->code),
			"message", vk_json_safe_string(err->msg, strlen(err->msg)), "hint",
			vk_json_safe_string(err->hint, strlen(err->hint)));
		json_object_set_new(done, "tail", buildlog_tail(&j->log));
	}
	emit(json_pack("{s:o}", "done", done));
}
