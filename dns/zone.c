/* Names -> instances. */
#include "zone.h"

#include <arpa/inet.h>
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#define INSTANCES_MAX 1024 /* of a node in one answer */

/* ---- reading a name from its end ---- */

/* Cuts the last label off, in place: "a.b.c" -> "a.b", returns "c"; "" when nothing is left. */
static const char *cut_last(char *name)
{
	char *dot = strrchr(name, '.');
	if (dot != NULL) {
		*dot = '\0';
		return dot + 1;
	}
	char *end = name + strlen(name);
	if (end == name)
		return name;
	memmove(name + 1, name, (size_t)(end - name) + 1);
	name[0] = '\0';
	return name + 1;
}

/* "_http._tcp" -> the port's name and protocol. */
struct service {
	const char *port;
	bool udp, any;
};

static bool read_service(char *rest, struct service *ret)
{
	char *dot = strchr(rest, '.');
	if (rest[0] != '_' || dot == NULL || strchr(dot + 1, '.') != NULL)
		return false;
	*dot = '\0';
	*ret = (struct service){.port = rest + 1, .udp = strcmp(dot + 1, "_udp") == 0};
	return ret->udp || strcmp(dot + 1, "_tcp") == 0;
}

static bool port_is(const struct zone_port *p, const struct service *s)
{
	char number[8];
	snprintf(number, sizeof(number), "%u", p->port);
	return s->any ||
		(p->udp == s->udp &&
			(strcmp(number, s->port) == 0 ||
				(p->name[0] != '\0' && strcmp(p->name, s->port) == 0)));
}

/* ---- looking up ---- */

struct look {
	struct zone *z;
	const struct zone_net *view; /* NULL = the host */
	const struct dns_query *q;
	struct dns_records *out;
};

static const struct zone_net *find_net(const struct zone *z, const char *stack)
{
	for (size_t i = 0; i < z->n_nets; i++)
		if (strcmp(z->nets[i].stack, stack) == 0)
			return &z->nets[i];
	return NULL;
}

static const struct zone_node *find_node(const struct zone_net *net, const char *name)
{
	for (size_t i = 0; net != NULL && i < net->n_nodes; i++)
		if (strcmp(net->nodes[i].name, name) == 0 || strcmp(net->nodes[i].alias, name) == 0)
			return &net->nodes[i];
	return NULL;
}

static const struct zone_link *find_link(
	const struct zone_net *net, const char *alias, const char *stack, const char *node)
{
	for (size_t i = 0; net != NULL && i < net->n_links; i++) {
		const struct zone_link *l = &net->links[i];
		if (alias != NULL ? strcmp(l->alias, alias) == 0
				  : strcmp(l->stack, stack) == 0 && strcmp(l->node, node) == 0)
			return l;
	}
	return NULL;
}

static bool wants(const struct look *k, enum dns_type type)
{
	return k->q->type == type || k->q->type == DNS_ANY;
}

static void add_a(struct look *k, const char *name, uint32_t addr)
{
	dns_records_add(k->out, DNS_A, name)->addr = addr;
}

static void add_srv(struct look *k, const char *target, unsigned port)
{
	struct dns_record *r = dns_records_add(k->out, DNS_SRV, k->q->name);
	r->port = (uint16_t)port;
	snprintf(r->target, sizeof(r->target), "%s", target);
}

/* Which of a node's instances its own name stands for. */
static size_t first_of(const struct zone_node *node)
{
	return node->policy == POLICY_REPLACE && node->n_inst > 0 ? node->n_inst - 1 : 0;
}

static void instance_name(const struct zone_net *net, const struct zone_node *node,
	const struct zone_instance *i, char out[static DNS_NAME_MAX + 1])
{
	snprintf(out, DNS_NAME_MAX + 1, "%s.%s.%s.viking", i->name, node->alias, net->stack);
}

static void srv_records(struct look *k, const struct zone_net *net, const struct zone_node *node,
	const struct service *s, size_t from, size_t n, unsigned turn)
{
	char target[DNS_NAME_MAX + 1];
	for (size_t p = 0; p < node->n_ports; p++) {
		if (!port_is(&node->ports[p], s) || (s->any && node->ports[p].udp))
			continue;
		for (size_t i = 0; i < n; i++) {
			const struct zone_instance *inst = &node->inst[from + (i + turn) % n];
			instance_name(net, node, inst, target);
			add_srv(k, target, node->ports[p].port);
		}
	}
	k->out->answers = k->out->n;
	for (size_t i = 0; i < n && k->out->answers > 0; i++) {
		const struct zone_instance *inst = &node->inst[from + (i + turn) % n];
		instance_name(net, node, inst, target);
		add_a(k, target, inst->addr);
	}
}

