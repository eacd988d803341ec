/* Domains of stacks, their owners, and other names that must be unique. */
#include "domains.h"

#include <string.h>
#include <viking/str.h>

#include "certs.h"

/* As resolve_web_node, from entries. */
const char *domains_web(const json_t *entries)
{
	if (json_object_get(entries, "web") != NULL)
		return "web";
	const char *found = NULL, *name;
	json_t *entry;
	json_object_foreach((json_t *)(uintptr_t)entries, name, entry)
	{
		if (vk_json_int(entry, "port", 0) == 0 &&
			strcmp(vk_json_str(entry, "type", "app"), "website") != 0)
			continue;
		if (found != NULL)
			return NULL;
		found = name;
	}
	return found;
}

/* Both are hosts of n bytes; "*.b.com" covers what is longer than ".b.com" and ends with it. */
static bool covers(const char *wildcard, size_t n, const char *name, size_t n_name)
{
	return vk_starts(wildcard, "*.") && n_name > n - 1 &&
		memcmp(name + n_name - (n - 1), wildcard + 1, n - 1) == 0 &&
		(n_name != n || memcmp(name, wildcard, n) != 0);
}

static size_t host_length(const char *place)
{
	return strcspn(place, "/");
}

char *domains_host(const char *place)
{
	return vk_strndup(place, host_length(place));
}

bool domains_clash(const char *a, const char *b)
{
	size_t x = host_length(a), y = host_length(b);
	return (x == y && memcmp(a, b, x) == 0) || covers(a, x, b, y) || covers(b, y, a, x);
}

char *domains_default(const char *stack, const char *base_domain)
{
	bool has = base_domain != NULL && base_domain[0] != '\0';
	return vk_asprintf("%s.%s", stack, has ? base_domain : "localhost");
}

char *domains_namesake(const char *domain, const char *base_domain)
{
	bool has = base_domain != NULL && base_domain[0] != '\0';
	const char *base = has ? base_domain : "localhost";
	const char *name = vk_starts(domain, "*.") ? domain + 2 : domain;
	if (strcmp(name, base) == 0)
		return vk_strdup("");
	size_t n = strlen(name), tail = strlen(base) + 1;
	if (n <= tail || name[n - tail] != '.' || !vk_ends(name, base))
		return NULL;
	vk_autofree char *labels = vk_strndup(name, n - tail);
	const char *dot = strrchr(labels, '.');
	return vk_strdup(dot != NULL ? dot + 1 : labels);
}

static void domain_put(json_t *domains, const char *domain, const char *node, const char *from)
{
	if (json_object_get(domains, domain) == NULL)
		json_object_set_new(
			domains, domain, json_pack("{s:s,s:s}", "node", node, "from", from));
}

/* Manifest and command domains: those that do not yield. */
static json_t *domains_explicit(
	const struct state *st, const struct stack *sk, const json_t *entries)
{
	json_t *domains = json_object();
	const struct domain_row *row;
	owned_each(&st->owned, i, sk->name, row)
		domain_put(domains, row->name, row->node, "command");
	const char *node;
	json_t *entry;
	json_object_foreach((json_t *)(uintptr_t)entries, node, entry)
	{
		size_t i;
		json_t *d;
		json_array_foreach(json_object_get(entry, "domains"), i, d) if (json_is_string(d))
			domain_put(domains, json_string_value(d), node, "manifest");
	}
	return domains;
}

static bool list_clashes(const json_t *list, const char *domain)
{
	size_t i;
	json_t *d;
	json_array_foreach(list, i, d) if (json_is_string(d) &&
		domains_clash(json_string_value(d), domain)) return true;
	return false;
}

/* By manifest: of the serving release, or claimed by a deploy. */
static bool manifest_clash(const struct stack *sk, const char *domain)
{
	const struct release *r = stack_current(sk);
	const struct overlay *o = stack_overlay(sk);
	const char *node;
	json_t *entry;
	json_object_foreach(r != NULL ? r->nodes : NULL, node,
		entry) if (list_clashes(json_object_get(entry, "domains"), domain)) return true;
	return list_clashes(json_object_get(o != NULL ? o->claims : NULL, "domains"), domain);
}

static bool others(const struct state *st, const struct domain_row *row, const char *stack)
{
	return row != NULL && strcmp(row->stack, stack) != 0 && state_stack(st, row->stack) != NULL;
}

/* The stack that has the host itself, or paths of it, by command. */
static const char *host_owner(const struct state *st, const char *stack, const char *host)
{
	vk_autofree char *path = vk_asprintf("%s/", host);
	const struct domain_row *row = table_get(&st->domains, host);
	for (size_t i = table_from(&st->domains, path);; i++) {
		if (others(st, row, stack))
			return row->stack;
		row = i < st->domains.n ? st->domains.row[i] : NULL;
		if (row == NULL || !vk_starts(row->name, path))
			return NULL;
	}
}

