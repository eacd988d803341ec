/* The machine of a deploy: beginning, release row, failure, life. The stages are in deploy_*.c. */
#include "deploy.h"

#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "domains.h"
#include "net.h"
#include "pick.h"
#include "processes.h"
#include "push.h"

static const char *const kind_names[] = {
	[DEPLOY_PUSH] = "push",
	[DEPLOY_CONFIG] = "config",
	[DEPLOY_ROLLBACK] = "rollback",
	[DEPLOY_REDEPLOY] = "redeploy",
	[DEPLOY_REBUILD] = "rebuild",
	[DEPLOY_SCALE] = "scale",
	[DEPLOY_PROMOTE] = "promote",
	[DEPLOY_ABORT] = "abort",
};

struct stack *deploy_stack(struct deploy *d)
{
	return table_get(&d->op.s->st.stacks, d->op.stack);
}

void deploy_stage_event(struct deploy *d, const char *what)
{
	hub_event(d->op.s, "stage", d->op.stack, what, d->op.who);
}

/* ---- taking back ---- */

static void deploy_failed_written(void *arg, const struct vk_err *err)
{
	struct deploy *d = arg;
	(void)err; /* the row stays "deploying": the next start calls it cancelled */
	if (!d->op.ended)
		op_end(&d->op, &d->fail,
			json_pack("{s:i}", "release", d->rel != NULL ? (int)d->rel->n : 0));
	op_unref(&d->op);
}

static void text_set(char **slot, const char *text)
{
	free(*slot);
	*slot = vk_strdup(text);
}

static void deploy_take_back(struct deploy *d)
{
	struct overlay *o = &d->op.overlay;
	bool written = d->rel != NULL && d->kind != DEPLOY_PROMOTE &&
		stack_release(deploy_stack(d), d->rel->n) != NULL;
	o->switched = o->abort = false;
	json_decref(VK_TAKE(o->trial));
	o->release = NULL;
	inst_list_release(&o->planned);
	inst_list_release(&o->fresh);
	vk_strv_release(&o->stop);
	hub_touch(d->op.s);
	if (!written) {
		op_end(&d->op, &d->fail, NULL);
		return;
	}
	text_set(&d->rel->outcome, d->fail.code == VK_CANCELLED ? "cancelled" : "failed");
	text_set(&d->rel->cause, d->fail.msg);
	d->rel->ms = vk_mono_ms() - d->op.began;
	struct txn *t = txn_new(d->op.s);
	txn_put_row(t, release_fields, d->rel, "/release/%s/%u", d->op.stack, d->rel->n);
	txn_del(t, "/intent/%s", d->op.stack);
	op_ref(&d->op);
	txn_commit(t, deploy_failed_written, d);
}

void deploy_fail(struct deploy *d, const struct vk_err *err)
{
	if (d->stage == STAGE_OVER || d->fail.code != 0)
		return;
	d->fail = *err;
	vk_timer_set(d->deadline, -1);
	deploy_build_stop(d, err->msg);
	if (d->writing)
		return; /* its callback comes here again */
	d->stage = STAGE_OVER;
	hub_event(d->op.s, "deploy", d->op.stack, err->msg, d->op.who);
	deploy_take_back(d);
}

static bool deploy_cancel(struct op *op, const struct vk_err *why)
{
	struct deploy *d = (struct deploy *)op;
	if (d->stage == STAGE_COMMIT || d->stage == STAGE_OVER)
		return false;
	deploy_fail(d, why);
	return true;
}

/* The release that is meant, or the last good one before the current. */
static struct release *rollback_target(
	const struct deploy *d, const struct stack *sk, struct vk_err *err)
{
	for (size_t i = sk->n_releases; i-- > 0;) {
		struct release *r = sk->release[i];
		bool meant = d->to > 0 ? r->n == d->to : r->n < sk->current;
		if (meant && strcmp(r->outcome, "ok") == 0)
			return r;
	}
	if (d->to > 0)
		vk_err_set(err, VK_NOTFOUND, "%s has no good release v%u", sk->name, d->to);
	else
		vk_err_set(err, VK_NOTFOUND, "%s has no earlier good release", sk->name);
	vk_err_hint(err, "viking releases %s", sk->name);
	return NULL;
}

