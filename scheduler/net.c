/* The network document. */
#include "net.h"

#include <stdlib.h>
#include <string.h>
#include <viking/crypt.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "links.h"

void net_gateway(const struct subnet_range *range, const struct stack *sk, char out[static 32])
{
	subnet_text(range, sk->row.subnet, out);
	char *last = strrchr(out, '.');
	snprintf(last + 1, 2, "1"); /* the engine gives the bridge the first address */
}

/* The entries that an instance's version belongs to: of the release being made, of the serving one, of the one that bore it. */
static const json_t *inst_entries(const struct stack *sk, const struct inst *i)
{
	const struct overlay *o = stack_overlay(sk);
	const struct release *at[] = {
		o != NULL ? o->release : NULL, stack_current(sk), stack_release(sk, i->born)};
	for (size_t k = 0; k < VK_COUNT(at); k++) {
		const json_t *entry = at[k] != NULL ? json_object_get(at[k]->nodes, i->node) : NULL;
		if (entry != NULL && vk_json_int(entry, "version", 0) == i->version)
			return at[k]->nodes;
	}
	return NULL;
}

static json_t *node_new(const struct stack *sk, const char *node)
{
	const struct release *r = stack_current(sk);
	const json_t *entry = json_object_get(r != NULL ? r->nodes : NULL, node);
	return json_pack("{s:s,s:[],s:[]}", "policy", vk_json_str(entry, "dns", "append"), "ports",
		"instances");
}

/* The address of an instance for its stack's containers on other hosts. It follows from the name, so that it stays through restarts
 * and changes of the leader; one that another of the stack has is left out. */
static const char *vip(const char *instance, json_t *vips)
{
	static char text[16];
	char hex[65];
	vk_sha256_hex(instance, strlen(instance), hex);
	hex[8] = '\0';
	uint32_t at = (uint32_t)strtoul(hex, NULL, 16);
	do { /* 198.18.0.0/15 has 131072; names of a stack are far fewer */
		at = (at + 1) & 0x1ffff;
		snprintf(text, sizeof(text), "198.%u.%u.%u", 18 + (at >> 16), at >> 8 & 0xff,
			at & 0xff);
	} while (json_object_get(vips, text) != NULL);
	json_object_set_new(vips, text, json_true());
	return text;
}

/* Only what is healthy and not on its way out has a name. */
static void net_instance(const struct net_in *in, const struct stack *sk, const struct inst *i,
	json_t *vips, json_t *nodes)
{
	struct inst_addr at = {0};
	bool serves = !i->task && i->route == ROUTE_READY && in->address(in->arg, i->name, &at);
	const json_t *def = in->def(in->arg, sk, i->born, i->node);
	json_t *node = json_object_get(nodes, i->node);
	if (node == NULL) {
		node = node_new(sk, i->node);
		json_object_set_new(nodes, i->node, node);
	}
	if (!serves || !at.healthy)
		return;
	json_t *ports = json_object_get(def, "expose");
	if (ports != NULL)
		json_object_set(node, "ports", ports);
	json_t *one = json_pack("{s:s,s:i,s:s,s:s*}", "name", i->name, "n", (int)i->n, "addr",
		at.ip, "host", at.host);
	if (at.far != NULL)
		json_object_set_new(one, "far",
			json_pack("{s:s,s:s,s:O}", "addr", at.far, "vip", vip(i->name, vips),
				"ports", at.ports));
	json_array_append_new(json_object_get(node, "instances"), one);
}

static const json_t *current_entry(const struct state *st, const char *stack, const char *node)
{
	const struct stack *sk = state_stack(st, stack);
	const struct release *r = sk != NULL ? stack_current(sk) : NULL;
	return json_object_get(r != NULL ? r->nodes : NULL, node);
}

int net_foreign_port(void *arg, const char *stack, const char *node)
{
	return (int)vk_json_int(current_entry(arg, stack, node), "port", 0);
}

/* ---- links ---- */

