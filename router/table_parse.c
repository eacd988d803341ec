/* JSON -> table, value by value. */
#include <arpa/inet.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "table.h"

#define CHALLENGE_MAX 512
#define BASE64URL     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#define ID_MAX        200
#define PATH_BYTES    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-"

/* An address a container or host process can have; anything else would send requests astray. */
static int check_addr(const char *text, char out[static INET6_ADDRSTRLEN], struct vk_err *err)
{
	struct in6_addr v6;
	struct in_addr v4;
	if (text != NULL && inet_pton(AF_INET, text, &v4) == 1) {
		uint32_t a = ntohl(v4.s_addr);
		if (a >> 24 == 0 || a >> 28 >= 14)
			return vk_err_set(err, VK_INVALID, "%s is no server's address", text);
		inet_ntop(AF_INET, &v4, out, INET6_ADDRSTRLEN);
		return 0;
	}
	if (text != NULL && inet_pton(AF_INET6, text, &v6) == 1) {
		if (IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_MULTICAST(&v6))
			return vk_err_set(err, VK_INVALID, "%s is no server's address", text);
		inet_ntop(AF_INET6, &v6, out, INET6_ADDRSTRLEN);
		return 0;
	}
	return vk_err_set(err, VK_INVALID, "a server's addr is no IP address");
}

static bool id_ok(const char *id)
{
	size_t n = id != NULL ? strlen(id) : 0;
	return n > 0 && n <= ID_MAX &&
		id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_-.")] == '\0';
}

static const char *const server_states[] = {
	[SERVER_READY] = "ready", [SERVER_CANARY] = "canary", [SERVER_DRAIN] = "drain"};

const json_t *table_place(const json_t *server, const char *host)
{
	return vk_streq(vk_json_str(server, "host", host), host) ? server
								 : json_object_get(server, "far");
}

static int parse_server(
	const json_t *j, const json_t *place, struct table_server *s, struct vk_err *err)
{
	const char *id = vk_json_str(j, "id", NULL), *state = vk_json_str(j, "state", "ready");
	int64_t port = vk_json_int(place, "port", 0);
	unsigned is = 0;
	if (!id_ok(id))
		return vk_err_set(err, VK_INVALID, "a server has no valid id");
	if (port < 1 || port > 65535)
		return vk_err_set(err, VK_INVALID, "the port of %s is out of range", id);
	while (is < VK_COUNT(server_states) && strcmp(state, server_states[is]) != 0)
		is++;
	if (is == VK_COUNT(server_states))
		return vk_err_set(
			err, VK_INVALID, "the state of %s is not ready, canary or drain", id);
	int rc = check_addr(vk_json_str(place, "addr", NULL), s->addr, err);
	if (rc != 0)
		return vk_err_wrap(err, "%s", id);
	s->id = vk_strdup(id);
	s->port = (uint16_t)port;
	s->state = is;
	return 0;
}

static int parse_servers(
	const json_t *list, const char *host, struct table_node *node, struct vk_err *err)
{
	size_t n = json_array_size(list);
	if (list != NULL && !json_is_array(list))
		return vk_err_set(err, VK_INVALID, "servers of node %s is no list", node->name);
	if (n > TABLE_SERVERS_MAX)
		return vk_err_set(err, VK_LIMIT, "node %s has %zu servers, the most is %d",
			node->name, n, TABLE_SERVERS_MAX);
	node->servers = vk_calloc(n > 0 ? n : 1, sizeof(*node->servers));
	for (size_t i = 0; i < n; i++) {
		struct table_server *s = &node->servers[node->n];
		const json_t *j = json_array_get(list, i), *place = table_place(j, host);
		if (place == NULL)
			continue;
		int rc = parse_server(j, place, s, err);
		if (rc != 0)
			return rc;
		node->n++;
		for (size_t k = 0; k + 1 < node->n; k++)
			if (strcmp(node->servers[k].id, s->id) == 0)
				return vk_err_set(
					err, VK_INVALID, "server %s is listed twice", s->id);
	}
	return 0;
}

