/* Lost hosts, draining hosts. */
#include "moves.h"

#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "assign.h"
#include "deploy.h"
#include "dispatch.h"
#include "hosts.h"

struct moves {
	struct sched *s;
	bool writing;  /* rows of the last look are under way */
	json_t *tried; /* {"host stack": true}: drains that were begun */
};

struct moves *moves_new(struct sched *s)
{
	struct moves *m = vk_alloc(sizeof(*m));
	m->s = s;
	m->tried = json_object();
	return m;
}

void moves_free(struct moves *m)
{
	if (m == NULL)
		return;
	json_decref(m->tried);
	free(m);
}

void moves_again(struct sched *s)
{
	json_object_clear(s->moves->tried);
	hub_touch(s);
}

/* Somebody else takes it: a job that is not restarted was done where it was. */
static bool may_move(const struct stack *sk, const struct inst *i)
{
	const struct release *r = stack_release(sk, i->born);
	const json_t *entry = r != NULL ? json_object_get(r->nodes, i->node) : NULL;
	return !i->drain && !i->stop &&
		!vk_json_bool(json_object_get(entry, "place"), "never", false);
}

/* ---- lost ---- */

static bool any_lost(const struct sched *s)
{
	const struct assign_row *row;
	table_each(&s->st.assigns, i,
		row) if (json_object_size(row->stacks) > 0 && hosts_lost(s, row->name)) return true;
	return false;
}

static void moved(void *arg, const struct vk_err *err)
{
	struct sched *s = arg;
	(void)err;
	s->moves->writing = false;
	hub_touch(s);
}

/* Returns how many of the stack's instances go elsewhere. */
static size_t move_stack(struct sched *s, struct dispatch *p, struct stack *sk, struct txn *t)
{
	struct inst_list l = {0};
	size_t n = 0;
	stack_instances(sk, NULL, &l);
	for (size_t i = 0; i < l.n; i++) {
		struct inst *in = &l.v[i];
		const char *to = dispatch_where(p, sk, in);
		if (!hosts_lost(s, in->host) || to == NULL || strcmp(to, in->host) == 0 ||
			hosts_lost(s, to) || !may_move(sk, in))
			continue;
		vk_autofree char *what =
			vk_asprintf("%s.%u goes to %s: %s is lost", in->node, in->n, to, in->host);
		events_add(s->events,
			&(struct event){.type = "host",
				.stack = sk->name,
				.node = in->node,
				.instance = in->name,
				.what = what});
		inst_set_host(in, to);
		n++;
	}
	if (n > 0)
		assign_put(t, s, sk->name, &l);
	inst_list_release(&l);
	return n;
}

static void look_lost(struct sched *s)
{
	struct dispatch p;
	struct dow_plan plan;
	struct stack *sk;
	size_t n = 0;
	if (s->moves->writing || !hosts_synced(s) || !any_lost(s))
		return;
	struct txn *t = txn_new(s);
	dispatch_open(&p, s, NULL);
	dispatch_plan(&p, &plan);
	table_each(&s->st.stacks, i, sk) if (sk->exists && sk->busy == NULL) n +=
		move_stack(s, &p, sk, t);
	dow_plan_release(&plan);
	dispatch_close(&p);
	if (n == 0) {
		txn_free(t);
		return;
	}
	vk_log(VK_WARN, "host-lost", "instances=%zu action=move", n);
	s->moves->writing = true;
	txn_commit(t, moved, s);
}

char *moves_delayed(struct sched *s, const struct stack *sk, const struct inst *i)
{
	(void)sk;
	if (i->host[0] == '\0' || !hosts_lost(s, i->host))
		return NULL;
	const struct volume_row *v;
	table_each(&s->st.volumes, k, v) if (strcmp(v->stack, sk->name) == 0 &&
		strcmp(v->node, i->node) == 0) return vk_asprintf("pinned to %s, which is lost",
		i->host);
	return vk_asprintf("%s is lost, and no other host takes it", i->host);
}

/* ---- draining ---- */

/* Nodes that have instances on the host and no data. */
static void leaving_nodes(
	struct sched *s, const struct stack *sk, const char *host, struct vk_strv *ret)
{
	struct inst_list l = {0};
	stack_instances(sk, NULL, &l);
	for (size_t i = 0; i < l.n; i++) {
		const struct inst *in = &l.v[i];
		bool data = false;
		const struct volume_row *v;
		table_each(&s->st.volumes, k, v) data =
			data || (strcmp(v->stack, sk->name) == 0 && strcmp(v->node, in->node) == 0);
		if (strcmp(in->host, host) == 0 && !data && may_move(sk, in) &&
			!vk_strv_has(ret, in->node))
			vk_strv_add(ret, in->node);
	}
	inst_list_release(&l);
}

static bool another_takes(const struct sched *s, const char *host)
{
	const struct host_row *row;
	table_each(&s->st.hosts, i, row) if (strcmp(row->name, host) != 0 && !row->draining &&
		hosts_life(s, row->name) == HOST_UP) return true;
	return false;
}

