#include "table.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#define CHALLENGE_MAX 512
#define BASE64URL     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#define ID_MAX        200
#define PATH_BYTES    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-"

void faults_add(struct faults *f, const char *stack, const char *message)
{
	if (faults_has(f, stack))
		return;
	f->v = vk_reallocarray(f->v, f->n + 1, sizeof(*f->v));
	f->v[f->n++] = (struct fault){vk_strdup(stack), vk_strdup(message)};
}

bool faults_has(const struct faults *f, const char *stack)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].stack, stack) == 0)
			return true;
	return false;
}

void faults_release(struct faults *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].stack);
		free(f->v[i].message);
	}
	free(f->v);
	*f = (struct faults){0};
}

static void domain_release(struct table_domain *d)
{
	free(d->key);
	free(d->path);
	policy_free(d->policy);
}

static void stack_release(struct table_stack *s)
{
	for (size_t i = 0; i < s->n_nodes; i++) {
		for (size_t k = 0; k < s->nodes[i].n; k++)
			free(s->nodes[i].servers[k].id);
		free(s->nodes[i].servers);
		free(s->nodes[i].name);
		free(s->nodes[i].pages);
	}
	for (size_t i = 0; i < s->n_domains; i++)
		domain_release(&s->domains[i]);
	for (size_t i = 0; i < s->n_certs; i++)
		free(s->certs[i].names);
	for (size_t i = 0; i < s->n_held; i++)
		free(s->held[i].names);
	free(s->held);
	free(s->certs);
	free(s->nodes);
	free(s->domains);
	free(s->name);
	*s = (struct table_stack){0};
}

void table_free(struct table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++)
		stack_release(&t->stacks[i]);
	for (size_t i = 0; i < t->n_challenges; i++) {
		free(t->challenges[i].key);
		free(t->challenges[i].value);
	}
	free(t->challenges);
	free(t->stacks);
	free(t);
}

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

static int parse_server(const json_t *j, struct table_server *s, struct vk_err *err)
{
	const char *id = vk_json_str(j, "id", NULL), *state = vk_json_str(j, "state", "ready");
	int64_t port = vk_json_int(j, "port", 0);
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
	int rc = check_addr(vk_json_str(j, "addr", NULL), s->addr, err);
	if (rc != 0)
		return vk_err_wrap(err, "%s", id);
	s->id = vk_strdup(id);
	s->port = (uint16_t)port;
	s->state = is;
	return 0;
}

static int parse_servers(const json_t *list, struct table_node *node, struct vk_err *err)
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
		int rc = parse_server(json_array_get(list, i), s, err);
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

int table_backend_name(const char *name, struct vk_err *err)
{
	const char *colon = name != NULL ? strpbrk(name, ":@") : NULL;
	uint64_t port;
	if (colon == NULL)
		return vk_node_name(name, err);
	vk_autofree char *node = vk_strndup(name, (size_t)(colon - name));
	if (colon[1] == '0' || vk_parse_u64(colon + 1, 1, 65535, &port) != 0)
		return vk_err_set(err, VK_INVALID, "a backend's port is out of range");
	return vk_node_name(node, err);
}

uint16_t table_front(const char *name)
{
	const char *at = strchr(name, '@');
	uint64_t port;
	return at != NULL && vk_parse_u64(at + 1, 1, 65535, &port) == 0 ? (uint16_t)port : 0;
}

static struct table_node *add_node(struct table_stack *s, const char *name)
{
	s->nodes = vk_reallocarray(s->nodes, s->n_nodes + 1, sizeof(*s->nodes));
	struct table_node *node = &s->nodes[s->n_nodes++];
	*node = (struct table_node){.name = vk_strdup(name)};
	return node;
}

static struct table_node *find_node(const struct table_stack *s, const char *name)
{
	for (size_t i = 0; i < s->n_nodes; i++)
		if (strcmp(s->nodes[i].name, name) == 0)
			return &s->nodes[i];
	return NULL;
}

bool table_page_ok(const char *page)
{
	static const char hex[] = "0123456789abcdef";
	return (vk_starts(page, "502:") || vk_starts(page, "503:") || vk_starts(page, "504:")) &&
		strspn(page + 4, hex) == POLICY_ID_SIZE - 1 && page[4 + POLICY_ID_SIZE - 1] == '\0';
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

static int parse_backend(const json_t *b, struct table_node *node, struct vk_err *err)
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
	return parse_servers(json_object_get(b, "servers"), node, err);
}