/* By command: the host itself, wildcards above it, and, for one that is a wildcard, all names below. */
static const char *command_owner(const struct state *st, const char *stack, const char *domain)
{
	vk_autofree char *host = domains_host(domain);
	const struct domain_row *row;
	const char *owner = host_owner(st, stack, host);
	for (const char *dot = strchr(host, '.'); dot != NULL && owner == NULL;
		dot = strchr(dot + 1, '.')) {
		vk_autofree char *above = vk_asprintf("*%s", dot);
		owner = strcmp(above, host) != 0 ? host_owner(st, stack, above) : NULL;
	}
	if (owner == NULL && vk_starts(host, "*."))
		table_each(&st->domains, i, row) if (others(st, row, stack) &&
			domains_clash(row->name, host)) return row->stack;
	return owner;
}

static const char *explicit_owner(const struct state *st, const char *stack, const char *domain)
{
	const char *owner = command_owner(st, stack, domain);
	struct stack *sk;
	table_each(&st->stacks, i, sk) if (owner == NULL && sk->exists &&
		strcmp(sk->name, stack) != 0 && manifest_clash(sk, domain)) owner = sk->name;
	return owner;
}

static void claim(json_t *claimed, const char *stack, const json_t *list)
{
	size_t i;
	json_t *d;
	json_array_foreach(list, i, d)
	{
		vk_autofree char *host =
			domains_host(json_is_string(d) ? json_string_value(d) : "");
		const char *by = vk_json_str(claimed, host, NULL);
		if (by == NULL || strcmp(by, stack) != 0)
			json_object_set_new(claimed, host, json_string(by == NULL ? stack : ""));
	}
}

static json_t *claimed_hosts(const struct state *st)
{
	json_t *claimed = json_object(), *entry;
	const struct stack *sk;
	const char *node;
	table_each(&st->stacks, k, sk)
	{
		const struct release *r = stack_current(sk);
		const struct overlay *o = stack_overlay(sk);
		if (!sk->exists)
			continue;
		json_object_foreach(r != NULL ? r->nodes : NULL, node, entry)
			claim(claimed, sk->name, json_object_get(entry, "domains"));
		claim(claimed, sk->name, json_object_get(o != NULL ? o->claims : NULL, "domains"));
	}
	return claimed;
}

static bool claimed_by_other(const json_t *claimed, const char *stack, const char *host)
{
	return strcmp(vk_json_str(claimed, host, stack), stack) != 0;
}

/* Does another stack have the host of a default domain, or what covers it? */
static bool default_yields(
	const struct state *st, const char *stack, const char *host, json_t **claimed)
{
	if (claimed == NULL)
		return explicit_owner(st, stack, host) != NULL;
	if (*claimed == NULL)
		*claimed = claimed_hosts(st);
	bool yields =
		claimed_by_other(*claimed, stack, host) || command_owner(st, stack, host) != NULL;
	for (const char *dot = strchr(host, '.'); dot != NULL && !yields;
		dot = strchr(dot + 1, '.')) {
		vk_autofree char *above = vk_asprintf("*%s", dot);
		yields = claimed_by_other(*claimed, stack, above);
	}
	return yields;
}

json_t *domains_of(const struct state *st, const struct stack *sk, const json_t *entries,
	const char *base_domain)
{
	return domains_among(st, sk, entries, base_domain, NULL);
}

json_t *domains_among(const struct state *st, const struct stack *sk, const json_t *entries,
	const char *base_domain, json_t **claimed)
{
	const struct release *r = stack_current(sk);
	if (entries == NULL && r != NULL)
		entries = r->nodes;
	json_t *domains = domains_explicit(st, sk, entries);
	const char *web = domains_web(entries), *name;
	json_t *value;
	json_object_foreach(domains, name,
		value) if (strcmp(vk_json_str(value, "from", ""), "manifest") == 0) return domains;
	vk_autofree char *dflt = domains_default(sk->name, base_domain);
	if (web != NULL && !default_yields(st, sk->name, dflt, claimed))
		domain_put(domains, dflt, web, "default");
	return domains;
}

static bool default_clash(
	const struct state *st, const struct stack *sk, const char *domain, const char *base_domain)
{
	if (stack_current(sk) == NULL)
		return false;
	vk_autojson *domains = domains_of(st, sk, NULL, base_domain);
	const char *name;
	json_t *value;
	json_object_foreach(domains, name, value) if (domains_clash(name, domain)) return true;
	return false;
}

