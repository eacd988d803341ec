/* Destroy and rename. */
#include "leave.h"

#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "assign.h"
#include "build_output.h"
#include "domains.h"
#include "gc.h"
#include "hosts.h"
#include "router.h"
#include "stackpacks.h"
#include "stacks.h"
#include "txn.h"

#define STOP_SLACK_MS 60000

enum phase { PHASE_STOP, PHASE_WRITE, PHASE_AFTER, PHASE_BACK };

struct leave {
	struct op op;
	char *to; /* rename; NULL = destroy */
	enum phase phase;
	struct inst_list list; /* what is to stop */
	struct route_mark mark;
	struct vk_timer *deadline;
	size_t volumes, domains;
};

static struct stack *leave_stack(struct leave *l)
{
	return state_stack(&l->op.s->st, l->op.stack);
}

static void leave_end(struct leave *l, const struct vk_err *err)
{
	vk_timer_set(l->deadline, -1);
	op_end(&l->op, err, NULL);
}

/* ---- rows ---- */

/* Puts a row under the new name, or nowhere, and takes it from the old. */
static void row_leave(
	struct leave *l, struct txn *t, const char *kind, const char *rest, json_t *value)
{
	txn_del(t, "/%s/%s%s", kind, l->op.stack, rest);
	if (l->to != NULL && value != NULL)
		txn_put(t, value, "/%s/%s%s", kind, l->to, rest);
	else
		json_decref(value);
}

static void leave_nodes(struct leave *l, struct txn *t, const struct stack *sk)
{
	const struct node_row *node;
	const struct config_row *config;
	table_each(&sk->nodes, i, node)
	{
		vk_autofree char *rest = vk_asprintf("/%s", node->name);
		row_leave(l, t, "node", rest, model_encode(node_fields, node));
	}
	table_each(&sk->config, i, config)
	{
		vk_autofree char *rest = vk_asprintf("/%s", config->name);
		row_leave(l, t, "config", rest, model_encode(config_fields, config));
	}
}

/* The files of a website stay where they were published, under the name of then. */
static json_t *release_moved(const struct stack *sk, const struct release *r)
{
	json_t *row = model_encode(release_fields, r);
	json_t *nodes = json_deep_copy(r->nodes), *entry;
	const char *node;
	json_object_foreach(
		nodes, node, entry) if (strcmp(vk_json_str(entry, "type", "app"), "website") == 0 &&
		json_object_get(entry, "files") == NULL)
		json_object_set_new(entry, "files", json_string(sk->name));
	if (nodes != NULL)
		json_object_set_new(row, "nodes", nodes);
	return row;
}

static void leave_releases(struct leave *l, struct txn *t, const struct stack *sk)
{
	for (size_t i = 0; i < sk->n_releases; i++) {
		vk_autofree char *rest = vk_asprintf("/%u", sk->release[i]->n);
		row_leave(l, t, "release", rest, release_moved(sk, sk->release[i]));
	}
	row_leave(l, t, "current", "",
		sk->current == 0
			? NULL
			: json_pack("{s:i,s:i}", "v", MODEL_VERSION, "n", (int)sk->current));
	row_leave(l, t, "packs", "", json_incref(sk->packs));
	row_leave(l, t, "canary", "", json_incref(sk->canary));
	row_leave(l, t, "pending", "", json_incref(sk->pending));
	row_leave(l, t, "drain", "", NULL);
	row_leave(l, t, "intent", "", NULL);
	row_leave(l, t, "lock", "", sk->lock != NULL ? model_encode(lock_fields, sk->lock) : NULL);
}

static void leave_volumes(struct leave *l, struct txn *t, const struct state *st)
{
	const struct volume_row *v;
	table_each(&st->volumes, i, v)
	{
		if (strcmp(v->stack, l->op.stack) != 0)
			continue;
		l->volumes++;
		if (l->to != NULL) {
			struct volume_row moved = *v;
			moved.stack = l->to;
			txn_put_row(t, volume_fields, &moved, "/volume/%s", v->name);
			continue;
		}
		txn_del(t, "/volume/%s", v->name);
		txn_put(t, json_pack("{s:i}", "v", MODEL_VERSION), "/gone/volume/%s", v->name);
	}
}

static void leave_domains(struct leave *l, struct txn *t, const struct state *st)
{
	const struct domain_row *d;
	owned_each(&st->owned, i, l->op.stack, d)
	{
		l->domains++;
		struct domain_row moved = *d;
		moved.stack = l->to;
		if (l->to != NULL)
			txn_put_row(t, domain_fields, &moved, "/domain/%s", d->name);
		else
			txn_del(t, "/domain/%s", d->name);
	}
}