static bool has_port(const struct zone_node *node, const struct service *s)
{
	for (size_t p = 0; p < node->n_ports; p++)
		if (port_is(&node->ports[p], s))
			return true;
	return false;
}

/* The instances [from, from + n) of a node, as addresses or services, each time beginning with another. */
static enum zone_answer give(struct look *k, const struct zone_net *net,
	const struct zone_node *node, const struct service *s, size_t from, size_t n)
{
	if (node->policy == POLICY_HIDE || n == 0 || (s != NULL && !has_port(node, s)))
		return ZONE_NONE;
	n = n > INSTANCES_MAX ? INSTANCES_MAX : n;
	unsigned turn = k->z->turn++;
	for (size_t i = 0; i < n && s == NULL && wants(k, DNS_A); i++)
		add_a(k, k->q->name, node->inst[from + (i + turn) % n].addr);
	k->out->answers = k->out->n;
	if (wants(k, DNS_SRV) && (s != NULL || k->out->n == 0)) {
		const struct service all = {.any = true};
		srv_records(k, net, node, s != NULL ? s : &all, from, n, turn);
	}
	return ZONE_FOUND;
}

static enum zone_answer give_node(struct look *k, const struct zone_net *net,
	const struct zone_node *node, const struct service *s)
{
	size_t from = first_of(node);
	return give(k, net, node, s, from, node->n_inst - from);
}

static enum zone_answer give_instance(
	struct look *k, const struct zone_net *net, const struct zone_node *node, const char *which)
{
	char number[16];
	for (size_t i = node->n_inst; i-- > 0;) { /* of two versions the newer */
		const struct zone_instance *inst = &node->inst[i];
		snprintf(number, sizeof(number), "%u", inst->n);
		if (strcmp(inst->name, which) == 0 || strcmp(number, which) == 0)
			return give(k, net, node, NULL, i, 1);
	}
	return ZONE_NONE;
}

/* A link is its proxy on this host. */
static enum zone_answer give_link(
	struct look *k, const struct zone_net *net, const struct zone_link *l)
{
	if (wants(k, DNS_A))
		add_a(k, k->q->name, net->gateway);
	k->out->answers = k->out->n;
	if (k->q->type == DNS_SRV) {
		char target[DNS_NAME_MAX + 1];
		snprintf(target, sizeof(target), "%s.%s.viking", l->alias, net->stack);
		add_srv(k, target, l->port);
		k->out->answers = k->out->n;
		add_a(k, target, net->gateway);
	}
	return ZONE_FOUND;
}

/* NODE of another stack: only what the asking stack is linked to, and there by the link. */
static enum zone_answer find_foreign(
	struct look *k, const char *stack, const char *node_name, const char *rest)
{
	const struct zone_node *node = find_node(find_net(k->z, stack), node_name);
	const struct zone_link *l =
		find_link(k->view, NULL, stack, node != NULL ? node->name : node_name);
	struct service s;
	vk_autofree char *copy = vk_strdup(rest);
	if (l == NULL || (rest[0] != '\0' && !read_service(copy, &s)))
		return ZONE_NONE;
	return give_link(k, k->view, l);
}

/* rest: what stands before NODE. */
static enum zone_answer find_in_node(
	struct look *k, const struct zone_net *net, const struct zone_node *node, char *rest)
{
	struct service s;
	if (rest[0] == '\0')
		return give_node(k, net, node, NULL);
	vk_autofree char *copy = vk_strdup(rest);
	if (read_service(copy, &s))
		return give_node(k, net, node, &s);
	return strchr(rest, '.') == NULL ? give_instance(k, net, node, rest) : ZONE_NONE;
}

