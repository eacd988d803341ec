/* The network document. */
#include "net.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

void net_gateway(const struct subnet_range *range, const struct stack *sk, char out[static 32])
{
	subnet_text(range, sk->row.subnet, out);
	char *last = strrchr(out, '.');
	snprintf(last + 1, 2, "1"); /* the engine gives the bridge the first address */
}

static json_t *node_new(const struct stack *sk, const char *node)
{
	const struct release *r = stack_current(sk);
	const json_t *entry = json_object_get(r != NULL ? r->nodes : NULL, node);
	return json_pack("{s:s,s:[],s:[]}", "policy", vk_json_str(entry, "dns", "append"), "ports",
		"instances");
}

/* Only what is healthy and not on its way out has a name. */
static void net_instance(
	const struct net_in *in, const struct stack *sk, const struct inst *i, json_t *nodes)
{
	bool healthy = false;
	const char *addr =
		i->task || i->route != ROUTE_READY ? NULL : in->address(in->arg, i->name, &healthy);
	const json_t *def = in->def(in->arg, sk, i->born, i->node);
	json_t *node = json_object_get(nodes, i->node);
	if (node == NULL) {
		node = node_new(sk, i->node);
		json_object_set_new(nodes, i->node, node);
	}
	if (addr == NULL || !healthy)
		return;
	json_t *ports = json_object_get(def, "expose");
	if (ports != NULL)
		json_object_set(node, "ports", ports);
	json_array_append_new(json_object_get(node, "instances"),
		json_pack("{s:s,s:i,s:s}", "name", i->name, "n", (int)i->n, "addr", addr));
}

static json_t *net_stack(const struct net_in *in, const struct stack *sk)
{
	char subnet[32], gateway[32];
	struct inst_list list = {0};
	json_t *nodes = json_object();
	subnet_text(&in->range, sk->row.subnet, subnet);
	net_gateway(&in->range, sk, gateway);
	stack_instances(sk, stack_overlay(sk), &list);
	for (size_t i = 0; i < list.n; i++)
		net_instance(in, sk, &list.v[i], nodes);
	inst_list_release(&list);
	return json_pack("{s:s,s:s,s:s,s:o}", "stack", sk->name, "subnet", subnet, "gateway",
		gateway, "nodes", nodes);
}

json_t *net_build(const struct net_in *in)
{
	json_t *networks = json_array();
	struct stack *sk;
	table_each(&in->st->stacks, i, sk) if (sk->exists)
		json_array_append_new(networks, net_stack(in, sk));
	return json_pack("{s:o}", "networks", networks);
}