static int parse_backends(const json_t *backends, struct table_stack *s, struct vk_err *err)
{
	const char *name;
	json_t *b;
	if (backends != NULL && !json_is_object(backends))
		return vk_err_set(err, VK_INVALID, "backends is no object");
	json_object_foreach((json_t *)(uintptr_t)backends, name, b)
	{
		int rc = table_backend_name(name, err);
		if (rc == 0)
			rc = parse_backend(b, add_node(s, name), err);
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
		struct table_node *node = find_node(s, name);
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

/* Its own, and the number the stack is watched under; NULL without either. */
static json_t *domain_policy(const json_t *value, unsigned watch)
{
	json_t *own = json_object_get(value, "policy");
	if (watch == 0 || (own != NULL && !json_is_object(own)))
		return json_incref(own);
	json_t *policy = own != NULL ? json_copy(own) : json_object();
	json_object_set_new(policy, "watch", json_integer(watch));
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
	vk_autojson *policy = domain_policy(value, s->watch);
	int rc = parse_place(text, &d, &depth, err);
	if (rc == 0)
		rc = table_backend_name(name, err);
	if (rc == 0 && table_front(name) != 0)
		rc = vk_err_set(err, VK_INVALID, "domain %s leads to a TCP service", text);
	if (rc == 0 && policy != NULL && (rc = policy_parse(policy, depth, &d.policy, err)) != 0)
		vk_err_wrap(err, "%s", text);
	if (rc != 0) {
		domain_release(&d);
		return rc;
	}
	struct table_node *node = find_node(s, name);
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

static int parse_stack(const char *name, const json_t *j, struct table_stack *s, struct vk_err *err)
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
	if ((rc = parse_backends(json_object_get(j, "backends"), s, err)) != 0 ||
		(rc = parse_sites(json_object_get(j, "sites"), s, err)) != 0 ||
		(rc = parse_certs(json_object_get(j, "certs"), s, err)) != 0)
		return rc;
	s->domains = vk_calloc(json_object_size(domains) + 1, sizeof(*s->domains));
	json_object_foreach(domains, domain,
		node) if ((rc = parse_domain(domain, node, s, err)) != 0) return rc;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct table_stack *)a)->name, ((const struct table_stack *)b)->name);
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

int table_parse(const json_t *doc, struct table **ret, struct faults *faults, struct vk_err *err)
{
	const char *name;
	json_t *j, *stacks = json_object_get(doc, "stacks");
	if (!json_is_integer(json_object_get(doc, "rev")) || !json_is_object(stacks))
		return vk_err_set(err, VK_INVALID, "the table has no rev or no stacks");
	struct table *t = vk_alloc(sizeof(*t));
	t->rev = vk_json_int(doc, "rev", 0);
	t->stacks = vk_calloc(json_object_size(stacks) + 1, sizeof(*t->stacks));
	json_object_foreach(stacks, name, j)
	{
		struct vk_err why = {0};
		if (parse_stack(name, j, &t->stacks[t->n], &why) == 0) {
			t->n++;
			continue;
		}
		stack_release(&t->stacks[t->n]);
		faults_add(faults, name, why.msg);
	}
	if (t->n > 1)
		qsort(t->stacks, t->n, sizeof(*t->stacks), by_name);
	parse_challenges(json_object_get(doc, "challenges"), t);
	*ret = t;
	return 0;
}

bool table_node_needs_backend(const struct table_node *node)
{
	return !node->site || node->n > 0;
}

struct table_stack *table_find(const struct table *t, const char *stack)
{
	struct table_stack key = {.name = (char *)(uintptr_t)stack};
	if (t == NULL || t->n == 0)
		return NULL;
	return bsearch(&key, t->stacks, t->n, sizeof(*t->stacks), by_name);
}

void table_revert(struct table *t, struct table *old, const char *stack)
{
	struct table_stack *now = table_find(t, stack), *before = table_find(old, stack);
	if (now != NULL) {
		size_t i = (size_t)(now - t->stacks);
		stack_release(now);
		memmove(now, now + 1, (t->n - i - 1) * sizeof(*now));
		t->n--;
	}
	if (before == NULL)
		return;
	t->stacks = vk_reallocarray(t->stacks, t->n + 1, sizeof(*t->stacks));
	t->stacks[t->n] = *before;
	t->stacks[t->n++].kept = true;
	size_t i = (size_t)(before - old->stacks);
	memmove(before, before + 1, (old->n - i - 1) * sizeof(*before));
	old->n--;
	qsort(t->stacks, t->n, sizeof(*t->stacks), by_name);
}

struct claim {
	const char *key, *path;
	size_t stack, domain; /* indexes */
};