static void drain_stack(struct sched *s, struct stack *sk, const char *host)
{
	vk_autofree char *key = vk_asprintf("%s %s", host, sk->name);
	vk_autofree char *why = vk_asprintf("drain of %s", host);
	vk_autostrv nodes = {0};
	struct vk_err err = {0};
	if (json_object_get(s->moves->tried, key) != NULL)
		return;
	leaving_nodes(s, sk, host, &nodes);
	if (nodes.n == 0)
		return;
	json_object_set_new(s->moves->tried, key, json_true());
	struct deploy_spec spec = {.kind = DEPLOY_REDEPLOY, .nodes = &nodes, .why = why};
	if (op_submit(deploy_new(s, sk->name, "viking", &spec), NULL, OP_REFUSE, &err) != 0)
		vk_log_err(VK_WARN, "drain", &err);
}

static void look_draining(struct sched *s)
{
	const struct host_row *row;
	table_each(&s->st.hosts, i, row)
	{
		struct stack *sk;
		if (!row->draining || !another_takes(s, row->name))
			continue;
		table_each(&s->st.stacks, k, sk) if (sk->exists && sk->busy == NULL &&
			sk->lock == NULL) drain_stack(s, sk, row->name);
	}
}

/* ---- rebalancing ---- */

static json_t *hosts_of(const struct inst_list *l)
{
	json_t *hosts = json_array();
	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(hosts, json_string(l->v[i].host));
	return hosts;
}

static size_t count_on(const struct inst_list *l, const char *host)
{
	size_t n = 0;
	for (size_t i = 0; i < l->n; i++)
		n += strcmp(l->v[i].host, host) == 0;
	return n;
}

static size_t most_on_one(const struct inst_list *l)
{
	size_t most = 0;
	for (size_t i = 0; i < l->n; i++) {
		size_t n = count_on(l, l->v[i].host);
		most = n > most ? n : most;
	}
	return most;
}

/* Better spread, or from a host to one that has at least two instances less. */
static bool better(
	const struct inst_list *all, const struct inst_list *now, const struct inst_list *then)
{
	if (most_on_one(then) != most_on_one(now))
		return most_on_one(then) < most_on_one(now);
	for (size_t i = 0; i < now->n; i++)
		if (count_on(all, now->v[i].host) >= count_on(all, then->v[i].host) + 2 &&
			count_on(then, then->v[i].host) > count_on(now, then->v[i].host))
			return true;
	return false;
}

static void node_instances(const struct stack *sk, const char *node, struct inst_list *ret)
{
	struct inst_list l = {0};
	stack_instances(sk, NULL, &l);
	for (size_t i = 0; i < l.n; i++)
		if (strcmp(l.v[i].node, node) == 0 && !l.v[i].drain && !l.v[i].stop)
			*inst_list_add(ret) = l.v[i];
	inst_list_release(&l);
}

/* The stack's first node that should be elsewhere, as a move; NULL = none. */
static json_t *stack_move(struct sched *s, struct stack *sk, const struct inst_list *all)
{
	const struct release *r = stack_current(sk);
	const char *node;
	json_t *entry, *move = NULL;
	json_object_foreach(r != NULL ? r->nodes : NULL, node, entry)
	{
		struct inst_list now = {0}, then = {0};
		const json_t *place = json_object_get(entry, "place");
		struct dispatch_ask ask = {.sk = sk, .nodes = r->nodes, .l = &then};
		if (vk_json_bool(entry, "exclusive", false) ||
			vk_json_bool(entry, "service", false) ||
			vk_json_bool(place, "never", false) ||
			vk_json_str(place, "group", NULL) != NULL)
			continue;
		node_instances(sk, node, &now);
		node_instances(sk, node, &then);
		struct vk_err err = {0};
		if (move == NULL && now.n > 0 && dispatch_place(s, &ask, &err) == 0 &&
			better(all, &now, &then))
			move = json_pack("{s:s,s:s,s:o,s:o}", "stack", sk->name, "node", node,
				"from", hosts_of(&now), "to", hosts_of(&then));
		inst_list_release(&now);
		inst_list_release(&then);
	}
	return move;
}

static void all_instances(struct sched *s, struct inst_list *ret)
{
	struct stack *sk;
	table_each(&s->st.stacks, i, sk) if (sk->exists) stack_instances(sk, NULL, ret);
}

json_t *moves_rebalance(struct sched *s, bool dry, const char *who)
{
	json_t *moves = json_array();
	struct inst_list all = {0};
	struct stack *sk;
	all_instances(s, &all);
	table_each(&s->st.stacks, i, sk)
	{
		struct vk_err err = {0};
		json_t *move = NULL;
		if (sk->exists && sk->busy == NULL && sk->lock == NULL &&
			json_array_size(moves) < MOVES_MAX)
			move = stack_move(s, sk, &all);
		if (move == NULL)
			continue;
		json_array_append_new(moves, move);
		struct deploy_spec spec = {.kind = DEPLOY_REDEPLOY,
			.node = vk_json_str(move, "node", ""),
			.why = "rebalance"};
		if (!dry &&
			op_submit(deploy_new(s, sk->name, who, &spec), NULL, OP_REFUSE, &err) != 0)
			vk_log_err(VK_WARN, "rebalance", &err);
	}
	inst_list_release(&all);
	return moves;
}

void moves_look(struct sched *s)
{
	if (s->st.hosts.n < 2)
		return;
	look_lost(s);
	look_draining(s);
}
