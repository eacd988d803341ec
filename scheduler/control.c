/* Restart, stop, start. */
#include "control.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "hosts.h"
#include "router.h"
#include "txn.h"

#define STOP_SLACK_MS 30000

enum phase { PHASE_DRAIN, PHASE_AGAIN, PHASE_WRITE, PHASE_AFTER, PHASE_BACK };

struct control {
	struct op op;
	enum control_kind kind;
	char *node;
	struct inst_list list; /* the instances it is about */
	size_t at;             /* restart: which of them */
	enum phase phase;
	struct route_mark mark;
	struct vk_timer *deadline;
	char *old;    /* restart: container that must be another afterwards */
	bool was_bad; /* restart: the instance was in back-off already */
	int64_t began;
};

static struct stack *control_stack(struct control *k)
{
	return state_stack(&k->op.s->st, k->op.stack);
}

static void control_end(struct control *k, const struct vk_err *err)
{
	static const char *const done[] = {"restarted", "stopped", "started"};
	char took[24];
	vk_timer_set(k->deadline, -1);
	if (err == NULL || err->code == 0)
		op_out(&k->op, "=====> %s%s%s %s (%s)", k->op.stack, k->node != NULL ? "/" : "",
			k->node != NULL ? k->node : "", done[k->kind],
			op_seconds(k->op.began, took));
	op_end(&k->op, err, NULL);
}

static void control_fail(
	struct control *k, const struct inst *i, const struct inst_status *st, const char *what)
{
	struct vk_err err = {0};
	const char *reason = st == NULL ? NULL : st->reason != NULL ? st->reason : st->probe;
	if (hosts_engine(k->op.s, 0, &err) != 0) { /* it is not the application's fault */
		control_end(k, &err);
		return;
	}
	if (st != NULL)
		op_tail(&k->op, i->node, i->n, st->tail);
	vk_err_set(&err, VK_FAILED, "%s.%u %s%s%s", i->node, i->n, what, reason != NULL ? ": " : "",
		reason != NULL ? reason : "");
	vk_err_hint(&err, "viking logs %s -p %s -n 100", k->op.stack, i->node);
	control_end(k, &err);
}

static void enter(struct control *k, enum phase phase, int64_t ms)
{
	k->phase = phase;
	k->began = vk_mono_ms();
	vk_timer_set(k->deadline, ms);
	hub_touch(k->op.s);
}

/* The routes as they are to be now go out; then (PHASE_DRAIN: without the instances in overlay.drain, PHASE_BACK: with those that
 * are healthy again) their acknowledgement is awaited. */
static void route(struct control *k, enum phase phase)
{
	hub_refresh(k->op.s);
	k->mark = router_mark(k->op.s);
	enter(k, phase, (int64_t)k->op.s->cfg->route_ack_ms);
}

static int64_t stop_ms(struct control *k, const struct inst *i)
{
	return vk_json_int(hub_def(k->op.s, control_stack(k), i->born, i->node), "stop_ms", 0);
}

/* ---- the rows ---- */

static void restart_done(struct control *k)
{
	vk_strv_release(&k->op.overlay.ahead); /* the rows say it now */
	control_end(k, NULL);
}

static void written(void *arg, const struct vk_err *err)
{
	struct control *k = arg;
	int64_t wait = (int64_t)k->op.s->cfg->health_timeout_ms + HOSTS_HEALTH_SLACK_MS;
	if (k->op.ended) {
		op_unref(&k->op);
		return;
	}
	vk_strv_release(&k->op.overlay.drain);
	if (err != NULL) {
		control_end(k, err);
	} else if (k->kind == CONTROL_RESTART) {
		restart_done(k);
	} else {
		for (size_t i = 0; k->kind == CONTROL_STOP && i < k->list.n; i++) {
			int64_t ms = stop_ms(k, &k->list.v[i]) + STOP_SLACK_MS;
			wait = i == 0 || ms > wait ? ms : wait;
		}
		enter(k, PHASE_AFTER, wait);
	}
	op_unref(&k->op);
}