/* ---- beginning ---- */

/* What the release will run on: the pushed document, or that of an earlier release. */
static int take_source(struct deploy *d, struct stack *sk, struct vk_err *err)
{
	struct release *from = stack_current(sk);
	if (d->kind == DEPLOY_PUSH)
		return 0;
	if (d->kind == DEPLOY_ROLLBACK) {
		from = rollback_target(d, sk, err);
		if (from == NULL)
			return VK_NOTFOUND;
		d->to = from->n;
		d->config = json_incref(from->config);
	}
	if (from == NULL) {
		(void)pick_release(sk, err);
		return VK_NOTFOUND;
	}
	d->doc = release_doc(from);
	if (d->doc == NULL)
		return vk_err_set(err, VK_NOTFOUND,
			"v%u of %s is beyond releases.keep: its images are gone", from->n,
			d->op.stack);
	d->commit = vk_strdup(from->commit);
	if (d->kind != DEPLOY_REBUILD)
		d->boats = json_deep_copy(from->boats);
	return 0;
}

static json_t *config_with(const struct stack *sk, const json_t *set)
{
	json_t *config = hub_config(sk);
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)set, name, value)
	{
		if (json_is_null(value))
			json_object_del(config, name);
		else
			json_object_set(config, name, value);
	}
	return config;
}

static int deploy_prepare(struct deploy *d, struct stack *sk, struct vk_err *err)
{
	int rc = deploy_refuses_canary(d, sk, err);
	if (rc == 0)
		rc = take_source(d, sk, err);
	if (rc != 0)
		return rc;
	if (d->config == NULL)
		d->config = config_with(sk, d->set);
	if (d->boats == NULL)
		d->boats = json_object();
	struct caller who = op_caller(&d->op);
	rc = push_claims_check(d->op.s, &who, d->op.stack, d->doc, err);
	if (rc != 0)
		return rc;
	d->op.overlay.claims = push_claims(d->doc);
	return 0;
}

static void config_only_written(void *arg, const struct vk_err *err)
{
	struct deploy *d = arg;
	d->stage = STAGE_OVER;
	if (!d->op.ended) {
		if (err == NULL)
			op_out(&d->op, "=====> %s configured; the next release will have it",
				d->op.stack);
		op_end(&d->op, err, NULL);
	}
	op_unref(&d->op);
}

/* Configuration of a stack that has never been deployed, or that is to wait for the next release: only the rows. */
static void config_only(struct deploy *d)
{
	struct txn *t = txn_new(d->op.s);
	const char *name;
	json_t *value;
	json_object_foreach(d->set, name, value)
	{
		if (json_is_null(value))
			txn_del(t, "/config/%s/%s", d->op.stack, name);
		else
			txn_put(t, json_pack("{s:i,s:O}", "v", MODEL_VERSION, "sealed", value),
				"/config/%s/%s", d->op.stack, name);
	}
	d->stage = STAGE_COMMIT;
	op_ref(&d->op);
	txn_commit(t, config_only_written, d);
}

/* The hook looks whether the branch, where those before this push have taken it, is part of the push, and goes away if not. */
static void tell_turn(const struct deploy *d, const struct stack *sk)
{
	const char *coming = vk_streq(vk_json_str(sk->pending, "ref", NULL), d->ref)
		? vk_json_str(sk->pending, "new", NULL)
		: NULL;
	vk_req_line(d->op.r, json_pack("{s:{s:s*}}", "turn", "coming", coming));
}