static void leave_acme(struct leave *l, struct txn *t, const struct state *st)
{
	const struct acme_row *row;
	table_each(&st->acme, i, row)
	{
		struct acme_row moved = *row;
		if (strcmp(row->stack, l->op.stack) != 0)
			continue;
		moved.stack = l->to;
		if (l->to != NULL)
			txn_put_row(t, acme_fields, &moved, "/acme/%s", row->name);
		else
			txn_del(t, "/acme/%s", row->name);
	}
}

static void leave_traffic(struct leave *l, struct txn *t, const struct state *st)
{
	const struct traffic_row *traffic = table_get(&st->traffic, l->op.stack);
	const struct cert_row *cert;
	size_t n = strlen(l->op.stack);
	if (traffic != NULL)
		row_leave(l, t, "traffic", "", model_encode(traffic_fields, traffic));
	table_each(&st->certs, i,
		cert) if (strncmp(cert->name, l->op.stack, n) == 0 && cert->name[n] == '/')
		row_leave(l, t, "cert", cert->name + n, model_encode(cert_fields, cert));
}

static void leave_builds(struct leave *l, struct txn *t, struct sched *s)
{
	const struct build_row *b;
	table_each(&s->st.builds, i, b)
	{
		if (strcmp(b->stack, l->op.stack) != 0)
			continue;
		struct build_row moved = *b;
		moved.stack = l->to;
		if (l->to != NULL) {
			txn_put_row(t, build_fields, &moved, "/build/%s", b->name);
			continue;
		}
		build_output_remove(s, b->name);
		txn_del(t, "/build/%s", b->name);
	}
	const struct image_row *image;
	size_t n = strlen(l->op.stack);
	table_each(&s->st.images, i,
		image) if (strncmp(image->name, l->op.stack, n) == 0 && image->name[n] == '/')
		row_leave(l, t, "images", image->name + n, model_encode(image_fields, image));
}

/* Logs that came here by an earlier rename and that the agent may not have moved yet go along, or go. */
static void leave_logs(struct leave *l, struct txn *t, const struct state *st)
{
	const struct gone_row *row;
	table_each(&st->gone, i, row) if (vk_streq(row->to, l->op.stack) &&
		(l->to == NULL || strcmp(row->name + strlen("logs/"), l->to) != 0)) txn_put(t,
		json_pack("{s:i,s:s*}", "v", MODEL_VERSION, "to", l->to), "/gone/%s", row->name);
}

/* Caches of packs are called by the stack's id: they stay over a rename and go with the stack. */
static void leave_caches(struct leave *l, struct txn *t, const struct state *st)
{
	const struct stack *sk = leave_stack(l);
	const struct release *r = stack_current(sk);
	vk_autojson *caches = json_object();
	const struct build_row *b;
	const char *name;
	json_t *yes;
	table_each(&st->builds, i, b)
	{
		if (l->to != NULL || strcmp(b->stack, sk->name) != 0 || b->boat == NULL)
			continue;
		const json_t *image = r != NULL ? json_object_get(r->boats, b->boat) : NULL;
		if (image != NULL && json_object_get(image, "launch") == NULL)
			continue; /* a Dockerfile's */
		vk_autofree char *cache = stackpacks_cache(sk, b->boat);
		vk_autofree char *launch = vk_asprintf("%s-launch", cache);
		json_object_set_new(caches, cache, json_true());
		json_object_set_new(caches, launch, json_true());
	}
	json_object_foreach(caches, name, yes)
		txn_put(t, json_pack("{s:i}", "v", MODEL_VERSION), "/gone/volume/%s", name);
}

/* What was placed stays where it is under its new names. */
static void leave_assigned(struct leave *l, struct txn *t, const struct stack *sk)
{
	struct inst_list now = {0};
	assign_put(t, l->op.s, sk->name, NULL);
	if (l->to == NULL)
		return;
	stack_instances(sk, NULL, &now);
	for (size_t i = 0; i < now.n; i++)
		vk_instance_name(l->to, now.v[i].node, now.v[i].version, now.v[i].n, now.v[i].name);
	assign_put(t, l->op.s, l->to, &now);
	inst_list_release(&now);
}

/* The stack's own row comes last: state.c. */
static void leave_row(struct leave *l, struct txn *t, const struct stack *sk, uint64_t subnet)
{
	txn_put(t, json_pack("{s:i}", "v", MODEL_VERSION), "/gone/network/viking-%s", sk->name);
	txn_put(t, json_pack("{s:i,s:s*}", "v", MODEL_VERSION, "to", l->to), "/gone/logs/%s",
		sk->name);
	if (l->to == NULL && sk->row.id[0] != '\0')
		txn_put(t, json_pack("{s:i}", "v", MODEL_VERSION), "/gone/repo/%s", sk->row.id);
	if (l->to != NULL) {
		struct stack_row row = sk->row;
		row.subnet = subnet;
		row.next = sk->next;
		txn_del(t, "/gone/network/viking-%s", l->to);
		txn_del(t, "/gone/logs/%s", l->to);
		txn_put_row(t, stack_fields, &row, "/stack/%s", l->to);
	}
	txn_del(t, "/stack/%s", sk->name);
}

