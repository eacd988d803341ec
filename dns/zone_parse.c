/* The scheduler's document -> the zone. */
#include <arpa/inet.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "zone.h"

static int read_address(const char *text, uint32_t *ret, struct vk_err *err)
{
	struct in_addr a;
	if (text == NULL || inet_pton(AF_INET, text, &a) != 1)
		return vk_err_set(
			err, VK_INVALID, "\"%.40s\" is no IPv4 address", text != NULL ? text : "");
	*ret = ntohl(a.s_addr);
	return 0;
}

static int read_subnet(struct zone_net *net, const char *text, struct vk_err *err)
{
	const char *slash = strchr(text, '/');
	uint64_t bits;
	if (slash == NULL || vk_parse_u64(slash + 1, 8, 30, &bits) != 0)
		return vk_err_set(err, VK_INVALID, "\"%.40s\" is no subnet", text);
	vk_autofree char *address = vk_strndup(text, (size_t)(slash - text));
	net->mask = 0xffffffffu << (32 - bits);
	int rc = read_address(address, &net->base, err);
	net->base &= net->mask;
	return rc;
}

static void read_ports(struct zone_node *node, const json_t *list)
{
	size_t i;
	json_t *p;
	node->ports = vk_calloc(json_array_size(list) + 1, sizeof(*node->ports));
	json_array_foreach(list, i, p) node->ports[node->n_ports++] = (struct zone_port){
		.port = (unsigned)vk_json_int(p, "port", 0),
		.name = vk_strdup(vk_json_str(p, "name", "")),
		.udp = strcmp(vk_json_str(p, "proto", "tcp"), "udp") == 0,
	};
}

/* Of an instance on another host the address that the firewall translates; NULL: there is no way to it. */
static const char *address_of(const json_t *instance, const struct zone_host *h)
{
	if (strcmp(vk_json_str(instance, "host", h->name), h->name) == 0)
		return vk_json_str(instance, "addr", "");
	return h->translates ? vk_json_str(json_object_get(instance, "far"), "vip", NULL) : NULL;
}

static int read_instances(
	struct zone_node *node, const json_t *list, const struct zone_host *h, struct vk_err *err)
{
	size_t i;
	json_t *j;
	int rc = 0;
	node->inst = vk_calloc(json_array_size(list) + 1, sizeof(*node->inst));
	json_array_foreach(list, i, j)
	{
		struct zone_instance *inst = &node->inst[node->n_inst];
		const char *text = address_of(j, h);
		if (text == NULL)
			continue;
		rc = read_address(text, &inst->addr, err);
		if (rc != 0)
			break;
		inst->name = vk_strdup(vk_json_str(j, "name", ""));
		inst->n = (unsigned)vk_json_int(j, "n", 0);
		node->n_inst++;
	}
	return rc;
}

static enum dns_policy read_policy(const char *text)
{
	return strcmp(text, "replace") == 0 ? POLICY_REPLACE
		: strcmp(text, "hide") == 0 ? POLICY_HIDE
					    : POLICY_APPEND;
}

static int read_node(struct zone_node *node, const char *name, const json_t *j,
	const struct zone_host *h, struct vk_err *err)
{
	char alias[VK_NAME_MAX + 1];
	int rc = vk_node_name(name, err);
	if (rc != 0)
		return rc;
	vk_dns_alias(name, alias);
	node->name = vk_strdup(name);
	node->alias = vk_strdup(alias);
	node->policy = read_policy(vk_json_str(j, "policy", "append"));
	read_ports(node, json_object_get(j, "ports"));
	return read_instances(node, json_object_get(j, "instances"), h, err);
}

static int read_links(struct zone_net *net, const json_t *list, struct vk_err *err)
{
	size_t i;
	json_t *j;
	net->links = vk_calloc(json_array_size(list) + 1, sizeof(*net->links));
	json_array_foreach(list, i, j)
	{
		char alias[VK_NAME_MAX + 1];
		const char *name = vk_json_str(j, "alias", "");
		int rc = vk_node_name(name, err);
		if (rc != 0)
			return rc;
		vk_dns_alias(name, alias);
		net->links[net->n_links++] = (struct zone_link){
			.alias = vk_strdup(alias),
			.stack = vk_strdup(vk_json_str(j, "stack", "")),
			.node = vk_strdup(vk_json_str(j, "node", "")),
			.port = (unsigned)vk_json_int(j, "port", 0),
		};
	}
	return 0;
}

static int read_net(
	struct zone_net *net, const json_t *j, const struct zone_host *h, struct vk_err *err)
{
	json_t *nodes = json_object_get(j, "nodes"), *value;
	const char *name;
	net->stack = vk_strdup(vk_json_str(j, "stack", ""));
	int rc = vk_stack_name(net->stack, err);
	if (rc == 0)
		rc = read_subnet(net, vk_json_str(j, "subnet", ""), err);
	if (rc == 0)
		rc = read_address(vk_json_str(j, "gateway", NULL), &net->gateway, err);
	net->nodes = vk_calloc(json_object_size(nodes) + 1, sizeof(*net->nodes));
	json_object_foreach(nodes, name, value) if (rc == 0) rc =
		read_node(&net->nodes[net->n_nodes++], name, value, h, err);
	return rc == 0 ? read_links(net, json_object_get(j, "links"), err) : rc;
}

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = words; *p != '\0'; p += strcspn(p, ","), p += *p == ',')
		if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0'))
			return true;
	return false;
}

int zone_parse(
	const json_t *doc, const struct zone_host *host, struct zone **ret, struct vk_err *err)
{
	const json_t *nets = json_object_get(doc, "networks");
	int64_t rev = vk_json_int(doc, "rev", -1);
	if (rev < 0 || !json_is_array(nets))
		return vk_err_set(err, VK_INVALID, "the document has no rev or no networks");
	struct zone *z = vk_alloc(sizeof(*z));
	*z = (struct zone){.rev = rev,
		.skydns = has_word(host->aliases, "skydns.local"),
		.veo = has_word(host->aliases, "veo"),
		.local = has_word(host->aliases, "local.zone")};
	z->nets = vk_calloc(json_array_size(nets) + 1, sizeof(*z->nets));
	size_t i;
	json_t *j;
	int rc = 0;
	json_array_foreach(nets, i, j) if (rc == 0) rc =
		read_net(&z->nets[z->n_nets++], j, host, err);
	if (rc != 0)
		zone_free(z);
	else
		*ret = z;
	return rc;
}

static void node_release(struct zone_node *node)
{
	for (size_t i = 0; i < node->n_inst; i++)
		free(node->inst[i].name);
	for (size_t i = 0; i < node->n_ports; i++)
		free(node->ports[i].name);
	free(node->inst);
	free(node->ports);
	free(node->name);
	free(node->alias);
}

static void net_release(struct zone_net *net)
{
	for (size_t i = 0; i < net->n_nodes; i++)
		node_release(&net->nodes[i]);
	for (size_t i = 0; i < net->n_links; i++) {
		free(net->links[i].alias);
		free(net->links[i].stack);
		free(net->links[i].node);
	}
	free(net->nodes);
	free(net->links);
	free(net->stack);
}

void zone_free(struct zone *z)
{
	for (size_t i = 0; z != NULL && i < z->n_nets; i++)
		net_release(&z->nets[i]);
	if (z != NULL)
		free(z->nets);
	free(z);
}