const char *domains_owner(
	const struct state *st, const char *stack, const char *domain, const char *base_domain)
{
	const char *owner = explicit_owner(st, stack, domain);
	if (owner != NULL)
		return owner;
	struct stack *sk;
	table_each(&st->stacks, i, sk) if (sk->exists && strcmp(sk->name, stack) != 0 &&
		default_clash(st, sk, domain, base_domain)) return sk->name;
	return NULL;
}

static bool list_has(const json_t *list, const char *text)
{
	size_t i;
	json_t *value;
	json_array_foreach(list, i, value) if (json_is_string(value) &&
		strcmp(json_string_value(value), text) == 0) return true;
	return false;
}

/* Is "5432/tcp" a port of the host that leads to the node? */
static bool has_front(const json_t *entry, const char *port)
{
	size_t i;
	json_t *tcp;
	json_array_foreach(json_object_get(entry, "tcp"), i, tcp)
	{
		vk_autofree char *text =
			vk_asprintf("%lld/tcp", (long long)vk_json_int(tcp, "front", 0));
		if (strcmp(text, port) == 0)
			return true;
	}
	return false;
}

static bool stack_publishes(const struct stack *sk, const char *port)
{
	const struct overlay *o = stack_overlay(sk);
	if (o != NULL && list_has(json_object_get(o->claims, "publish"), port))
		return true;
	const struct release *r = stack_current(sk);
	const char *node;
	json_t *entry;
	json_object_foreach(r != NULL ? r->nodes : NULL, node,
		entry) if (list_has(json_object_get(entry, "publish"), port) ||
		has_front(entry, port)) return true;
	return false;
}

const char *publish_owner(const struct state *st, const char *stack, const char *port)
{
	struct stack *sk;
	table_each(&st->stacks, i, sk) if (sk->exists && strcmp(sk->name, stack) != 0 &&
		stack_publishes(sk, port)) return sk->name;
	return NULL;
}

/* Node of the other stack whose instances would be named like ours, or NULL. */
static const char *name_clash(const struct stack *other, const char *stack, const char *node)
{
	const struct release *r = stack_current(other);
	vk_autofree char *mine = vk_asprintf("%s-%s", stack, node);
	size_t n = strlen(other->name);
	if (r == NULL || strncmp(mine, other->name, n) != 0 || mine[n] != '-')
		return NULL;
	return json_object_get(r->nodes, mine + n + 1) != NULL
		? json_object_iter_key(json_object_iter_at(r->nodes, mine + n + 1))
		: NULL;
}

int names_check(const struct state *st, const struct caller *c, const char *stack,
	const json_t *doc, struct vk_err *err)
{
	const char *node;
	json_t *value;
	json_object_foreach(json_object_get(doc, "nodes"), node, value)
	{
		struct stack *sk;
		table_each(&st->stacks, i, sk)
		{
			if (!sk->exists || strcmp(sk->name, stack) == 0)
				continue;
			const char *theirs = name_clash(sk, stack, node);
			if (theirs != NULL && !rights_sees(c, sk->name))
				return vk_err_set(err, VK_CONFLICT,
					"node %s of %s would have containers of the same name as "
					"another stack's: give it another name",
					node, stack);
			if (theirs != NULL)
				return vk_err_set(err, VK_CONFLICT,
					"node %s of %s and node %s of %s would have containers of "
					"the same name",
					node, stack, theirs, sk->name);
		}
	}
	return 0;
}

void domains_take_idle(const struct stack *sk, json_t *domains, struct vk_strv *ret)
{
	const struct release *r = stack_current(sk);
	const char *name;
	json_t *value;
	void *next;
	json_object_foreach_safe(domains, next, name, value)
	{
		const char *node = vk_json_str(value, "node", "");
		const json_t *entry = json_object_get(r != NULL ? r->nodes : NULL, node);
		if (entry == NULL || strcmp(vk_json_str(entry, "type", "app"), "app") != 0 ||
			stack_scale(sk, node, entry) > 0)
			continue;
		if (!vk_strv_has(ret, node))
			vk_strv_add(ret, node);
		json_object_del(domains, name);
	}
}

void domains_urls(const json_t *domains, const json_t *shown, uint64_t http_port,
	uint64_t https_port, struct vk_strv *ret)
{
	const char *place;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)domains, place, value)
	{
		if (vk_starts(place, "*."))
			continue;
		size_t n = strcspn(place, "/");
		bool tls = https_port != 0 && certs_cover(shown, place, n);
		uint64_t port = tls ? https_port : http_port;
		vk_autofree char *at = port == (tls ? 443 : 80)
			? vk_strdup("")
			: vk_asprintf(":%llu", (unsigned long long)port);
		vk_strv_addf(
			ret, "http%s://%.*s%s%s/", tls ? "s" : "", (int)n, place, at, place + n);
	}
}