/* One row for each node concerned. */
static void control_write(struct control *k)
{
	struct stack *sk = control_stack(k);
	struct txn *t = txn_new(k->op.s);
	for (size_t i = 0; i < k->list.n; i++) {
		const char *node = k->list.v[i].node;
		struct node_row row = *stack_node(sk, node);
		row.gen += k->kind == CONTROL_RESTART;
		if (k->kind != CONTROL_RESTART)
			row.stopped = k->kind == CONTROL_STOP;
		txn_put_row(t, node_fields, &row, "/node/%s/%s", sk->name, node);
	}
	k->phase = PHASE_WRITE;
	vk_timer_set(k->deadline, -1);
	op_ref(&k->op);
	txn_commit(t, written, k);
}

/* ---- restart ---- */

static void restart_next(struct control *k)
{
	if (k->at == k->list.n) {
		control_write(k);
		return;
	}
	const struct inst *i = &k->list.v[k->at];
	op_doing(&k->op, "restarting %s.%u", i->node, i->n);
	vk_strv_add(&k->op.overlay.drain, i->name);
	route(k, PHASE_DRAIN);
}

static void restart_now(struct control *k)
{
	const struct inst *i = &k->list.v[k->at];
	const struct inst_status *st = hosts_find(k->op.s, i->name);
	free(k->old);
	k->old = vk_strdup(st != NULL ? st->container : NULL);
	k->was_bad = st == NULL || st->state != INST_HEALTHY;
	vk_strv_add(&k->op.overlay.ahead, i->name);
	enter(k, PHASE_AGAIN,
		stop_ms(k, i) + (int64_t)k->op.s->cfg->health_timeout_ms + HOSTS_HEALTH_SLACK_MS);
}

static bool healthy(const struct inst_status *st)
{
	return st->state == INST_HEALTHY ||
		(st->state == INST_EXITED && st->exited && st->exit == 0);
}

static bool broken(const struct inst_status *st)
{
	return st->state == INST_FAILED || st->state == INST_BACKOFF ||
		st->state == INST_UNHEALTHY || (st->state == INST_EXITED && !healthy(st));
}

static void restart_look(struct control *k)
{
	struct inst *i = &k->list.v[k->at];
	const struct inst_status *st = hosts_find(k->op.s, i->name);
	char took[24];
	if (st == NULL || st->gen <= i->gen || (k->old != NULL && vk_streq(st->container, k->old)))
		return;
	if (healthy(st)) {
		op_detail(&k->op, "%s.%u healthy (%s)", i->node, i->n, op_seconds(k->began, took));
		k->at++;
		vk_strv_release(&k->op.overlay.drain);
		route(k, PHASE_BACK);
	} else if (broken(st) && !k->was_bad) {
		control_fail(k, i, st, "does not come up again");
	}
}

/* ---- stop and start ---- */

static void after_look(struct control *k)
{
	for (size_t i = 0; i < k->list.n; i++) {
		struct inst *in = &k->list.v[i];
		const struct inst_status *st = hosts_find(k->op.s, in->name);
		if (k->kind == CONTROL_STOP && !hosts_is_gone(k->op.s, in->name))
			return;
		if (k->kind == CONTROL_STOP)
			continue;
		if (st == NULL || !healthy(st)) {
			if (st != NULL && broken(st) && vk_mono_ms() - k->began > 1000)
				control_fail(k, in, st, "does not start");
			return;
		}
	}
	if (k->kind == CONTROL_START)
		route(k, PHASE_BACK);
	else
		control_end(k, NULL);
}

/* ---- the operation ---- */

static bool concerned(const struct control *k, const struct inst *i)
{
	if (i->drain || (k->node != NULL && strcmp(i->node, k->node) != 0))
		return false;
	return k->kind == CONTROL_START ? i->stop : !i->stop;
}