/* ---- after the transaction ---- */

static void destroyed(struct leave *l)
{
	struct sched *s = l->op.s;
	char took[24];
	op_detail(&l->op, "%zu volume%s, %zu added domain%s, releases and configuration removed",
		l->volumes, l->volumes == 1 ? "" : "s", l->domains, l->domains == 1 ? "" : "s");
	op_out(&l->op, "=====> %s destroyed (%s)", l->op.stack, op_seconds(l->op.began, took));
	hub_event(s, "stack", l->op.stack, "destroyed", l->op.who);
	if (!builds_collecting(s))
		gc_start(s, "viking", NULL, NULL);
	leave_end(l, NULL);
}

/* The operation goes on under the new name until its instances are healthy. */
static void renamed(struct leave *l)
{
	struct sched *s = l->op.s;
	hub_event(s, "stack", l->op.stack, "renamed", l->op.who);
	op_out(&l->op, "-----> Starting %s", l->to);
	free(l->op.stack);
	l->op.stack = vk_strdup(l->to);
	l->op.overlay.all_stop = false;
	l->op.leaving = false;
	struct stack *sk = leave_stack(l);
	sk->busy = &l->op;
	inst_list_release(&l->list);
	stack_instances(sk, NULL, &l->list);
	l->phase = PHASE_AFTER;
	vk_timer_set(l->deadline, (int64_t)s->cfg->health_timeout_ms);
	hub_touch(s);
}

static void leave_written(void *arg, const struct vk_err *err)
{
	struct leave *l = arg;
	if (l->op.ended) {
		op_unref(&l->op);
		return;
	}
	if (err != NULL)
		leave_end(l, err);
	else if (l->to != NULL)
		renamed(l);
	else
		destroyed(l);
	op_unref(&l->op);
}

static void leave_write(struct leave *l)
{
	struct sched *s = l->op.s;
	struct stack *sk = leave_stack(l);
	struct vk_err err = {0};
	uint64_t subnet = 0;
	if (l->to != NULL &&
		(leave_rename_check(s, sk->name, l->to, &err) != 0 ||
			stacks_subnet(s, &subnet, &err) != 0)) {
		leave_end(l, &err);
		return;
	}
	struct vk_err gone = {0};
	vk_err_set(&gone, VK_NOTFOUND, "%s was %s meanwhile", sk->name,
		l->to != NULL ? "renamed" : "destroyed");
	op_refuse_waiting(sk, &gone);
	struct txn *t = txn_new(s);
	leave_nodes(l, t, sk);
	leave_releases(l, t, sk);
	leave_volumes(l, t, &s->st);
	leave_domains(l, t, &s->st);
	leave_traffic(l, t, &s->st);
	leave_acme(l, t, &s->st);
	leave_builds(l, t, s);
	leave_logs(l, t, &s->st);
	leave_caches(l, t, &s->st);
	leave_assigned(l, t, sk);
	leave_row(l, t, sk, subnet);
	l->phase = PHASE_WRITE;
	vk_timer_set(l->deadline, -1);
	op_ref(&l->op);
	txn_commit(t, leave_written, l);
}

/* ---- stopping ---- */

static void leave_start(struct op *op)
{
	struct leave *l = (struct leave *)op;
	struct sched *s = op->s;
	struct stack *sk = leave_stack(l);
	int64_t wait = 0;
	op->leaving = true;
	op_out(op, "-----> %s %s", l->to != NULL ? "Renaming" : "Destroying", op->stack);
	op_doing(op, "waiting for its instances to stop");
	stack_instances(sk, NULL, &l->list);
	if (l->to != NULL && l->list.n > 0)
		op_detail(op,
			"%zu instance%s bear%s the old name: stopped, and started under the new "
			"one",
			l->list.n, l->list.n == 1 ? "" : "s", l->list.n == 1 ? "s" : "");
	for (size_t i = 0; i < l->list.n; i++) {
		int64_t ms = vk_json_int(
			hub_def(s, sk, l->list.v[i].born, l->list.v[i].node), "stop_ms", 0);
		wait = ms > wait ? ms : wait;
	}
	op->overlay.all_stop = true;
	hub_refresh(s);
	l->mark = router_mark(s);
	vk_timer_set(l->deadline, wait + STOP_SLACK_MS);
	hub_touch(s);
}