/* NODE-N, as containers know one another's numbers. */
static enum zone_answer find_numbered(struct look *k, const struct zone_net *net, const char *label)
{
	const char *dash = strrchr(label, '-');
	if (dash == NULL)
		return ZONE_NONE;
	vk_autofree char *name = vk_strndup(label, (size_t)(dash - label));
	const struct zone_node *node = find_node(net, name);
	return node != NULL ? give_instance(k, net, node, dash + 1) : ZONE_NONE;
}

/* A label that means something within one stack. */
static enum zone_answer find_label(
	struct look *k, const struct zone_net *net, const char *label, char *rest)
{
	const struct zone_link *l = find_link(net, label, NULL, NULL);
	if (l == NULL && strcmp(label, "backends") == 0 && net->n_links > 0)
		l = &net->links[0];
	struct service s;
	vk_autofree char *copy = vk_strdup(rest);
	const struct zone_node *node = find_node(net, label);
	if (node != NULL)
		return find_in_node(k, net, node, rest);
	if (l != NULL && (rest[0] == '\0' || read_service(copy, &s)))
		return give_link(k, net, l);
	return rest[0] == '\0' ? find_numbered(k, net, label) : ZONE_NONE;
}

/* [...]NODE.STACK */
static enum zone_answer find_in_zone(struct look *k, char *name)
{
	const char *stack = cut_last(name);
	const struct zone_net *net = find_net(k->z, stack);
	if (name[0] == '\0')
		return net != NULL && (k->view == NULL || k->view == net) ? ZONE_FOUND : ZONE_NONE;
	const char *node = cut_last(name);
	if (net == NULL) /* cut_last moved the text that stack points into */
		return ZONE_NONE;
	if (k->view != NULL && k->view != net)
		return find_foreign(k, net->stack, node, name);
	return find_label(k, net, node, name);
}

/* A zone that knows no stacks: the asking one's nodes; for the host, the first stack that has such a node. */
static enum zone_answer find_flat(struct look *k, char *name, bool numbered)
{
	const char *node = cut_last(name);
	if (k->view != NULL) {
		if (numbered && strcmp(name, "") != 0)
			return ZONE_NONE;
		return find_label(k, k->view, node, name);
	}
	for (size_t i = 0; i < k->z->n_nets; i++) {
		vk_autofree char *rest = vk_strdup(name);
		enum zone_answer a = find_label(k, &k->z->nets[i], node, rest);
		if (a == ZONE_FOUND)
			return a;
	}
	return ZONE_NONE;
}

/* PORT.NODE.veo is the address of who offers that port. */
static enum zone_answer find_veo(struct look *k, char *name)
{
	uint64_t port;
	char *dot = strchr(name, '.');
	if (dot != NULL && strchr(dot + 1, '.') == NULL) {
		*dot = '\0';
		if (vk_parse_u64(name, 1, 65535, &port) == 0)
			return find_flat(k, dot + 1, false);
		*dot = '.';
	}
	return find_flat(k, name, false);
}

static bool cut_suffix(char *name, const char *zone)
{
	size_t n = strlen(name), z = strlen(zone);
	if (n < z || strcmp(name + n - z, zone) != 0 || (n > z && name[n - z - 1] != '.'))
		return false;
	name[n > z ? n - z - 1 : 0] = '\0';
	return true;
}

enum zone_answer zone_find(struct zone *z, const struct zone_net *net, const struct dns_query *q,
	struct dns_records *ret)
{
	struct look k = {z, net, q, ret};
	/* cut_last moves the first label one byte on */
	char name[DNS_NAME_MAX + 2];
	snprintf(name, sizeof(name), "%s", q->name);
	if (q->odd || name[0] == '\0')
		return ZONE_FOREIGN;
	if (cut_suffix(name, "viking") || (z->skydns && cut_suffix(name, "skydns.local")))
		return name[0] == '\0' ? ZONE_FOUND : find_in_zone(&k, name);
	if (z->veo && cut_suffix(name, "veo"))
		return name[0] == '\0' ? ZONE_FOUND : find_veo(&k, name);
	if (z->local && cut_suffix(name, "local.zone"))
		return name[0] == '\0' ? ZONE_FOUND : find_flat(&k, name, true);
	if (strchr(name, '.') != NULL)
		return ZONE_FOREIGN;
	/* a bare label is nobody's but the stack's: no root server has to hear of it */
	return net != NULL ? find_label(&k, net, q->name, name + strlen(name)) : ZONE_NONE;
}
