/*
 * START: new instances in waves. First stores (services, volumes) that did not exist yet, then release tasks, then
 * all nodes that can stand beside their old instances, then those that cannot: their old ones are stopped first.
 */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "deploy.h"
#include "hosts.h"

#define STOP_SLACK_MS  30000
#define START_TRIES_MS 3000

/* ---- what a wave starts ---- */

static const json_t *entry_of(const struct deploy *d, const char *node)
{
	return json_object_get(d->rel->nodes, node);
}

static bool wave_has(const struct deploy *d, const char *node)
{
	const json_t *entry = entry_of(d, node);
	bool added = vk_strv_has(&d->placed.added, node);
	bool exclusive =
		vk_json_bool(entry, "exclusive", false) || vk_strv_has(&d->stop_first, node);
	bool store = added && (exclusive || vk_json_bool(entry, "service", false));
	if (d->wave != WAVE_TASKS && deploy_waits(d, node))
		return false;
	switch (d->wave) {
	case WAVE_NEW_STORES:
		return store;
	case WAVE_TASKS:
		return vk_json_bool(entry, "task", false) && d->kind != DEPLOY_PROMOTE;
	case WAVE_NODES:
		return !store && (added || !exclusive);
	case WAVE_STOP:
	case WAVE_STORES:
		return !added && exclusive;
	case WAVE_END:
		break;
	}
	return false;
}

static void fresh_add(
	struct deploy *d, const char *node, unsigned version, unsigned n, unsigned born, bool task)
{
	struct inst *i = inst_list_add(&d->op.overlay.fresh);
	const struct node_row *row = table_get(&deploy_stack(d)->nodes, node);
	inst_set(i, d->op.stack, node, version, n, born);
	inst_set_host(i, deploy_host(d, node, task ? 1 : n)); /* a task runs where its node will */
	i->gen = row != NULL ? row->gen : 0;
	i->task = task;
}

static bool has_started(const struct deploy *d, const char *node)
{
	for (size_t i = 0; i < d->op.overlay.fresh.n; i++)
		if (!d->op.overlay.fresh.v[i].task &&
			strcmp(d->op.overlay.fresh.v[i].node, node) == 0)
			return true;
	return false;
}

/* Does it require a node that is still to be started in this wave? (A manifest has no circles.) */
static bool must_wait(struct deploy *d, const char *node)
{
	size_t i;
	json_t *item;
	json_array_foreach(json_object_get(entry_of(d, node), "require"), i, item)
	{
		const char *to = json_string_value(item);
		const struct node_row *row = table_get(&deploy_stack(d)->nodes, to);
		if (entry_of(d, to) == NULL) /* another stack's: looked at before the build */
			continue;
		bool runs = stack_scale(deploy_stack(d), to, entry_of(d, to)) > 0 &&
			(row == NULL || !row->stopped);
		/* started in the round before is healthy by now; in this round it is not */
		bool before = false;
		for (size_t k = 0; k < d->wave_from && !before; k++)
			before = strcmp(d->op.overlay.fresh.v[k].node, to) == 0;
		if (runs && place_has(&d->placed, to) && wave_has(d, to) && !before)
			return true;
	}
	return false;
}

static void wave_node(struct deploy *d, const char *node)
{
	struct stack *sk = deploy_stack(d);
	const json_t *entry = entry_of(d, node);
	const struct node_row *row = table_get(&sk->nodes, node);
	if (strcmp(vk_json_str(entry, "type", "app"), "app") != 0 || !wave_has(d, node))
		return;
	unsigned version = (unsigned)vk_json_int(entry, "version", 0);
	if (d->wave == WAVE_STOP) {
		vk_strv_add(&d->op.overlay.stop, node);
		return;
	}
	if (d->wave == WAVE_TASKS) {
		fresh_add(d, node, version, 0, d->rel->n, true);
		return;
	}
	if (d->wave == WAVE_NODES && (has_started(d, node) || must_wait(d, node)))
		return;
	unsigned scale = row != NULL && row->stopped ? 0 : stack_scale(sk, node, entry);
	for (unsigned n = 1; n <= scale; n++)
		fresh_add(d, node, version, n, d->rel->n, false);
}

