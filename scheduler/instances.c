/* Stored state + overlay -> instances. */
#include "instances.h"

#include <string.h>
#include <viking/id.h>

struct inst *inst_list_add(struct inst_list *l)
{
	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 8;
		l->v = vk_reallocarray(l->v, l->cap, sizeof(*l->v));
	}
	struct inst *i = &l->v[l->n++];
	*i = (struct inst){0};
	return i;
}

struct inst *inst_list_find(const struct inst_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].name, name) == 0)
			return &l->v[i];
	return NULL;
}

void inst_list_release(struct inst_list *l)
{
	free(l->v);
	*l = (struct inst_list){0};
}

void overlay_release(struct overlay *o)
{
	json_decref(o->claims);
	json_decref(o->scale);
	inst_list_release(&o->planned);
	json_decref(o->trial);
	inst_list_release(&o->fresh);
	vk_strv_release(&o->stop);
	vk_strv_release(&o->ahead);
	vk_strv_release(&o->drain);
	*o = (struct overlay){0};
}

void inst_set(struct inst *i, const char *stack, const char *node, unsigned version, unsigned n,
	unsigned born)
{
	vk_instance_name(stack, node, version, n, i->name);
	snprintf(i->node, sizeof(i->node), "%s", node);
	i->version = version;
	i->n = n;
	i->born = born;
}

void inst_set_host(struct inst *i, const char *host)
{
	snprintf(i->host, sizeof(i->host), "%s", host != NULL ? host : "");
}

/* A node that the serving release has not takes nothing from it: the others may need it at once. */
static enum inst_route trial_route(const struct stack *sk, const char *node)
{
	const struct release *r = stack_current(sk);
	return r != NULL && json_object_get(r->nodes, node) != NULL ? ROUTE_APART : ROUTE_READY;
}

/* Is this version of the node replaced or this number too many in what the operation leads to? */
static bool inst_leaves(const struct overlay *o, const struct inst *i)
{
	if (o->release != NULL) {
		const json_t *entry = json_object_get(o->release->nodes, i->node);
		if (entry == NULL || vk_json_int(entry, "version", 0) != i->version)
			return true;
	}
	const json_t *scale = json_object_get(o->scale, i->node);
	return scale != NULL && i->n > json_integer_value(scale);
}

/* A release beside the serving one takes the place of another on trial, and of nothing else. */
static bool inst_switched_off(const struct overlay *o, const struct inst *i)
{
	if (i->canary > 0 && (o->abort || o->trial != NULL))
		return true;
	return o->trial == NULL && inst_leaves(o, i);
}

static void inst_overlay(struct inst *i, const struct overlay *o)
{
	if (o == NULL)
		return;
	if (o->all_stop || (vk_strv_has(&o->stop, i->node) && inst_leaves(o, i)))
		i->stop = true;
	if (i->stop)
		i->route = ROUTE_NONE;
	else if (vk_strv_has(&o->drain, i->name) || (o->switched && inst_switched_off(o, i)))
		i->route = ROUTE_DRAIN;
	else if (o->switched && o->release != NULL && o->trial == NULL)
		i->route = ROUTE_READY; /* what was on trial and stays is promoted */
	if (vk_strv_has(&o->ahead, i->name))
		i->gen++;
}

static void node_instances(const struct stack *sk, const struct overlay *o, const char *node,
	const json_t *entry, unsigned canary, struct inst_list *l)
{
	if (entry == NULL || strcmp(vk_json_str(entry, "type", "app"), "app") != 0)
		return;
	const struct node_row *row = table_get(&sk->nodes, node);
	unsigned scale = stack_scale(sk, node, entry);
	for (unsigned n = 1; n <= scale; n++) {
		struct inst *i = inst_list_add(l);
		inst_set(i, sk->name, node, (unsigned)vk_json_int(entry, "version", 0), n,
			(unsigned)vk_json_int(entry, "born", 0));
		inst_set_host(i, stack_host(sk, i->name));
		i->gen = row != NULL ? row->gen : 0;
		i->stop = row != NULL && row->stopped;
		i->canary = canary;
		i->route = i->stop ? ROUTE_NONE : canary > 0 ? trial_route(sk, node) : ROUTE_READY;
		inst_overlay(i, o);
	}
}

static void current_instances(const struct stack *sk, const struct overlay *o, struct inst_list *l)
{
	const struct release *r = stack_current(sk), *trial = stack_canary(sk);
	const char *node;
	size_t at;
	json_t *entry, *name;
	json_object_foreach(r != NULL ? r->nodes : NULL, node, entry)
		node_instances(sk, o, node, entry, 0, l);
	json_array_foreach(trial != NULL ? json_object_get(sk->canary, "nodes") : NULL, at, name)
	{
		node = json_string_value(name);
		node_instances(sk, o, node, json_object_get(trial->nodes, node),
			(unsigned)vk_json_int(sk->canary, "percent", 1), l);
	}
}

void drain_instances(const struct stack *sk, const json_t *drain, struct inst_list *l)
{
	size_t at;
	json_t *j;
	json_array_foreach(json_object_get(drain, "instances"), at, j)
	{
		struct inst i = {0};
		inst_set(&i, sk->name, vk_json_str(j, "node", ""),
			(unsigned)vk_json_int(j, "version", 0), (unsigned)vk_json_int(j, "n", 0),
			(unsigned)vk_json_int(j, "born", 0));
		if (inst_list_find(l, i.name) != NULL)
			continue;
		inst_set_host(&i, stack_host(sk, i.name));
		i.gen = (uint64_t)vk_json_int(j, "gen", 0);
		i.drain = true;
		i.route = ROUTE_DRAIN;
		*inst_list_add(l) = i;
	}
}

json_t *inst_json(const struct inst *i)
{
	return json_pack("{s:s,s:i,s:i,s:i,s:I}", "node", i->node, "version", (int)i->version, "n",
		(int)i->n, "born", (int)i->born, "gen", (json_int_t)i->gen);
}

void inst_addr_put(const struct inst_addr *a, int port, json_t *server)
{
	char own[8];
	snprintf(own, sizeof(own), "%d", port);
	json_t *far = a->far != NULL ? json_object_get(a->ports, own) : NULL;
	json_object_set_new(server, "addr", json_string(a->ip));
	json_object_set_new(server, "port", json_integer(port));
	if (a->host != NULL)
		json_object_set_new(server, "host", json_string(a->host));
	if (far != NULL)
		json_object_set_new(
			server, "far", json_pack("{s:s,s:O}", "addr", a->far, "port", far));
}

void stack_instances(const struct stack *sk, const struct overlay *o, struct inst_list *ret)
{
	current_instances(sk, o, ret);
	for (size_t i = 0; o != NULL && i < o->fresh.n; i++) {
		struct inst fresh = o->fresh.v[i];
		fresh.route = !o->switched || fresh.task ? ROUTE_NONE
			: o->trial != NULL               ? trial_route(sk, fresh.node)
							 : ROUTE_READY;
		fresh.canary = (unsigned)vk_json_int(o->trial, "percent", 0);
		*inst_list_add(ret) = fresh;
	}
	size_t past = ret->n;
	drain_instances(sk, sk->drain, ret);
	for (size_t i = past; i < ret->n && o != NULL && o->all_stop; i++) {
		ret->v[i].stop = true;
		ret->v[i].route = ROUTE_NONE;
	}
}