static void deploy_start(struct op *op)
{
	struct deploy *d = (struct deploy *)op;
	struct stack *sk = deploy_stack(d);
	struct vk_err err = {0};
	d->phase = vk_mono_ms();
	if (d->kind == DEPLOY_PUSH && op->waited && op->r != NULL)
		tell_turn(d, sk);
	if (d->kind == DEPLOY_CONFIG && (d->rows_only || stack_current(sk) == NULL)) {
		config_only(d);
		return;
	}
	if (d->kind == DEPLOY_SCALE) {
		d->stage = STAGE_START;
		if (deploy_assign(d, &err) != 0)
			deploy_fail(d, &err);
		else
			deploy_start_begin(d);
		return;
	}
	int rc = op_check(op->s, op->stack, kind_names[d->kind], OP_WAIT, &err);
	if (rc == 0 && d->kind == DEPLOY_PROMOTE)
		rc = deploy_promote(d, sk, &err);
	else if (rc == 0 && d->kind == DEPLOY_ABORT)
		rc = deploy_abort(d, sk, &err);
	else if (rc == 0 && (rc = deploy_prepare(d, sk, &err)) == 0) {
		d->stage = STAGE_BUILD;
		deploy_build_begin(d);
	}
	if (rc != 0)
		deploy_fail(d, &err);
}

/* ---- the release row ---- */

static char *release_why(const struct deploy *d)
{
	switch (d->kind) {
	case DEPLOY_PUSH:
		return d->ref != NULL ? vk_asprintf("push %.12s", d->commit)
				      : vk_strdup("jobs under /proc");
	case DEPLOY_CONFIG: {
		vk_autobuf b = VK_BUF_INIT(1024);
		const char *name;
		json_t *value;
		json_object_foreach(d->set, name, value)(void) vk_buf_addf(&b, "%s%s %s",
			b.len > 0 ? ", " : "", json_is_null(value) ? "unset" : "set", name);
		return vk_buf_take(&b);
	}
	case DEPLOY_ROLLBACK:
		return vk_asprintf("rollback to v%u%s%s", d->to, d->cause != NULL ? ": " : "",
			d->cause != NULL ? d->cause : "");
	case DEPLOY_REDEPLOY:
		if (d->cause != NULL)
			return vk_strdup(d->cause);
		return vk_asprintf("redeploy%s%s", d->only.n > 0 ? " of " : "",
			d->only.n > 0 ? d->only.v[0] : "");
	default:
		return vk_strdup(kind_names[d->kind]);
	}
}

static struct release *release_new(struct deploy *d, struct stack *sk)
{
	struct release *r = vk_alloc(sizeof(*r));
	r->n = sk->next++;
	r->kind = vk_strdup(kind_names[d->kind]);
	r->commit = vk_strdup(d->commit);
	r->tree = vk_strdup(vk_json_str(d->doc, "tree", NULL));
	r->who = vk_strdup(d->op.who);
	r->why = release_why(d);
	r->note = vk_strdup(d->note);
	r->outcome = vk_strdup("deploying");
	r->when_ms = vk_now_ms();
	r->doc = vk_json_text(d->doc);
	r->boats = json_incref(d->boats);
	r->config = json_incref(d->config);
	return r;
}

static int place(struct deploy *d, struct stack *sk, struct vk_err *err)
{
	struct sched *s = d->op.s;
	const struct release *old = stack_current(sk);
	vk_autojson *config = hub_unseal(s, d->config);
	vk_autojson *volumes = hub_volume_names(&s->st, sk);
	char gateway[32];
	net_gateway(&s->range, sk, gateway);
	struct place_in in = {
		.resolve = {.stack = d->op.stack,
			.doc = d->doc,
			.boats = d->boats,
			.config = config,
			.volumes = volumes,
			.gateway = gateway,
			.default_memory = s->cfg->default_memory,
			.default_pids = s->cfg->default_pids},
		.old = old != NULL ? old->nodes : NULL,
		.nodes = &sk->nodes,
		.release = d->rel->n,
		.services = d->services,
		.force = d->force,
		.only = d->only.n > 0 ? &d->only : NULL,
		.foreign_port = net_foreign_port,
		.arg = &s->st,
	};
	int rc = place_stack(&in, &d->placed, err);
	if (rc == 0)
		d->rel->nodes = json_incref(d->placed.nodes);
	return rc;
}

