/* BUILD: the images of a release, in the order of their needs, independent ones at the same time. */
#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "deploy.h"
#include "gc.h"
#include "processes.h"
#include "stackpacks.h"

const char *deploy_own_boat(const char *stack, const json_t *doc, const char *name)
{
	const char *slash = strchr(name, '/');
	if (slash == NULL)
		return name;
	size_t n = (size_t)(slash - name);
	const char *alias = vk_json_str(doc, "name", "");
	if ((strlen(stack) == n && strncmp(stack, name, n) == 0) ||
		(strlen(alias) == n && n > 0 && strncmp(alias, name, n) == 0))
		return slash + 1;
	return NULL;
}

const json_t *deploy_foreign_boat(const struct state *st, const char *name)
{
	const char *slash = strchr(name, '/');
	if (slash == NULL)
		return NULL;
	vk_autofree char *stack = vk_strndup(name, (size_t)(slash - name));
	const struct stack *sk = state_stack(st, stack);
	const struct release *r = sk != NULL ? stack_current(sk) : NULL;
	return r != NULL ? json_object_get(r->boats, slash + 1) : NULL;
}

static const json_t *recipe_of(const struct deploy *d, const char *boat)
{
	return json_object_get(json_object_get(d->doc, "boats"), boat);
}

/* {"ragnar/base": ref} for what the recipe's FROM lines name; what is missing fails the build with its name. */
static json_t *job_refs(struct deploy *d, const json_t *recipe, struct vk_err *err)
{
	json_t *refs = json_object();
	size_t i;
	json_t *value;
	json_array_foreach(json_object_get(recipe, "refs"), i, value)
	{
		const char *name = json_string_value(value);
		const char *own = name != NULL ? deploy_own_boat(d->op.stack, d->doc, name) : NULL;
		const json_t *boat = own != NULL ? json_object_get(d->boats, own)
			: name != NULL           ? deploy_foreign_boat(&d->op.s->st, name)
						 : NULL;
		const char *ref = vk_json_str(boat, "ref", NULL);
		if (ref == NULL) {
			vk_err_set(err, VK_NOTFOUND, "there is no image viking:%s",
				name != NULL ? name : "?");
			json_decref(refs);
			return NULL;
		}
		json_object_set_new(refs, name, json_string(ref));
	}
	return refs;
}

/* ---- what the builder says ---- */

static size_t jobs_running(const struct deploy *d)
{
	size_t n = 0;
	for (const struct deploy_job *j = d->jobs; j != NULL; j = j->next)
		n += j->b != NULL;
	return n;
}

static void job_tell(struct deploy_job *j)
{
	struct deploy *d = j->d;
	if (j->told)
		return;
	j->told = true;
	if (j->site) {
		op_out(&d->op, "-----> Publishing site %s", j->name);
		return;
	}
	op_out(&d->op, "-----> Building %s %s", j->name, j->choice.what);
	if (j->choice.why != NULL)
		op_detail(&d->op, "chosen by %s", j->choice.why);
}

static void on_state(void *arg, struct build *b, const char *state, int64_t position)
{
	struct deploy_job *j = arg;
	struct deploy *d = j->d;
	(void)b;
	if (strcmp(state, "queued") == 0) {
		if (position > 0)
			op_detail(&d->op, "%s waits for a build slot (position %lld)", j->name,
				(long long)position);
		op_doing(&d->op, "waiting for a build slot");
		return;
	}
	if (strcmp(state, "lost") == 0) {
		op_detail(
			&d->op, "the builder went away: %s is built anew when it is back", j->name);
		op_doing(&d->op, "waiting for the builder");
		return;
	}
	if (strcmp(state, "running") == 0 && !j->site && !d->running_told) {
		d->running_told = true;
		deploy_stage_event(d, "s6");
	}
	if (strcmp(state, "pushing") == 0 && !d->pushing_told) {
		d->pushing_told = true;
		deploy_stage_event(d, "s7");
	}
	op_doing(&d->op, "building %s", j->name);
}

static void on_out(void *arg, struct build *b, const char *line)
{
	struct deploy_job *j = arg;
	(void)b;
	job_tell(j);
	if (jobs_running(j->d) > 1)
		op_detail(&j->d->op, "%s | %s", j->name, line);
	else if (packs_foreign(j->choice.builder))
		op_out(&j->d->op, "%s", line); /* packs write the form themselves */
	else
		op_detail(&j->d->op, "%s", line);
}