static int by_domain(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int c = strcmp(x->key, y->key);
	if (c == 0)
		c = x->stack < y->stack ? -1 : x->stack > y->stack;
	return c != 0 ? c : strcmp(x->path, y->path);
}

static struct claim *claims_of(const struct table *t, size_t *ret_n)
{
	size_t n = 0;
	for (size_t i = 0; i < t->n; i++)
		n += t->stacks[i].n_domains;
	struct claim *c = vk_calloc(n + 1, sizeof(*c));
	*ret_n = 0;
	for (size_t i = 0; i < t->n; i++)
		for (size_t d = 0; d < t->stacks[i].n_domains; d++)
			c[(*ret_n)++] = (struct claim){
				t->stacks[i].domains[d].key, t->stacks[i].domains[d].path, i, d};
	if (n > 1)
		qsort(c, n, sizeof(*c), by_domain);
	return c;
}

static bool owned_before(const struct table *old, const char *stack, const char *key)
{
	const struct table_stack *s = table_find(old, stack);
	for (size_t i = 0; s != NULL && i < s->n_domains; i++)
		if (strcmp(s->domains[i].key, key) == 0)
			return true;
	return false;
}

/* The one of two claimants that gives way: an entry of an earlier table, then who did not have it.
 * */
static const struct claim *loser(const struct table *t, const struct table *old,
	const struct claim *a, const struct claim *b)
{
	const struct table_stack *x = &t->stacks[a->stack], *y = &t->stacks[b->stack];
	if (x->kept != y->kept)
		return x->kept ? a : b;
	if (owned_before(old, y->name, b->key) && !owned_before(old, x->name, a->key))
		return a;
	return b;
}

static void drop_lost(struct table_stack *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n_domains; i++) {
		if (s->domains[i].lost)
			domain_release(&s->domains[i]);
		else
			s->domains[n++] = s->domains[i];
	}
	s->n_domains = n;
}

static void lose(
	struct table *t, const struct claim *lost, const struct claim *won, struct faults *faults)
{
	struct table_stack *s = &t->stacks[lost->stack];
	const char *star = lost->key[0] == '.' ? "*" : "";
	vk_autofree char *why = lost->stack == won->stack
		? vk_asprintf("domain %s%s is listed twice", star, lost->key)
		: vk_asprintf("domain %s%s belongs to stack %s", star, lost->key,
			  t->stacks[won->stack].name);
	faults_add(faults, s->name, why);
	s->domains[lost->domain].lost = true;
}

/* Settles the claims of one host, c[0] .. c[n - 1]: it belongs to one stack, and each path in it once.
 * True if one gave way. */
static bool settle_domain(struct table *t, const struct table *old, const struct claim *c, size_t n,
	struct faults *faults)
{
	const struct claim *won = c;
	bool any = false;
	for (size_t i = 1; i < n; i++)
		if (c[i].stack != won->stack && loser(t, old, won, &c[i]) == won)
			won = &c[i];
	for (size_t i = 0; i < n; i++) {
		bool again = i > 0 && c[i].stack == c[i - 1].stack &&
			strcmp(c[i].path, c[i - 1].path) == 0;
		if (c[i].stack == won->stack && !again)
			continue;
		lose(t, &c[i], won, faults);
		any = true;
	}
	return any;
}

/* Marks who gives way in every clash; true if there was one. */
static bool mark_lost(struct table *t, const struct table *old, struct faults *faults)
{
	size_t n;
	bool any = false;
	vk_autofree struct claim *c = claims_of(t, &n);
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && strcmp(c[i].key, c[k].key) == 0; k++)
			;
		if (k > i + 1 && settle_domain(t, old, &c[i], k - i, faults))
			any = true;
	}
	return any;
}

/* An earlier entry loses only its domain; a new one is replaced by its earlier one as a whole. */
static void give_way(struct table *t, struct table *old)
{
	vk_autostrv names = {0};
	for (size_t i = 0; i < t->n; i++) {
		struct table_stack *s = &t->stacks[i];
		bool lost = false;
		for (size_t d = 0; d < s->n_domains; d++)
			lost = lost || s->domains[d].lost;
		if (lost && s->kept)
			drop_lost(s);
		else if (lost)
			vk_strv_add(&names, s->name);
	}
	for (size_t i = 0; i < names.n; i++)
		table_revert(t, old, names.v[i]);
}

void table_settle(struct table *t, struct table *old, struct faults *faults)
{
	for (size_t i = 0; i < faults->n; i++)
		if (table_find(t, faults->v[i].stack) == NULL)
			table_revert(t, old, faults->v[i].stack);
	while (mark_lost(t, old, faults))
		give_way(t, old);
}
