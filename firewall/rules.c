/* Text of the table. */
#include "rules.h"

#include <arpa/inet.h>
#include <string.h>
#include <viking/crypt.h>
#include <viking/json.h>
#include <viking/str.h>

#define LINKS_MAX 4096 /* of a stack */

struct net {
	uint32_t base, gateway; /* host order */
	unsigned bits;
	json_t *links, *nodes; /* borrowed */
};

struct nets {
	struct net *v;
	size_t n;
};

void rules_table(const char *state_dir, char out[static RULES_TABLE_MAX])
{
	char hex[65];
	vk_sha256_hex(state_dir, strlen(state_dir), hex);
	snprintf(out, RULES_TABLE_MAX, "viking_%.16s", hex);
}

/* ---- reading ---- */

static int read_address(const char *text, uint32_t *ret)
{
	struct in_addr a;
	if (inet_pton(AF_INET, text, &a) != 1)
		return VK_INVALID;
	*ret = ntohl(a.s_addr);
	return 0;
}

static int read_net(const json_t *j, struct net *net, struct vk_err *err)
{
	const char *subnet = vk_json_str(j, "subnet", ""), *slash = strchr(subnet, '/');
	uint64_t bits;
	if (slash == NULL || vk_parse_u64(slash + 1, 8, 30, &bits) != 0)
		return vk_err_set(err, VK_INVALID, "a network without a subnet");
	vk_autofree char *address = vk_strndup(subnet, (size_t)(slash - subnet));
	*net = (struct net){.bits = (unsigned)bits,
		.links = json_object_get(j, "links"),
		.nodes = json_object_get(j, "nodes")};
	if (read_address(address, &net->base) != 0 ||
		read_address(vk_json_str(j, "gateway", ""), &net->gateway) != 0)
		return vk_err_set(err, VK_INVALID, "a network without an address");
	return 0;
}