/* Scaling up: more of the version that serves. */
static void wave_scale(struct deploy *d)
{
	struct stack *sk = deploy_stack(d);
	const struct release *r = stack_current(sk);
	const char *node;
	json_t *count;
	json_object_foreach(d->op.overlay.scale, node, count)
	{
		const json_t *entry = json_object_get(r != NULL ? r->nodes : NULL, node);
		const struct node_row *row = table_get(&sk->nodes, node);
		if (entry == NULL || (row != NULL && row->stopped))
			continue;
		for (unsigned n = stack_scale(sk, node, entry) + 1;
			n <= (unsigned)json_integer_value(count); n++)
			fresh_add(d, node, (unsigned)vk_json_int(entry, "version", 0), n,
				(unsigned)vk_json_int(entry, "born", 0), false);
	}
}

static void wave_fill(struct deploy *d)
{
	d->wave_from = d->op.overlay.fresh.n;
	if (d->kind == DEPLOY_SCALE) {
		if (d->wave == WAVE_NODES)
			wave_scale(d);
		return;
	}
	for (size_t i = 0; i < d->placed.added.n; i++)
		wave_node(d, d->placed.added.v[i]);
	for (size_t i = 0; i < d->placed.changed.n; i++)
		wave_node(d, d->placed.changed.v[i]);
}

/* Finished tasks leave nothing behind. */
static void drop_tasks(struct inst_list *l)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->n; i++)
		if (!l->v[i].task)
			l->v[kept++] = l->v[i];
	l->n = kept;
}

static void say_wave(struct deploy *d)
{
	vk_autobuf b = VK_BUF_INIT(512);
	const struct inst_list *l = &d->op.overlay.fresh;
	for (size_t i = d->wave_from; i < l->n; i++)
		if (i == d->wave_from || strcmp(l->v[i].node, l->v[i - 1].node) != 0)
			(void)vk_buf_addf(&b, "%s%s", b.len > 0 ? ", " : "", l->v[i].node);
	for (size_t i = 0; d->wave == WAVE_STOP && i < d->op.overlay.stop.n; i++)
		(void)vk_buf_addf(&b, "%s%s", b.len > 0 ? ", " : "", d->op.overlay.stop.v[i]);
	const char *what = d->wave == WAVE_TASKS ? "Running the release task of"
		: d->wave == WAVE_STOP           ? "Stopping"
						 : "Starting";
	op_out(&d->op, "-----> %s %s", what, vk_buf_str(&b));
	op_doing(&d->op, "%s %s",
		d->wave == WAVE_TASKS          ? "running the release task of"
			: d->wave == WAVE_STOP ? "stopping"
					       : "waiting for",
		vk_buf_str(&b));
}

static int64_t stop_ms_longest(struct deploy *d)
{
	int64_t longest = 0;
	const struct release *old = stack_current(deploy_stack(d));
	for (size_t i = 0; old != NULL && i < d->op.overlay.stop.n; i++) {
		const char *node = d->op.overlay.stop.v[i];
		unsigned born = (unsigned)vk_json_int(json_object_get(old->nodes, node), "born", 0);
		int64_t ms =
			vk_json_int(hub_def(d->op.s, deploy_stack(d), born, node), "stop_ms", 0);
		longest = ms > longest ? ms : longest;
	}
	return longest;
}

static void wave_begin(struct deploy *d)
{
	const struct vk_config *cfg = d->op.s->cfg;
	for (; d->wave < WAVE_END; d->wave++) {
		wave_fill(d);
		if (d->op.overlay.fresh.n > d->wave_from ||
			(d->wave == WAVE_STOP && d->op.overlay.stop.n > 0))
			break;
	}
	if (d->wave == WAVE_END) {
		vk_timer_set(d->deadline, -1);
		deploy_route_begin(d);
		return;
	}
	d->phase = vk_mono_ms();
	d->pulled_until = 0;
	say_wave(d);
	vk_timer_set(d->deadline,
		d->wave == WAVE_TASKS ? (int64_t)cfg->build_timeout_ms
			: d->wave == WAVE_STOP
			? stop_ms_longest(d) + STOP_SLACK_MS
			: (int64_t)cfg->health_timeout_ms + HOSTS_HEALTH_SLACK_MS);
	hub_touch(d->op.s);
}

static void say_unchanged(struct deploy *d)
{
	for (size_t i = 0; i < d->placed.unchanged.n; i++) {
		const char *node = d->placed.unchanged.v[i];
		if (vk_strv_has(&d->placed.held, node)) {
			op_detail(&d->op,
				"%s keeps running as it is; its definition changed: viking "
				"redeploy %s/%s",
				node, d->op.stack, node);
			continue;
		}
		op_detail(&d->op, "%s unchanged", node);
	}
}