static void control_start(struct op *op)
{
	struct control *k = (struct control *)op;
	struct inst_list all = {0};
	static const char *const doing[] = {"Restarting", "Stopping", "Starting"};
	struct vk_err err = {0};
	if (op_check(op->s, op->stack, op->type->kind, OP_WAIT, &err) != 0) {
		control_end(k, &err); /* locked while it waited */
		return;
	}
	stack_instances(control_stack(k), NULL, &all);
	for (size_t i = 0; i < all.n; i++)
		if (concerned(k, &all.v[i]))
			*inst_list_add(&k->list) = all.v[i];
	inst_list_release(&all);
	op_out(op, "-----> %s %s", doing[k->kind], k->node != NULL ? k->node : op->stack);
	op_doing(op, "waiting for the instances");
	if (k->list.n == 0) {
		op_detail(op, "nothing to do");
		control_end(k, NULL);
	} else if (k->kind == CONTROL_RESTART) {
		restart_next(k);
	} else if (k->kind == CONTROL_START) {
		control_write(k);
	} else {
		for (size_t i = 0; i < k->list.n; i++)
			vk_strv_add(&op->overlay.drain, k->list.v[i].name);
		route(k, PHASE_DRAIN);
	}
}

static void routed(struct control *k)
{
	if (k->phase == PHASE_BACK && k->kind == CONTROL_START)
		control_end(k, NULL);
	else if (k->phase == PHASE_BACK)
		restart_next(k);
	else if (k->kind == CONTROL_RESTART)
		restart_now(k);
	else
		control_write(k);
}

static void control_poke(struct op *op)
{
	struct control *k = (struct control *)op;
	bool routing = k->phase == PHASE_DRAIN || k->phase == PHASE_BACK;
	if (routing && router_reached(op->s, &k->mark, false) != ROUTE_WAITS)
		routed(k);
	else if (k->phase == PHASE_AGAIN)
		restart_look(k);
	else if (k->phase == PHASE_AFTER)
		after_look(k);
}

static void control_deadline(void *arg)
{
	struct control *k = arg;
	char took[24];
	if (k->phase == PHASE_DRAIN ||
		k->phase == PHASE_BACK) { /* no answer must not keep people from stopping things */
		routed(k);
		return;
	}
	const struct inst *i = &k->list.v[k->phase == PHASE_AGAIN ? k->at : 0];
	for (size_t n = 0; k->phase == PHASE_AFTER && n < k->list.n; n++) {
		const struct inst_status *st = hosts_find(k->op.s, k->list.v[n].name);
		bool fine = k->kind == CONTROL_STOP ? hosts_is_gone(k->op.s, k->list.v[n].name)
						    : st != NULL && healthy(st);
		i = fine ? i : &k->list.v[n];
	}
	vk_autofree char *what = vk_asprintf("%s within %s",
		k->kind == CONTROL_STOP ? "did not stop" : "was not healthy",
		op_seconds(k->began, took));
	control_fail(k, i, hosts_find(k->op.s, i->name), what);
}

static bool control_cancel(struct op *op, const struct vk_err *why)
{
	struct control *k = (struct control *)op;
	if (k->phase == PHASE_WRITE)
		return false;
	control_end(k, why);
	return true;
}

static void control_free(struct op *op)
{
	struct control *k = (struct control *)op;
	vk_timer_free(k->deadline);
	inst_list_release(&k->list);
	free(k->node);
	free(k->old);
	free(k);
}

#define TYPE(kind_) \
	{ \
		.kind = kind_, .start = control_start, .poke = control_poke, \
		.cancel = control_cancel, .free = control_free \
	}
static const struct op_type types[] = {
	[CONTROL_RESTART] = TYPE("restart"),
	[CONTROL_STOP] = TYPE("stop"),
	[CONTROL_START] = TYPE("start"),
};

struct op *control_new(struct sched *s, const char *stack, const char *who, enum control_kind kind,
	const char *node)
{
	struct control *k = vk_alloc(sizeof(*k));
	op_init(&k->op, &types[kind], s, stack, who);
	k->kind = kind;
	k->node = vk_strdup(node);
	k->deadline = vk_timer_new(s->loop, control_deadline, k);
	k->op.detached = true;
	return &k->op;
}