static struct table_node *add_node(struct table_stack *s, const char *name)
{
	s->nodes = vk_reallocarray(s->nodes, s->n_nodes + 1, sizeof(*s->nodes));
	struct table_node *node = &s->nodes[s->n_nodes++];
	*node = (struct table_node){.name = vk_strdup(name)};
	return node;
}

/* {"503": ID}, in the order of the statuses. */
static int parse_pages(const json_t *pages, struct table_node *node, struct vk_err *err)
{
	static const char *const statuses[] = {"502", "503", "504"};
	vk_autobuf list = VK_BUF_INIT(256);
	size_t known = 0;
	for (size_t i = 0; i < VK_COUNT(statuses); i++) {
		const char *id = json_string_value(json_object_get(pages, statuses[i]));
		if (id == NULL)
			continue;
		vk_autofree char *page = vk_asprintf("%s:%s", statuses[i], id);
		if (!table_page_ok(page))
			break;
		vk_buf_addf(&list, "%s%s", known++ > 0 ? " " : "", page);
	}
	if (known != json_object_size(pages) || (pages != NULL && !json_is_object(pages)))
		return vk_err_set(err, VK_INVALID, "pages of node %s are not valid", node->name);
	node->pages = known > 0 ? vk_buf_take(&list) : NULL;
	return 0;
}

static int parse_backend(
	const json_t *b, const char *host, struct table_node *node, struct vk_err *err)
{
	int64_t canary = vk_json_int(b, "canary", 0);
	if (canary < 0 || canary > 99)
		return vk_err_set(
			err, VK_INVALID, "canary of node %s is no percentage", node->name);
	node->canary = (unsigned)canary;
	node->h2 = vk_json_bool(b, "h2", false);
	int rc = parse_pages(json_object_get(b, "pages"), node, err);
	if (rc != 0)
		return rc;
	return parse_servers(json_object_get(b, "servers"), host, node, err);
}