void deploy_start_begin(struct deploy *d)
{
	if (d->rel != NULL) {
		op_out(&d->op, "-----> %s v%u",
			d->kind == DEPLOY_PROMOTE ? "Promoting" : "Releasing", d->rel->n);
		say_unchanged(d);
	}
	deploy_stage_event(d, "s9");
	d->wave = WAVE_NEW_STORES;
	deploy_stage_event(d, "s10");
	wave_begin(d);
}

/* ---- how it goes ---- */

/* The engine's words for an image that the registry does not have: it was lost with its host. */
static bool image_lost(
	const struct deploy *d, const char *node, const char *reason, struct vk_err *err)
{
	if (reason == NULL || strstr(reason, "manifest unknown") == NULL || d->commit == NULL)
		return false;
	vk_err_set(err, VK_FAILED, "the image of %s at commit %.12s is on no host any more", node,
		d->commit);
	vk_err_hint(err, "git push --force REMOTE %.12s:BRANCH builds it again", d->commit);
	return true;
}

static void inst_fail(
	struct deploy *d, const struct inst *i, const struct inst_status *st, const char *what)
{
	struct vk_err err = {0};
	const char *reason = st != NULL ? inst_why(st) : NULL;
	if (hosts_engine(d->op.s, 0, &err) != 0) { /* it is not the application's fault */
		deploy_fail(d, &err);
		return;
	}
	if (st != NULL)
		op_tail(&d->op, i->node, i->n, st->tail);
	if (image_lost(d, i->node, reason, &err)) {
		deploy_fail(d, &err);
		return;
	}
	if (i->task)
		vk_err_set(&err, VK_FAILED, "release task of %s %s%s%s", i->node, what,
			reason != NULL ? ": " : "", reason != NULL ? reason : "");
	else
		vk_err_set(&err, VK_FAILED, "%s.%u %s%s%s", i->node, i->n, what,
			reason != NULL ? ": " : "", reason != NULL ? reason : "");
	vk_err_hint(&err, "viking logs %s -p %s -n 100", d->op.stack, i->node);
	deploy_fail(d, &err);
}

enum progress { PENDING, READY, BROKEN };

static enum progress task_progress(
	struct deploy *d, const struct inst *i, const struct inst_status *st)
{
	char what[64];
	if (st->state == INST_EXITED && st->exited && st->exit == 0)
		return READY;
	if (st->state != INST_EXITED && st->state != INST_FAILED && st->state != INST_BACKOFF)
		return PENDING;
	snprintf(what, sizeof(what), st->exited ? "ended with status %lld" : "failed",
		(long long)st->exit);
	inst_fail(d, i, st, what);
	return BROKEN;
}

static enum progress app_progress(
	struct deploy *d, const struct inst *i, const struct inst_status *st)
{
	char what[96];
	if (st->state == INST_HEALTHY || (st->state == INST_EXITED && st->exited && st->exit == 0))
		return READY; /* restart: never and done is done */
	/* what the engine cannot even start counts as no restart: it gets a few tries */
	bool again = st->state == INST_BACKOFF &&
		(st->restarts >= 1 || (!st->exited && vk_mono_ms() - d->phase > START_TRIES_MS));
	if (st->state == INST_UNHEALTHY &&
		!i->told) { /* the agent's time-out, last lines and all */
		char after[24];
		snprintf(what, sizeof(what), "was not healthy within %s",
			op_seconds(d->phase, after));
		inst_fail(d, i, st, what);
		return BROKEN;
	}
	if (st->state != INST_FAILED && st->state != INST_EXITED && !again)
		return PENDING;
	if (st->exited)
		snprintf(what, sizeof(what), "exits with status %lld%s", (long long)st->exit,
			st->oom ? " (out of memory)" : "");
	else
		snprintf(what, sizeof(what), "does not start");
	inst_fail(d, i, st, what);
	return BROKEN;
}