static bool all_gone(struct leave *l)
{
	for (size_t i = 0; i < l->list.n; i++)
		if (!hosts_is_gone(l->op.s, l->list.v[i].name))
			return false;
	return true;
}

static bool all_healthy(struct leave *l)
{
	for (size_t i = 0; i < l->list.n; i++) {
		const struct inst_status *st = hosts_find(l->op.s, l->list.v[i].name);
		if (!l->list.v[i].stop &&
			(st == NULL || (st->state != INST_HEALTHY && st->state != INST_EXITED)))
			return false;
	}
	return true;
}

static void leave_poke(struct op *op)
{
	struct leave *l = (struct leave *)op;
	char took[24];
	if (l->phase == PHASE_STOP && all_gone(l) &&
		router_reached(op->s, &l->mark, false) != ROUTE_WAITS) {
		if (l->list.n > 0)
			op_detail(op, "%zu instance%s stopped (%s)", l->list.n,
				l->list.n == 1 ? "" : "s", op_seconds(op->began, took));
		leave_write(l);
	} else if (l->phase == PHASE_AFTER && all_healthy(l)) {
		hub_refresh(op->s);
		l->mark = router_mark(op->s);
		l->phase = PHASE_BACK;
		hub_touch(op->s);
	} else if (l->phase == PHASE_BACK &&
		router_reached(op->s, &l->mark, false) != ROUTE_WAITS) {
		op_out(op, "=====> renamed to %s (%s)", l->to, op_seconds(op->began, took));
		leave_end(l, NULL);
	}
}

static void leave_deadline(void *arg)
{
	struct leave *l = arg;
	struct vk_err err = {0};
	char took[24];
	op_seconds(l->op.began, took);
	bool after = l->phase == PHASE_AFTER || l->phase == PHASE_BACK;
	if (after)
		vk_err_set(&err, VK_TIMEOUT,
			"%s has its new name, but not all its instances are healthy yet", l->to);
	else if (!hosts_live(l->op.s))
		vk_err_set(&err, VK_UNAVAILABLE,
			"the agent of %s does not answer: nothing was changed",
			l->op.s->cfg->host_name);
	else
		vk_err_set(&err, VK_TIMEOUT,
			"the instances did not stop within %s: nothing was changed", took);
	vk_err_hint(&err, after ? "viking ps %s" : "viking explain %s", l->op.stack);
	leave_end(l, &err);
}

static bool leave_cancel(struct op *op, const struct vk_err *why)
{
	struct leave *l = (struct leave *)op;
	if (l->phase != PHASE_STOP)
		return false;
	leave_end(l, why);
	return true;
}

static void leave_free(struct op *op)
{
	struct leave *l = (struct leave *)op;
	vk_timer_free(l->deadline);
	inst_list_release(&l->list);
	free(l->to);
	free(l);
}

#define TYPE(kind_) \
	{ \
		.kind = kind_, .start = leave_start, .poke = leave_poke, .cancel = leave_cancel, \
		.free = leave_free \
	}
static const struct op_type destroy_type = TYPE("destroy"), rename_type = TYPE("rename");

static struct op *leave_new(struct sched *s, const struct op_type *type, const char *stack,
	const char *to, const char *who)
{
	struct leave *l = vk_alloc(sizeof(*l));
	op_init(&l->op, type, s, stack, who);
	l->to = vk_strdup(to);
	l->deadline = vk_timer_new(s->loop, leave_deadline, l);
	l->op.detached = true;
	return &l->op;
}

struct op *leave_destroy(struct sched *s, const char *stack, const char *who)
{
	return leave_new(s, &destroy_type, stack, NULL, who);
}

struct op *leave_rename(struct sched *s, const char *stack, const char *name, const char *who)
{
	return leave_new(s, &rename_type, stack, name, who);
}

int leave_rename_check(
	const struct sched *s, const char *stack, const char *name, struct vk_err *err)
{
	int rc = vk_stack_name_new(name, err);
	if (rc != 0)
		return rc;
	if (table_get(&s->st.stacks, name) != NULL)
		return vk_err_set(err, VK_EXISTS, "there is a stack %s already", name);
	const struct stack *sk = state_stack(&s->st, stack);
	const struct release *r = sk != NULL ? stack_current(sk) : NULL;
	vk_autojson *doc = r != NULL ? release_doc(r) : NULL;
	const struct caller admin = {.kind = CALLER_LOCAL_ADMIN}; /* nobody else renames */
	return doc != NULL ? names_check(&s->st, &admin, name, doc, err) : 0;
}