static int parse_backends(
	const json_t *backends, const char *host, struct table_stack *s, struct vk_err *err)
{
	const char *name;
	json_t *b;
	if (backends != NULL && !json_is_object(backends))
		return vk_err_set(err, VK_INVALID, "backends is no object");
	json_object_foreach((json_t *)(uintptr_t)backends, name, b)
	{
		int rc = table_backend_name(name, err);
		if (rc == 0)
			rc = parse_backend(b, host, add_node(s, name), err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int parse_sites(const json_t *sites, struct table_stack *s, struct vk_err *err)
{
	size_t i;
	json_t *v;
	if (sites != NULL && !json_is_array(sites))
		return vk_err_set(err, VK_INVALID, "sites is no list");
	json_array_foreach(sites, i, v)
	{
		const char *name = json_string_value(v);
		int rc = vk_node_name(name, err);
		if (rc != 0)
			return rc;
		struct table_node *node = table_node(s, name);
		if (node == NULL)
			node = add_node(s, name);
		node->site = true;
	}
	return 0;
}

/* "/api/v1": segments of plain letters, none of them a dot or two; *ret_depth says how many. */
static bool path_ok(const char *path, unsigned *ret_depth)
{
	*ret_depth = 0;
	if (strlen(path) > TABLE_PATH_MAX)
		return false;
	for (const char *at = path; *at != '\0'; (*ret_depth)++) {
		size_t n = strcspn(at + 1, "/");
		if (*at != '/' || n == 0 || strspn(at + 1, PATH_BYTES) != n ||
			(n <= 2 && strspn(at + 1, ".") >= n))
			return false;
		at += 1 + n;
	}
	return true;
}

/* "a.com", "*.b.com/api" */
static int parse_place(
	const char *text, struct table_domain *d, unsigned *ret_depth, struct vk_err *err)
{
	char domain[VK_DOMAIN_MAX + 1];
	const char *slash = strchrnul(text, '/');
	vk_autofree char *host = vk_strndup(text, (size_t)(slash - text));
	int rc = vk_domain(host, true, domain, err);
	if (rc != 0)
		return rc;
	if (!path_ok(slash, ret_depth))
		return vk_err_set(err, VK_INVALID, "the path below domain %s is not valid", domain);
	d->key = vk_strdup(vk_starts(domain, "*.") ? domain + 1 : domain);
	d->path = vk_strdup(slash);
	return 0;
}

/* Its own, and the number the stack is watched under; NULL without either. Whom a hold is for is a part of it: requests wait
 * until their policy is gone, and another's may be the same. */
static json_t *domain_policy(const json_t *value, const struct table_stack *s, const char *to)
{
	json_t *own = json_object_get(value, "policy");
	bool hold = json_object_get(own, "hold_ms") != NULL;
	if ((s->watch == 0 && !hold) || (own != NULL && !json_is_object(own)))
		return json_incref(own);
	json_t *policy = own != NULL ? json_copy(own) : json_object();
	if (s->watch != 0)
		json_object_set_new(policy, "watch", json_integer(s->watch));
	if (hold)
		json_object_set_new(
			policy, "held", json_sprintf("%s/%s", s->name, to != NULL ? to : ""));
	return policy;
}

/* "web", or {"to": "web:8080", "policy": {..}} */
static int parse_domain(
	const char *text, const json_t *value, struct table_stack *s, struct vk_err *err)
{
	struct table_domain d = {0};
	unsigned depth;
	const char *name =
		json_is_object(value) ? vk_json_str(value, "to", NULL) : json_string_value(value);
	vk_autojson *policy = domain_policy(value, s, name);
	int rc = parse_place(text, &d, &depth, err);
	if (rc == 0)
		rc = table_backend_name(name, err);
	if (rc == 0 && table_front(name) != 0)
		rc = vk_err_set(err, VK_INVALID, "domain %s leads to a TCP service", text);
	if (rc == 0 && policy != NULL && (rc = policy_parse(policy, depth, &d.policy, err)) != 0)
		vk_err_wrap(err, "%s", text);
	if (rc != 0) {
		table_domain_release(&d);
		return rc;
	}
	struct table_node *node = table_node(s, name);
	if (node == NULL) /* a domain of a node without any instance: answered by the 503 page */
		node = add_node(s, name);
	d.node = (size_t)(node - s->nodes);
	s->paths = s->paths || d.path[0] != '\0';
	s->domains[s->n_domains++] = d;
	return 0;
}

static int parse_cert(const char *id, const json_t *names, struct table_cert *c, struct vk_err *err)
{
	vk_autobuf list = VK_BUF_INIT(CERT_NAMES_MAX * (VK_DOMAIN_MAX + 1));
	size_t i;
	json_t *v;
	if (strlen(id) != POLICY_ID_SIZE - 1 ||
		strspn(id, "0123456789abcdef") != POLICY_ID_SIZE - 1)
		return vk_err_set(err, VK_INVALID, "a certificate has no valid id");
	if (json_array_size(names) < 1 || json_array_size(names) > CERT_NAMES_MAX)
		return vk_err_set(err, VK_INVALID, "a certificate has no names, or too many");
	json_array_foreach(names, i, v)
	{
		char domain[VK_DOMAIN_MAX + 1];
		int rc = vk_domain(json_string_value(v), true, domain, err);
		if (rc != 0)
			return rc;
		vk_buf_addf(&list, "%s%s", i > 0 ? "," : "", domain);
	}
	memcpy(c->id, id, POLICY_ID_SIZE);
	c->names = vk_buf_take(&list);
	return 0;
}

static int parse_certs(const json_t *certs, struct table_stack *s, struct vk_err *err)
{
	const char *id;
	json_t *names;
	if (certs != NULL && !json_is_object(certs))
		return vk_err_set(err, VK_INVALID, "certs is no object");
	s->certs = vk_calloc(json_object_size(certs) + 1, sizeof(*s->certs));
	json_object_foreach((json_t *)(uintptr_t)certs, id, names)
	{
		int rc = parse_cert(id, names, &s->certs[s->n_certs], err);
		if (rc != 0)
			return rc;
		s->n_certs++;
	}
	return 0;
}

int table_stack_parse(const char *name, const json_t *j, const char *host, struct table_stack *s,
	struct vk_err *err)
{
	const char *domain;
	json_t *node, *domains = json_object_get(j, "domains");
	int rc = vk_stack_name(name, err);
	if (rc != 0)
		return rc;
	s->name = vk_strdup(name);
	if (!json_is_object(j) || (domains != NULL && !json_is_object(domains)))
		return vk_err_set(err, VK_INVALID, "the entry is not of the form that was agreed");
	int64_t watch = vk_json_int(j, "watch", 0);
	if (watch < 0 || watch > INT32_MAX)
		return vk_err_set(err, VK_INVALID, "watch is out of range");
	s->watch = (unsigned)watch;
	if ((rc = parse_backends(json_object_get(j, "backends"), host, s, err)) != 0 ||
		(rc = parse_sites(json_object_get(j, "sites"), s, err)) != 0 ||
		(rc = parse_certs(json_object_get(j, "certs"), s, err)) != 0)
		return rc;
	s->domains = vk_calloc(json_object_size(domains) + 1, sizeof(*s->domains));
	json_object_foreach(domains, domain,
		node) if ((rc = parse_domain(domain, node, s, err)) != 0) return rc;
	return 0;
}

static void add_challenge(struct table *t, const char *key, const char *value)
{
	t->challenges = vk_reallocarray(t->challenges, t->n_challenges + 1, sizeof(*t->challenges));
	t->challenges[t->n_challenges++] =
		(struct table_challenge){vk_strdup(key), vk_strdup(value)};
}

/* base64url, and for the answer a dot: RFC 8555 8.1. */
static bool challenge_ok(const char *text, const char *bytes)
{
	return text != NULL && text[0] != '\0' && strlen(text) <= CHALLENGE_MAX &&
		text[strspn(text, bytes)] == '\0';
}

/* {"a.com": {TOKEN: ANSWER}}; what is none is left out, and its order fails at the authority. */
static void parse_challenges(const json_t *all, struct table *t)
{
	const char *host, *token;
	json_t *of, *v;
	char domain[VK_DOMAIN_MAX + 1];
	json_object_foreach((json_t *)(uintptr_t)all, host, of)
	{
		if (vk_domain(host, false, domain, NULL) != 0)
			continue;
		add_challenge(t, domain, "1");
		json_object_foreach(of, token, v)
		{
			const char *answer = json_string_value(v);
			if (!challenge_ok(token, BASE64URL) || !challenge_ok(answer, BASE64URL "."))
				continue;
			vk_autofree char *key = vk_asprintf("%s" ACME_PATH "%s", domain, token);
			add_challenge(t, key, answer);
		}
	}
}

int table_parse(const json_t *doc, const char *host, struct table **ret, struct faults *faults,
	struct vk_err *err)
{
	const char *name, *files = vk_json_str(doc, "files", "");
	json_t *j, *stacks = json_object_get(doc, "stacks");
	if (!json_is_integer(json_object_get(doc, "rev")) || !json_is_object(stacks))
		return vk_err_set(err, VK_INVALID, "the table has no rev or no stacks");
	if (files[0] != '\0' && !vk_is_host(files))
		return vk_err_set(err, VK_INVALID, "the host of the files has no name");
	struct table *t = vk_alloc(sizeof(*t));
	t->rev = vk_json_int(doc, "rev", 0);
	if (!vk_streq(files, host))
		snprintf(t->files, sizeof(t->files), "%s", files);
	t->stacks = vk_calloc(json_object_size(stacks) + 1, sizeof(*t->stacks));
	json_object_foreach(stacks, name, j)
	{
		struct vk_err why = {0};
		if (table_stack_parse(name, j, host, &t->stacks[t->n], &why) == 0) {
			t->n++;
			continue;
		}
		table_stack_release(&t->stacks[t->n]);
		faults_add(faults, name, why.msg);
	}
	table_sort(t);
	parse_challenges(json_object_get(doc, "challenges"), t);
	*ret = t;
	return 0;
}