static enum progress inst_progress(struct deploy *d, struct inst *i)
{
	const struct inst_status *st = hosts_find(d->op.s, i->name);
	if (st == NULL || st->gen < i->gen)
		return PENDING;
	enum progress p = i->task ? task_progress(d, i, st) : app_progress(d, i, st);
	if (p == READY && !i->told) {
		char took[24];
		i->told = true;
		if (i->task) {
			op_tail(&d->op, i->node, i->n, st->tail);
			op_detail(&d->op, "%s done (%s)", i->node, op_seconds(d->phase, took));
		} else {
			op_detail(&d->op, "%s.%u healthy (%s)", i->node, i->n,
				op_seconds(d->phase, took));
		}
	}
	return p;
}

/* Are the old instances of the nodes being stopped gone from their host? */
static bool old_gone(struct deploy *d)
{
	struct inst_list l = {0};
	bool gone = true;
	stack_instances(deploy_stack(d), &d->op.overlay, &l);
	for (size_t i = 0; i < l.n; i++)
		if (l.v[i].stop && vk_strv_has(&d->op.overlay.stop, l.v[i].node) &&
			!hosts_is_gone(d->op.s, l.v[i].name))
			gone = false;
	inst_list_release(&l);
	return gone;
}

/* A host that is lost while what it was to start is waited for. A release task is not run twice. */
static bool follow_lost(struct deploy *d)
{
	struct vk_err err = {0};
	struct inst_list *l = &d->op.overlay.fresh;
	for (size_t i = d->wave_from; i < l->n; i++)
		if (l->v[i].task && hosts_lost(d->op.s, l->v[i].host)) {
			vk_err_set(&err, VK_UNAVAILABLE, "release task of %s: its host %s is lost",
				l->v[i].node, l->v[i].host);
			deploy_fail(d, &err);
			return false;
		}
	int moved = deploy_assign_lost(d, &err);
	if (moved < 0) {
		deploy_fail(d, &err);
		return false;
	}
	if (moved > 0 && d->wave != WAVE_TASKS && d->wave != WAVE_STOP) {
		d->phase = vk_mono_ms();
		vk_timer_set(d->deadline,
			(int64_t)d->op.s->cfg->health_timeout_ms + HOSTS_HEALTH_SLACK_MS);
	}
	if (moved > 0)
		hub_touch(d->op.s);
	return true;
}

void deploy_start_look(struct deploy *d)
{
	if (!follow_lost(d))
		return;
	bool all = d->wave != WAVE_STOP || old_gone(d);
	struct inst_list *l = &d->op.overlay.fresh;
	for (size_t i = d->wave_from; i < l->n; i++) {
		enum progress p = inst_progress(d, &l->v[i]);
		if (p == BROKEN)
			return;
		all = all && p == READY;
	}
	if (!all)
		return;
	drop_tasks(l);
	if (d->wave != WAVE_NODES ||
		d->kind == DEPLOY_SCALE) /* nodes: until none is left that had to wait */
		d->wave++;
	wave_begin(d);
}

/* A pull may take its time; what hangs in anything else has failed. */
static bool still_pulling(struct deploy *d)
{
	const struct inst_list *l = &d->op.overlay.fresh;
	for (size_t i = d->wave_from; i < l->n; i++) {
		const struct inst_status *st = hosts_find(d->op.s, l->v[i].name);
		if (st != NULL && st->state == INST_PULLING)
			return vk_mono_ms() - d->phase < (int64_t)d->op.s->cfg->build_timeout_ms;
	}
	return false;
}

void deploy_start_deadline(struct deploy *d)
{
	struct vk_err err = {0};
	char after[24];
	op_seconds(d->phase, after);
	if (!hosts_live(d->op.s)) {
		vk_err_set(&err, VK_UNAVAILABLE, "the agent of %s does not answer",
			d->op.s->cfg->host_name);
		vk_err_hint(&err, "on the host: viking doctor");
		deploy_fail(d, &err);
		return;
	}
	if (still_pulling(d)) {
		vk_timer_set(d->deadline, (int64_t)d->op.s->cfg->health_timeout_ms);
		return;
	}
	const struct inst_list *l = &d->op.overlay.fresh;
	for (size_t i = d->wave_from; i < l->n; i++) {
		const struct inst_status *st = hosts_find(d->op.s, l->v[i].name);
		if (l->v[i].told)
			continue;
		vk_autofree char *what = vk_asprintf("%s %s",
			l->v[i].task ? "did not end within" : "was not healthy within", after);
		inst_fail(d, &l->v[i], st, what);
		return;
	}
	vk_err_set(&err, VK_TIMEOUT, "the old instances did not stop within %s", after);
	deploy_fail(d, &err);
}