static void image_keep(
	struct deploy *d, const struct deploy_job *j, const json_t *done, json_t *launch)
{
	const struct image_row *old;
	vk_autofree char *name = vk_asprintf("%s/%s/%.12s", d->op.stack, j->name, d->commit);
	old = table_get(&d->op.s->st.images, name);
	if (old != NULL && vk_streq(old->ref, vk_json_str(done, "ref", "")) &&
		vk_streq(old->key, vk_json_str(done, "key", "")))
		return;
	struct txn *t = txn_new(d->op.s);
	txn_put(t,
		json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:O*,s:O*,s:I}", "v", MODEL_VERSION, "ref",
			vk_json_str(done, "ref", ""), "digest", vk_json_str(done, "digest", ""),
			"image", vk_json_str(done, "image", ""), "commit",
			d->commit != NULL ? d->commit : "", "key", vk_json_str(done, "key", ""),
			"expose", json_object_get(done, "expose"), "launch", launch, "time_ms",
			(json_int_t)vk_now_ms()),
		"/images/%s", name);
	txn_commit(t, NULL, NULL);
}

/* How the image is started: as the builder says, or as it said when it built the same. New reference or NULL. */
static json_t *image_launch(struct deploy *d, const struct deploy_job *j, const json_t *done)
{
	vk_autofree char *prefix = vk_asprintf("%s/%s/", d->op.stack, j->name);
	json_t *launch = launch_take(done);
	const struct image_row *row;
	if (launch != NULL || !vk_json_bool(done, "cached", false))
		return launch;
	table_each(&d->op.s->st.images, i, row) if (vk_starts(row->name, prefix) &&
		vk_streq(row->key, vk_json_str(done, "key", "")) &&
		row->launch != NULL) return json_incref(row->launch);
	return NULL;
}

static void job_result(struct deploy_job *j, const json_t *done)
{
	struct deploy *d = j->d;
	char took[24];
	op_seconds(j->began, took);
	if (j->site) {
		job_tell(j);
		op_detail(&d->op, "%s is ready (%s)", j->name, took);
		return;
	}
	vk_autojson *launch = image_launch(d, j, done);
	json_object_set_new(d->boats, j->name,
		json_pack("{s:s,s:s,s:s,s:O*,s:O*}", "ref", vk_json_str(done, "ref", ""), "digest",
			vk_json_str(done, "digest", ""), "image", vk_json_str(done, "image", ""),
			"expose", json_object_get(done, "expose"), "launch", launch));
	image_keep(d, j, done, launch);
	if (vk_json_bool(done, "cached", false))
		op_detail(&d->op, "%s unchanged: no build (same tree, %s)", j->name,
			j->choice.builder == NULL
				? "Dockerfile, arguments and base"
				: "packs, stack image, configuration and build environment");
	else
		op_detail(&d->op, "%s built (%s)", j->name, took);
}

static void deploy_build_step(struct deploy *d);

static void on_done(void *arg, struct build *b, const json_t *done)
{
	struct deploy_job *j = arg;
	struct deploy *d = j->d;
	(void)b;
	j->b = NULL;
	j->done = true;
	if (vk_json_bool(done, "ok", false)) {
		if (!j->site && !d->pushing_told && !vk_json_bool(done, "cached", false)) {
			d->pushing_told = true;
			deploy_stage_event(d, "s7");
		}
		job_result(j, done);
		deploy_build_step(d);
		return;
	}
	struct vk_err err = {0};
	vk_err_set(&err, vk_err_from_name(vk_json_str(done, "error", "FAILED")), "%s",
		vk_json_str(done, "message", "the build failed"));
	vk_err_hint(&err, "%s", vk_json_str(done, "hint", ""));
	deploy_fail(d, &err);
}

static const struct build_events events = {.state = on_state, .out = on_out, .done = on_done};

/* ---- order ---- */

static bool needs_done(const struct deploy *d, const struct deploy_job *j)
{
	size_t i;
	json_t *need;
	json_array_foreach(j->site ? NULL : json_object_get(recipe_of(d, j->name), "needs"), i,
		need) for (const struct deploy_job *k = d->jobs; k != NULL;
			   k = k->next) if (!k->site &&
		vk_streq(k->name, json_string_value(need)) && !k->done) return false;
	return true;
}

/* The document's recipe with the builder that was chosen. */
static json_t *job_recipe(const struct deploy *d, const struct deploy_job *j)
{
	json_t *recipe = json_copy((json_t *)(uintptr_t)recipe_of(d, j->name));
	json_object_del(recipe, "signals");
	json_object_del(recipe, "builder");
	if (j->choice.builder != NULL)
		json_object_set(recipe, "builder", j->choice.builder);
	return recipe;
}