static void put_volumes(struct deploy *d, struct txn *t)
{
	struct sched *s = d->op.s;
	const char *node;
	json_t *def;
	json_object_foreach(d->placed.defs, node, def)
	{
		size_t i;
		json_t *mount;
		json_array_foreach(json_object_get(def, "mounts"), i, mount)
		{
			const char *name = vk_json_str(mount, "volume", NULL);
			if (name == NULL || table_get(&s->st.volumes, name) != NULL)
				continue;
			txn_put(t,
				json_pack("{s:i,s:s,s:s,s:s,s:s,s:I}", "v", MODEL_VERSION, "stack",
					d->op.stack, "node", node, "path",
					vk_json_str(mount, "path", ""), "host",
					deploy_host(d, node, 1) != NULL ? deploy_host(d, node, 1)
									: s->cfg->host_name,
					"created_ms", (json_int_t)vk_now_ms()),
				"/volume/%s", name);
			txn_del(t, "/gone/volume/%s", name);
		}
	}
}

static void release_written(void *arg, const struct vk_err *err)
{
	struct deploy *d = arg;
	d->writing = false;
	if (!d->op.ended) {
		struct vk_err fail = d->fail;
		d->fail.code = 0;
		if (err != NULL)
			deploy_fail(d, err);
		else if (fail.code != 0)
			deploy_fail(d, &fail);
		else {
			struct release *r = stack_release(deploy_stack(d), d->rel->n);
			r->defs = json_incref(d->placed.defs);
			d->stage = STAGE_START;
			deploy_start_begin(d);
		}
	}
	op_unref(&d->op);
}

/* What runs, once: "web 1, worker 0", and how to start what does not. */
static void say_processes(struct deploy *d, const struct stack *sk)
{
	vk_autobuf b = VK_BUF_INIT(1024);
	const char *name, *idle = NULL;
	json_t *node;
	json_object_foreach(json_object_get(d->doc, "nodes"), name, node)
	{
		unsigned scale = stack_scale(sk, name, node);
		idle = scale == 0 && idle == NULL ? name : idle;
		(void)vk_buf_addf(&b, "%s%s %u", b.len > 0 ? ", " : "", name, scale);
	}
	op_out(&d->op, "-----> Process types: %s", vk_buf_str(&b));
	if (json_object_get(json_object_get(d->doc, "nodes"), "web") == NULL)
		op_detail(&d->op, "none is called web: nothing is routed");
	if (idle != NULL)
		op_detail(&d->op, "to start more: viking ps:scale %s %s=1", d->op.stack, idle);
}

/* Without a manifest the images say which nodes there are. */
static int take_processes(struct deploy *d, const struct stack *sk, struct vk_err *err)
{
	if (d->kind != DEPLOY_PUSH && d->kind != DEPLOY_REBUILD)
		return 0;
	json_t *doc = json_deep_copy(d->doc); /* the session has the same */
	json_decref(d->doc);
	d->doc = doc;
	struct caller who = op_caller(&d->op);
	int rc = processes_expand(doc, d->boats, err);
	if (rc == 0)
		rc = names_check(&d->op.s->st, &who, d->op.stack, doc, err);
	if (rc == 0 && json_object_get(doc, "template") != NULL)
		say_processes(d, sk);
	return rc;
}

