/* State -> dowding -> hosts. */
#include "dispatch.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "hosts.h"
#include "metrics.h"

#define ROOM_UNKNOWN (UINT64_C(1) << 50) /* of a host that has not told: it takes what comes */
#define TOKEN        (UINT64_C(64) << 10)
#define KEY_MAX      224

/*
 * What reserves nothing weighs TOKEN bytes of memory, so that a host with fewer of such is the emptier one; each host has so
 * much more that it is never a token that does not fit.
 */

/* ---- hosts ---- */

/* The only one there is takes everything, connected or not: who waits for its agent says so. */
static bool takes(const struct sched *s, const char *host, bool only)
{
	const json_t *facts = hosts_facts(s, host);
	bool engine = facts == NULL || strcmp(vk_json_str(facts, "engine", "?"), "") != 0;
	return only || (hosts_life(s, host) != HOST_LOST && engine);
}

static uint64_t room(uint64_t told, uint64_t unit)
{
	return told > 0 ? told * unit : ROOM_UNKNOWN;
}

/* fresh: it is about what starts now. */
static void add_host(struct dispatch *p, const struct host_row *row, bool only, bool fresh)
{
	uint64_t tokens = p->instances * TOKEN;
	vk_autostrv roles = {0};
	const json_t *lists[] = {row->told, row->roles};
	size_t i;
	json_t *role;
	for (size_t k = 0; k < VK_COUNT(lists); k++)
		json_array_foreach(lists[k], i, role) vk_strv_add(&roles, json_string_value(role));
	dow_set_host(p->d,
		&(struct dow_host){.name = row->name,
			.zone = row->zone,
			.cap = {room(row->cpus, 1000), room(row->memory, 1) + tokens,
				room(row->disk, 1)},
			.labels = (const char *const *)roles.v,
			.nlabels = roles.n,
			.draining = row->draining && !only,
			.down = !takes(p->s, row->name, only) ||
				(fresh && !only && !hosts_fit(p->s, row->name))});
}

static void add_hosts(struct dispatch *p, bool fresh)
{
	const struct state *st = &p->s->st;
	struct host_row own = {.name = p->s->cfg->host_name};
	bool known = table_get(&st->hosts, own.name) != NULL;
	const struct host_row *row;
	table_each(&st->hosts, i, row) add_host(p, row, st->hosts.n + !known == 1, fresh);
	if (!known)
		add_host(p, &own, st->hosts.n == 0, fresh);
}

bool dispatch_knows_host(const struct sched *s, const char *host)
{
	return strcmp(host, s->cfg->host_name) == 0 || table_get(&s->st.hosts, host) != NULL;
}

static bool has_role(const struct host_row *row, const char *role)
{
	const json_t *lists[] = {row->told, row->roles};
	size_t i;
	json_t *r;
	for (size_t n = 0; n < VK_COUNT(lists); n++)
		json_array_foreach(
			lists[n], i, r) if (strcmp(json_string_value(r), role) == 0) return true;
	return false;
}

bool dispatch_knows_role(const struct sched *s, const char *role)
{
	const struct host_row *row;
	table_each(&s->st.hosts, k, row) if (has_role(row, role)) return true;
	return false;
}

bool dispatch_has_role(const struct sched *s, const char *host, const char *role)
{
	const struct host_row *row = table_get(&s->st.hosts, host);
	return row != NULL && has_role(row, role);
}

/* ---- services ---- */

static const json_t *goal_of(const struct stack *sk, const struct dispatch_ask *ask)
{
	const struct overlay *o = stack_overlay(sk);
	const struct release *r = o != NULL && o->release != NULL ? o->release : stack_current(sk);
	if (ask != NULL && ask->sk == sk)
		return ask->nodes;
	return r != NULL ? r->nodes : NULL;
}

/* The entry of the release that has its definition, which may be one being made. */
static const json_t *place_of(const struct stack *sk, const json_t *goal, const struct inst *i)
{
	const json_t *entry = json_object_get(goal, i->node);
	const struct release *born = stack_release(sk, i->born);
	if (vk_json_int(entry, "version", 0) != i->version && born != NULL)
		entry = json_object_get(born->nodes, i->node);
	return json_object_get(entry, "place");
}

/* Instances that stay are replicas of one service; one that is on its way out is a service of its own, so that it only
 * takes room. */
static bool stays(const json_t *goal, const struct inst *i)
{
	return !i->drain && vk_json_int(json_object_get(goal, i->node), "version", 0) == i->version;
}

static unsigned key_of(
	const struct stack *sk, const json_t *goal, const struct inst *i, char key[static KEY_MAX])
{
	if (stays(goal, i)) {
		snprintf(key, KEY_MAX, "%s/%s", sk->name, i->node);
		return i->n;
	}
	snprintf(key, KEY_MAX, "%s", i->name);
	return 1;
}