static int job_send(struct deploy *d, struct deploy_job *j, struct vk_err *err)
{
	vk_autojson *recipe = j->site ? NULL : job_recipe(d, j);
	const json_t *node =
		j->site ? json_object_get(json_object_get(d->doc, "nodes"), j->name) : NULL;
	bool packs = packs_foreign(j->choice.builder);
	vk_autojson *refs = job_refs(d, recipe, err), *env = NULL;
	vk_autofree char *cache = packs ? stackpacks_cache(deploy_stack(d), j->name) : NULL;
	if (refs == NULL || (packs && stackpacks_env(d->op.s, d->config, &env, err) != 0))
		return err->code;
	const struct stack *sk = deploy_stack(d);
	vk_autojson *keep =
		j->site && sk != NULL ? gc_commits(sk, d->op.s->cfg->releases_keep) : NULL;
	struct build_spec spec = {
		.keep = keep,
		.kind = j->site ? "site" : "image",
		.stack = d->op.stack,
		.boat = j->site ? NULL : j->name,
		.node = j->site ? j->name : NULL,
		.commit = d->commit,
		.document_root = vk_json_str(node, "document_root", NULL),
		.who = d->op.who,
		.recipe = recipe,
		.refs = refs,
		.env = env,
		.cache = cache,
		.no_cache = d->no_cache,
	};
	j->sent = true;
	j->began = vk_mono_ms();
	j->b = builds_start(d->op.s, &spec, &events, j);
	return 0;
}

/* Other boats that nodes run as they are ("from"). */
static int take_foreign(struct deploy *d, struct vk_err *err)
{
	const char *name;
	json_t *node;
	json_object_foreach(json_object_get(d->doc, "nodes"), name, node)
	{
		const char *from = vk_json_str(node, "from", "");
		if (from[0] == '\0')
			continue;
		const char *own = deploy_own_boat(d->op.stack, d->doc, from);
		const json_t *boat = own != NULL ? json_object_get(d->boats, own)
						 : deploy_foreign_boat(&d->op.s->st, from);
		if (boat == NULL && json_object_get(d->boats, from) != NULL)
			continue; /* of the release rolled back to */
		if (boat == NULL)
			return vk_err_set(err, VK_NOTFOUND, "node %s: there is no image viking:%s",
				name, from);
		json_object_set_new(d->boats, from, json_deep_copy(boat));
	}
	return 0;
}

static void deploy_build_step(struct deploy *d)
{
	struct vk_err err = {0};
	bool all = true;
	for (struct deploy_job *j = d->jobs; j != NULL; j = j->next) {
		all = all && j->done;
		if (!j->sent && needs_done(d, j) && job_send(d, j, &err) != 0) {
			deploy_fail(d, &err);
			return;
		}
	}
	if (!all)
		return;
	if (take_foreign(d, &err) != 0)
		deploy_fail(d, &err);
	else
		deploy_built(d);
}

static void job_add(struct deploy *d, const char *name, bool site)
{
	struct deploy_job **p = &d->jobs;
	while (*p != NULL)
		p = &(*p)->next;
	*p = vk_alloc(sizeof(**p));
	(*p)->d = d;
	(*p)->name = vk_strdup(name);
	(*p)->site = site;
}

static int jobs_choose(struct deploy *d, struct vk_err *err)
{
	int rc = 0;
	for (struct deploy_job *j = d->jobs; j != NULL && rc == 0; j = j->next)
		if (!j->site)
			rc = stackpacks_choose(d->op.s, d->op.stack, deploy_stack(d), d->config,
				d->doc, j->name, &j->choice, err);
	return rc;
}

void deploy_build_begin(struct deploy *d)
{
	struct vk_err err = {0};
	const char *name;
	json_t *value;
	bool images = d->kind == DEPLOY_PUSH || d->kind == DEPLOY_REBUILD;
	json_object_foreach(images ? json_object_get(d->doc, "boats") : NULL, name, value)
		job_add(d, name, false);
	json_object_foreach(json_object_get(d->doc, "nodes"), name,
		value) if (strcmp(vk_json_str(value, "type", "app"), "website") == 0)
		job_add(d, name, true); /* the files may have been collected: they come back */
	if (jobs_choose(d, &err) != 0) {
		deploy_fail(d, &err);
		return;
	}
	if (d->jobs != NULL) {
		deploy_stage_event(d, "s5");
		op_doing(&d->op, builds_live(d->op.s) ? "building" : "waiting for the builder");
	}
	deploy_build_step(d);
}

void deploy_build_stop(struct deploy *d, const char *why)
{
	while (d->jobs != NULL) {
		struct deploy_job *j = d->jobs;
		d->jobs = j->next;
		if (j->b != NULL)
			builds_cancel(d->op.s, j->b, why);
		packs_choice_release(&j->choice);
		free(j->name);
		free(j);
	}
}