static int read_nets(const json_t *doc, struct nets *ret, struct vk_err *err)
{
	const json_t *list = json_object_get(doc, "networks");
	if (!json_is_array(list))
		return vk_err_set(err, VK_INVALID, "the document has no networks");
	ret->v = vk_calloc(json_array_size(list) + 1, sizeof(*ret->v));
	size_t i;
	json_t *j;
	json_array_foreach(list, i, j)
	{
		int rc = read_net(j, &ret->v[ret->n++], err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static unsigned port_of(const json_t *link, const char *key)
{
	int64_t port = vk_json_int(link, key, 0);
	return port >= 1 && port <= 65535 ? (unsigned)port : 0;
}

/* ---- writing ---- */

static void add(struct vk_buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct vk_buf *out, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	(void)vk_buf_adds(out, text); /* whether all fitted is asked once, at the end */
}

static const char *dotted(uint32_t address, char buf[static INET_ADDRSTRLEN])
{
	struct in_addr a = {.s_addr = htonl(address)};
	inet_ntop(AF_INET, &a, buf, INET_ADDRSTRLEN);
	return buf;
}

static void add_dispatch(struct vk_buf *out, const struct nets *nets, const char *chain)
{
	char a[INET_ADDRSTRLEN];
	if (nets->n == 0)
		return;
	add(out, "\t\tip saddr vmap {");
	for (size_t i = 0; i < nets->n; i++)
		add(out, "%s %s/%u : goto %s_%zu", i > 0 ? "," : "", dotted(nets->v[i].base, a),
			nets->v[i].bits, chain, i);
	add(out, " }\n");
}

/* kind: "filter hook input priority -5" */
static void add_hook(
	struct vk_buf *out, const struct nets *nets, const char *chain, const char *kind)
{
	add(out, "\tchain %s {\n\t\ttype %s; policy accept;\n", chain, kind);
	add_dispatch(out, nets, chain);
	add(out, "\t}\n");
}

static void add_input(struct vk_buf *out, const struct net *net, size_t at, const char *allow)
{
	char gw[INET_ADDRSTRLEN];
	size_t i;
	json_t *link;
	dotted(net->gateway, gw);
	add(out, "\tchain input_%zu {\n\t\tct state established,related accept\n", at);
	add(out, "\t\tip daddr %s udp dport 53 accept\n", gw);
	add(out, "\t\tip daddr %s tcp dport { 53", gw);
	json_array_foreach(net->links, i, link) if (port_of(link, "port") != 0 && i < LINKS_MAX)
		add(out, ", %u", port_of(link, "port"));
	add(out, " } accept\n\t\tip daddr %s icmp type echo-request accept\n", gw);
	if (allow[0] != '\0')
		add(out, "\t\ttcp dport { %s } accept\n", allow);
	add(out, "\t\tcounter reject\n\t}\n");
}

static void add_forward(struct vk_buf *out, const struct net *net, size_t at, const char *far)
{
	char base[INET_ADDRSTRLEN];
	add(out, "\tchain forward_%zu {\n\t\tct state established,related accept\n%s", at, far);
	add(out, "\t\tip daddr %s/%u accept\n", dotted(net->base, base), net->bits);
	add(out,
		"\t\tip daddr @stacks counter reject\n"
		"\t\tip daddr 169.254.0.0/16 counter reject\n\t}\n");
}

/* ---- a cluster ---- */

/* NULL: this host is alone. */
static const char *own_address(
	const json_t *doc, const char *name, char buf[static INET_ADDRSTRLEN])
{
	uint32_t a;
	const char *text = vk_json_str(json_object_get(doc, "hosts"), name, "");
	return read_address(text, &a) == 0 ? dotted(a, buf) : NULL;
}

/* The sender's own host stands for a container that another host's asks for: it must have been translated here. */
static char *far_rules(const struct rules_host *h)
{
	return vk_asprintf("\t\tip daddr @hosts tcp dport %u-%u ct status dnat accept\n"
			   "\t\tip daddr @hosts tcp dport %u-%u counter reject\n",
		h->first, h->last, h->first, h->last);
}

static void add_hosts(
	struct vk_buf *out, const json_t *doc, const struct rules_host *h, const char *own)
{
	char buf[INET_ADDRSTRLEN];
	const char *name, *comma = "";
	json_t *v;
	uint32_t a;
	add(out, "\tset hosts {\n\t\ttype ipv4_addr\n\t\telements = {");
	json_object_foreach(json_object_get(doc, "hosts"), name, v)
	{
		if (read_address(json_is_string(v) ? json_string_value(v) : "", &a) != 0)
			continue;
		add(out, "%s %s", comma, dotted(a, buf));
		comma = ",";
	}
	add(out,
		" }\n\t}\n"
		/* before the engine's own translation, as the ports are known by now */
		"\tchain cluster {\n\t\ttype filter hook prerouting priority -150; policy accept;\n"
		"\t\tct state new ip daddr %s tcp dport %u-%u ip saddr != @hosts counter drop\n"
		"\t}\n",
		own, h->first, h->last);
}

/* Pairs of an instance on another host: the address its stack knows it by and each port -> where it is. */
static bool add_far_ports(struct vk_buf *out, const json_t *instance, const char *own, bool any)
{
	const json_t *far = json_object_get(instance, "far");
	char a[INET_ADDRSTRLEN], b[INET_ADDRSTRLEN];
	uint32_t vip, addr;
	uint64_t port;
	const char *number;
	json_t *to;
	if (far == NULL || vk_streq(vk_json_str(instance, "host", NULL), own) ||
		read_address(vk_json_str(far, "vip", ""), &vip) != 0 ||
		read_address(vk_json_str(far, "addr", ""), &addr) != 0)
		return any;
	json_object_foreach(json_object_get(far, "ports"), number, to)
	{
		json_int_t at = json_integer_value(to);
		if (vk_parse_u64(number, 1, 65535, &port) != 0 || at < 1 || at > 65535)
			continue;
		add(out, "%s%s . %u : %s . %u",
			any ? ", " : "\t\tdnat ip to ip daddr . tcp dport map { ", dotted(vip, a),
			(unsigned)port, dotted(addr, b), (unsigned)at);
		any = true;
	}
	return any;
}

static void add_far(struct vk_buf *out, const struct net *net, size_t at, const char *own)
{
	bool any = false;
	const char *name;
	json_t *node, *instance;
	add(out, "\tchain far_%zu {\n", at);
	json_object_foreach(net->nodes, name, node)
	{
		size_t i;
		json_array_foreach(json_object_get(node, "instances"), i, instance) any =
			add_far_ports(out, instance, own, any);
	}
	add(out, "%s\t}\n", any ? " }\n" : "");
}

/* ---- the table ---- */

static void add_stacks(struct vk_buf *out, const struct nets *nets)
{
	char a[INET_ADDRSTRLEN];
	add(out, "\tset stacks {\n\t\ttype ipv4_addr\n\t\tflags interval\n");
	for (size_t i = 0; i < nets->n; i++)
		add(out, "%s %s/%u", i > 0 ? "," : "\t\telements = {", dotted(nets->v[i].base, a),
			nets->v[i].bits);
	add(out, "%s\t}\n", nets->n > 0 ? " }\n" : "");
}

/* Has an earlier link of the stack the same port of its own? That one keeps it. */
static bool native_taken(const struct net *net, size_t at)
{
	unsigned native = port_of(json_array_get(net->links, at), "native");
	for (size_t i = 0; i < at; i++)
		if (port_of(json_array_get(net->links, i), "native") == native)
			return true;
	return native == 0 || native == 53;
}

/* A link also answers on its target's own port, for clients that are told an address only. */
static void add_links(struct vk_buf *out, const struct nets *nets)
{
	char base[INET_ADDRSTRLEN], gw[INET_ADDRSTRLEN];
	add(out, "\tchain links {\n\t\ttype nat hook prerouting priority -105; policy accept;\n");
	for (size_t n = 0; n < nets->n; n++) {
		const struct net *net = &nets->v[n];
		size_t i;
		json_t *link;
		dotted(net->base, base);
		dotted(net->gateway, gw);
		json_array_foreach(net->links, i, link)
		{
			if (i >= LINKS_MAX || port_of(link, "port") == 0 || native_taken(net, i))
				continue;
			add(out, "\t\tip saddr %s/%u ip daddr %s tcp dport %u redirect to :%u\n",
				base, net->bits, gw, port_of(link, "native"),
				port_of(link, "port"));
		}
	}
	add(out, "\t}\n");
}

static void add_chains(struct vk_buf *out, const struct nets *nets, const struct rules_host *h,
	bool cluster, const char *far)
{
	for (size_t i = 0; i < nets->n; i++) {
		add_input(out, &nets->v[i], i, h->allow);
		add_forward(out, &nets->v[i], i, far);
		if (cluster)
			add_far(out, &nets->v[i], i, h->name);
	}
	add_hook(out, nets, "input", "filter hook input priority -5");
	add_hook(out, nets, "forward", "filter hook forward priority -5");
	if (cluster)
		add_hook(out, nets, "far", "nat hook prerouting priority -105");
	add_links(out, nets);
}

static void add_table(
	struct vk_buf *out, const json_t *doc, const struct nets *nets, const struct rules_host *h)
{
	char buf[INET_ADDRSTRLEN];
	const char *own = own_address(doc, h->name, buf), *t = h->table;
	vk_autofree char *far = own != NULL ? far_rules(h) : vk_strdup("");
	/* made, so that it can be deleted: a table that is not there cannot */
	add(out, "table inet %s\ndelete table inet %s\ntable inet %s {\n", t, t, t);
	add_stacks(out, nets);
	if (own != NULL)
		add_hosts(out, doc, h, own);
	add_chains(out, nets, h, own != NULL, far);
	add(out, "}\n");
}

int rules_render(
	const json_t *doc, const struct rules_host *host, struct vk_buf *out, struct vk_err *err)
{
	struct nets nets = {0};
	int rc = read_nets(doc, &nets, err);
	if (rc == 0) {
		size_t before = out->max;
		add_table(out, doc, &nets, host);
		if (out->len + 256 > before)
			rc = vk_err_set(
				err, VK_LIMIT, "the rules are larger than %zu bytes", before);
	}
	free(nets.v);
	return rc;
}