/* Whatever of the target is in service, by the entry each instance was born with. */
static json_t *link_servers(const struct net_in *in, const struct stack *to, const json_t *link)
{
	json_t *servers = json_array();
	struct inst_list list = {0};
	const char *node = vk_json_str(link, "node", ""), *only = vk_json_str(link, "instance", "");
	stack_instances(to, stack_overlay(to), &list);
	for (size_t i = 0; i < list.n; i++) {
		const struct inst *inst = &list.v[i];
		struct inst_addr at;
		char number[16];
		snprintf(number, sizeof(number), "%u", inst->n);
		if (inst->task || inst->route != ROUTE_READY || strcmp(inst->node, node) != 0 ||
			(only[0] != '\0' && strcmp(only, number) != 0))
			continue;
		const json_t *entry = json_object_get(inst_entries(to, inst), node);
		int port = (int)vk_json_int(entry, "port", 0);
		if (port == 0 || !in->address(in->arg, inst->name, &at) || !at.healthy)
			continue;
		json_t *server = json_pack("{s:s}", "id", inst->name);
		inst_addr_put(&at, port, server);
		json_array_append_new(servers, server);
	}
	inst_list_release(&list);
	return servers;
}

static bool has_port(const json_t *links, int64_t port)
{
	size_t i;
	json_t *j;
	json_array_foreach(links, i, j) if (vk_json_int(j, "port", 0) == port) return true;
	return false;
}

static void net_link(
	const struct net_in *in, const struct stack *sk, const json_t *link, json_t *links)
{
	const char *stack = vk_json_str(link, "stack", ""), *node = vk_json_str(link, "node", "");
	const struct stack *to = stack[0] == '\0' ? sk : state_stack(in->st, stack);
	const json_t *entry = to != NULL ? current_entry(in->st, to->name, node) : NULL;
	/* a target that is not shared any more, or is gone: the port closes at once */
	bool may = to != NULL && (to == sk || links_shared(entry, sk->name));
	int native = (int)vk_json_int(entry, "port", vk_json_int(link, "native", 0));
	if (has_port(links, vk_json_int(link, "port", 0)))
		return;
	json_array_append_new(links,
		json_pack("{s:s,s:s,s:s,s:I,s:i,s:o}", "alias", vk_json_str(link, "name", ""),
			"stack", to != NULL ? to->name : stack, "node", node, "port",
			(json_int_t)vk_json_int(link, "port", 0), "native", native, "servers",
			may ? link_servers(in, to, link) : json_array()));
}

/* The links of all that runs or is about to, also of what drains: the ports in their environment. */
static json_t *net_links(
	const struct net_in *in, const struct stack *sk, const struct inst_list *list)
{
	json_t *links = json_array();
	for (size_t i = list->n; i-- > 0;) { /* of one port the newest word */
		const json_t *entry =
			json_object_get(inst_entries(sk, &list->v[i]), list->v[i].node);
		size_t k;
		json_t *link;
		json_array_foreach(json_object_get(entry, "links"), k, link)
			net_link(in, sk, link, links);
	}
	return links;
}

bool net_serves(const struct net_in *in, const char *stack, const char *node)
{
	const struct stack *sk = state_stack(in->st, stack);
	struct inst_list list = {0};
	bool serves = false;
	if (sk == NULL)
		return false;
	stack_instances(sk, stack_overlay(sk), &list);
	for (size_t i = 0; i < list.n && !serves; i++) {
		const struct inst *inst = &list.v[i];
		struct inst_addr at;
		serves = strcmp(inst->node, node) == 0 && inst->route == ROUTE_READY &&
			in->address(in->arg, inst->name, &at) && at.healthy;
	}
	inst_list_release(&list);
	return serves;
}

static json_t *net_stack(const struct net_in *in, const struct stack *sk)
{
	char subnet[32], gateway[32];
	struct inst_list list = {0};
	json_t *nodes = json_object();
	vk_autojson *vips = json_object();
	subnet_text(&in->range, sk->row.subnet, subnet);
	net_gateway(&in->range, sk, gateway);
	stack_instances(sk, stack_overlay(sk), &list);
	for (size_t i = 0; i < list.n; i++)
		net_instance(in, sk, &list.v[i], vips, nodes);
	json_t *links = net_links(in, sk, &list);
	inst_list_release(&list);
	return json_pack("{s:o,s:s,s:s,s:s,s:o}", "links", links, "stack", sk->name, "subnet",
		subnet, "gateway", gateway, "nodes", nodes);
}

json_t *net_build(const struct net_in *in)
{
	json_t *networks = json_array();
	struct stack *sk;
	table_each(&in->st->stacks, i, sk) if (sk->exists)
		json_array_append_new(networks, net_stack(in, sk));
	return json_pack("{s:o}", "networks", networks);
}