void deploy_built(struct deploy *d)
{
	struct sched *s = d->op.s;
	struct stack *sk = deploy_stack(d);
	struct vk_err err = {0};
	d->stage = STAGE_RELEASE;
	if (take_processes(d, sk, &err) != 0) {
		deploy_fail(d, &err);
		return;
	}
	d->rel = release_new(d, sk);
	if (place(d, sk, &err) != 0 || deploy_assign(d, &err) != 0 || deploy_trial(d, &err) != 0) {
		deploy_fail(d, &err);
		return;
	}
	d->op.overlay.release = d->rel;
	deploy_stage_event(d, "s8");
	op_doing(&d->op, "writing the release");
	struct txn *t = txn_new(s);
	txn_put_row(t, release_fields, d->rel, "/release/%s/%u", d->op.stack, d->rel->n);
	txn_put(t,
		json_pack("{s:i,s:s,s:i,s:s,s:I}", "v", MODEL_VERSION, "kind", kind_names[d->kind],
			"release", (int)d->rel->n, "who", d->op.who, "since_ms",
			(json_int_t)d->op.since_ms),
		"/intent/%s", d->op.stack);
	put_volumes(d, t);
	d->writing = true;
	op_ref(&d->op);
	txn_commit(t, release_written, d);
}

/* ---- life ---- */

static void deploy_poke(struct op *op)
{
	struct deploy *d = (struct deploy *)op;
	if (d->stage == STAGE_START)
		deploy_start_look(d);
	else if (d->stage == STAGE_ROUTE)
		deploy_route_look(d);
}

static void deploy_deadline(void *arg)
{
	struct deploy *d = arg;
	if (d->stage == STAGE_START)
		deploy_start_deadline(d);
	else if (d->stage == STAGE_ROUTE)
		deploy_route_deadline(d);
}

static void deploy_free(struct op *op)
{
	struct deploy *d = (struct deploy *)op;
	deploy_build_stop(d, "the deploy is over");
	vk_timer_free(d->deadline);
	place_out_release(&d->placed);
	vk_strv_release(&d->stop_first);
	release_free(d->rel);
	json_decref(d->doc);
	json_decref(d->set);
	json_decref(d->boats);
	json_decref(d->config);
	free(d->ref);
	free(d->old);
	free(d->commit);
	free(d->note);
	free(d->cause);
	vk_strv_release(&d->only);
	free(d);
}

#define TYPE(kind_) \
	{ \
		.kind = kind_, .start = deploy_start, .poke = deploy_poke, \
		.cancel = deploy_cancel, .free = deploy_free \
	}
static const struct op_type types[] = {
	[DEPLOY_PUSH] = TYPE("push"),
	[DEPLOY_CONFIG] = TYPE("config"),
	[DEPLOY_ROLLBACK] = TYPE("rollback"),
	[DEPLOY_REDEPLOY] = TYPE("redeploy"),
	[DEPLOY_REBUILD] = TYPE("rebuild"),
	[DEPLOY_SCALE] = TYPE("scale"),
	[DEPLOY_PROMOTE] = TYPE("promote"),
	[DEPLOY_ABORT] = TYPE("abort"),
};

struct op *deploy_new(struct sched *s, const char *stack, const char *who, struct deploy_spec *spec)
{
	struct deploy *d = vk_alloc(sizeof(*d));
	op_init(&d->op, &types[spec->kind], s, stack, who);
	d->kind = spec->kind;
	d->doc = spec->doc;
	d->set = spec->set;
	d->ref = vk_strdup(spec->ref);
	d->old = vk_strdup(spec->old);
	d->commit = vk_strdup(spec->new);
	d->note = vk_strdup(spec->note);
	d->cause = vk_strdup(spec->why);
	if (spec->node != NULL)
		vk_strv_add(&d->only, spec->node);
	for (size_t i = 0; spec->nodes != NULL && i < spec->nodes->n; i++)
		vk_strv_add(&d->only, spec->nodes->v[i]);
	d->no_cache = spec->no_cache || spec->kind == DEPLOY_REBUILD;
	d->force = spec->kind == DEPLOY_REDEPLOY;
	d->services = spec->kind == DEPLOY_REDEPLOY;
	d->to = spec->to;
	d->rows_only = spec->rows_only;
	d->op.overlay.scale = spec->scale;
	d->deadline = vk_timer_new(s->loop, deploy_deadline, d);
	return &d->op;
}