/* Where its data is: the host of its first volume. */
static const char *pinned_to(const struct sched *s, const struct stack *sk, const char *node)
{
	const struct volume_row *v;
	table_each(&s->st.volumes, i, v) if (strcmp(v->stack, sk->name) == 0 &&
		strcmp(v->node, node) == 0 && v->host != NULL &&
		table_get(&s->st.hosts, v->host) != NULL) return v->host;
	return NULL;
}

static void add_inst(struct dispatch *p, const struct stack *sk, const json_t *goal,
	const struct inst *i, const char *host)
{
	char key[KEY_MAX];
	unsigned n = key_of(sk, goal, i, key);
	json_t *place = (json_t *)(uintptr_t)place_of(sk, goal, i);
	json_t *svc = json_object_get(p->services, key);
	if (i->task)
		return;
	if (svc == NULL) {
		bool volume = vk_json_bool(place, "volume", false) ||
			pinned_to(p->s, sk, i->node) != NULL;
		svc = json_pack("{s:i,s:O?,s:b,s:b}", "n", 0, "place", place, "bound",
			volume || !stays(goal, i), "goes", !stays(goal, i));
		if (stays(goal, i) && vk_json_str(place, "group", NULL) != NULL)
			json_object_set_new(svc, "group",
				json_sprintf("%s/%s", sk->name, vk_json_str(place, "group", "")));
		json_object_set_new(p->services, key, svc);
	}
	if (n > (unsigned)vk_json_int(svc, "n", 0))
		json_object_set_new(svc, "n", json_integer(n));
	p->instances++;
	if (host != NULL && host[0] != '\0')
		json_array_append_new(p->placed, json_pack("[s,i,s]", key, (int)n, host));
}

static void add_stack(struct dispatch *p, struct stack *sk, const struct dispatch_ask *ask)
{
	bool asked = ask != NULL && ask->sk == sk;
	const json_t *goal = goal_of(sk, ask);
	const struct overlay *o = stack_overlay(sk);
	struct inst_list l = {0};
	stack_instances(sk, o, &l);
	for (size_t i = 0; o != NULL && i < o->planned.n; i++)
		if (inst_list_find(&l, o->planned.v[i].name) == NULL)
			*inst_list_add(&l) = o->planned.v[i];
	for (size_t i = 0; i < l.n; i++) {
		const char *host = l.v[i].host[0] != '\0' ? l.v[i].host : p->s->cfg->host_name;
		bool mine = asked && inst_list_find(ask->l, l.v[i].name) != NULL;
		bool out = asked && ask->without != NULL &&
			vk_strv_has(ask->without, l.v[i].node) && !stays(goal, &l.v[i]);
		if (!mine && !out)
			add_inst(p, sk, goal, &l.v[i], host);
	}
	for (size_t i = 0; asked && i < ask->l->n; i++) {
		const struct inst *in = &ask->l->v[i];
		bool volume = vk_json_bool(place_of(sk, goal, in), "volume", false);
		add_inst(p, sk, goal, in, volume ? pinned_to(p->s, sk, in->node) : NULL);
	}
	inst_list_release(&l);
}

static void strings(const json_t *list, struct vk_strv *ret)
{
	size_t i;
	json_t *v;
	json_array_foreach(list, i, v) vk_strv_add(ret, json_string_value(v));
}

static void tell_service(struct dispatch *p, const char *key, const json_t *svc)
{
	const json_t *place = json_object_get(svc, "place");
	const char *spread = vk_json_str(place, "spread", "soft");
	vk_autostrv roles = {0}, hosts = {0};
	if (!vk_json_bool(svc, "goes", false)) {
		strings(json_object_get(place, "roles"), &roles);
		strings(json_object_get(place, "hosts"), &hosts);
	}
	dow_set_service(p->d,
		&(struct dow_service){.name = key,
			.group = vk_json_str(svc, "group", NULL),
			.replicas = (unsigned)vk_json_int(svc, "n", 1),
			.max_per_host = (unsigned)vk_json_int(place, "max_per_host", 0),
			.demand = {(uint64_t)vk_json_int(place, "cpus", 0),
				(uint64_t)vk_json_int(place, "memory", 0) + TOKEN,
				(uint64_t)vk_json_int(place, "disk", 0)},
			.roles = (const char *const *)roles.v,
			.nroles = roles.n,
			.hosts = (const char *const *)hosts.v,
			.nhosts = hosts.n,
			.spread = strcmp(spread, "hard") == 0 ? DOW_HARD
				: strcmp(spread, "none") == 0 ? DOW_NONE
							      : DOW_SOFT,
			.volume = vk_json_bool(svc, "bound", false)});
}

void dispatch_open(struct dispatch *p, struct sched *s, const struct dispatch_ask *ask)
{
	*p = (struct dispatch){
		.s = s, .d = dow_new(), .services = json_object(), .placed = json_array()};
	struct stack *sk;
	table_each(&s->st.stacks, i, sk) if (sk->exists) add_stack(p, sk, ask);
	add_hosts(p, ask != NULL);
	const char *key;
	json_t *svc, *at;
	size_t i;
	json_object_foreach(p->services, key, svc) tell_service(p, key, svc);
	json_array_foreach(p->placed, i, at)
		dow_placed(p->d, json_string_value(json_array_get(at, 0)),
			(unsigned)json_integer_value(json_array_get(at, 1)),
			json_string_value(json_array_get(at, 2)));
}

void dispatch_close(struct dispatch *p)
{
	dow_free(p->d);
	json_decref(p->services);
	json_decref(p->placed);
}

/* ---- placing ---- */

static int refuse(const struct dispatch *p, const struct dow_plan *plan, const char *key,
	const struct inst *i, struct vk_err *err)
{
	const char *reason = "no host can take it";
	for (size_t k = 0; k < plan->nunplaced; k++)
		if (strcmp(plan->unplaced[k].service, key) == 0 && plan->unplaced[k].n == i->n)
			reason = plan->unplaced[k].reason;
	(void)p;
	vk_err_set(err, VK_FAILED, "no host for %s.%u: %s", i->node, i->n, reason);
	return vk_err_hint(err, "viking hosts");
}

/* It is bound to the host of its data, which may be away, or not one that it may use. */
static int check_pin(const struct dispatch *p, const struct inst *i, const json_t *place,
	const char *host, struct vk_err *err)
{
	vk_autostrv hosts = {0};
	strings(json_object_get(place, "hosts"), &hosts);
	if (hosts.n > 0 && !vk_strv_has(&hosts, host))
		return vk_err_set(err, VK_FAILED,
			"no host for %s.%u: its volume is on %s, which is not one of the hosts it "
			"names",
			i->node, i->n, host);
	if (takes(p->s, host, p->s->st.hosts.n <= 1))
		return 0;
	vk_err_set(err, VK_UNAVAILABLE, "%s.%u is delayed: pinned to %s, which is lost", i->node,
		i->n, host);
	return vk_err_hint(err, "viking hosts:info %s", host);
}

/* Members of a group are on one host, unless volumes hold them apart. */
static int check_group(struct dispatch *p, const struct inst *i, const json_t *place,
	const char *host, json_t *together, struct vk_err *err)
{
	const char *group = vk_json_str(place, "group", NULL);
	if (group == NULL)
		return 0;
	(void)p;
	vk_autofree char *unit = vk_asprintf("%s.%u", group, i->n);
	const char *other = vk_json_str(together, unit, NULL);
	if (other == NULL)
		json_object_set_new(together, unit, json_string(host));
	if (other == NULL || strcmp(other, host) == 0)
		return 0;
	return vk_err_set(err, VK_INVALID,
		"group %s cannot be on one host: its volumes are on %s and %s", group, other, host);
}

static int take(struct dispatch *p, const struct dispatch_ask *ask, const struct dow_plan *plan,
	struct inst *i, json_t *together, struct vk_err *err)
{
	char key[KEY_MAX];
	unsigned n = key_of(ask->sk, ask->nodes, i, key);
	const json_t *place = place_of(ask->sk, ask->nodes, i);
	const char *host = dow_where(p->d, key, n);
	if (host == NULL)
		return refuse(p, plan, key, i, err);
	if (vk_json_bool(place, "volume", false) && check_pin(p, i, place, host, err) != 0)
		return err->code;
	if (check_group(p, i, place, host, together, err) != 0)
		return err->code;
	inst_set_host(i, host);
	return 0;
}

void dispatch_plan(struct dispatch *p, struct dow_plan *ret)
{
	int64_t began = metrics_clock();
	dow_plan(p->d, ret);
	metrics_plan(p->s, metrics_clock() - began, p->instances, ret);
}

int dispatch_place(struct sched *s, const struct dispatch_ask *ask, struct vk_err *err)
{
	struct dispatch p;
	struct dow_plan plan;
	vk_autojson *together = json_object();
	int rc = 0;
	for (size_t i = 0; i < ask->l->n; i++)
		inst_set_host(&ask->l->v[i], NULL);
	dispatch_open(&p, s, ask);
	dispatch_plan(&p, &plan);
	for (size_t i = 0; i < ask->l->n && rc == 0; i++)
		rc = take(&p, ask, &plan, &ask->l->v[i], together, err);
	dow_plan_release(&plan);
	dispatch_close(&p);
	return rc;
}

const char *dispatch_where(struct dispatch *p, const struct stack *sk, const struct inst *i)
{
	char key[KEY_MAX];
	unsigned n = key_of(sk, goal_of(sk, NULL), i, key);
	return dow_where(p->d, key, n);
}

void dispatch_why(struct dispatch *p, const char *stack, const char *node, struct vk_strv *ret)
{
	vk_autofree char *key = vk_asprintf("%s/%s", stack, node);
	for (size_t i = 0; dow_host_at(p->d, i) != NULL; i++) {
		bool can;
		vk_autofree char *why = dow_explain(p->d, key, dow_host_at(p->d, i), &can);
		if (why != NULL)
			vk_strv_addf(ret, "%s %s", dow_host_at(p->d, i), why);
	}
}
