/* Backends, domains and sites of every stack. */
#include "routes.h"

#include <string.h>
#include <viking/str.h>

#include "acme.h"
#include "certs.h"
#include "receipts.h"

const json_t *routes_entries(const struct stack *sk)
{
	const struct overlay *o = stack_overlay(sk);
	if (o != NULL && o->all_stop)
		return NULL;
	if (o != NULL && o->switched && o->release != NULL && o->trial == NULL)
		return o->release->nodes;
	const struct release *r = stack_current(sk);
	return r != NULL ? r->nodes : NULL;
}

/* The routed port of an instance: of its own version's entry, wherever that stands. */
static int inst_port(const struct stack *sk, const struct inst *i)
{
	const struct overlay *o = stack_overlay(sk);
	const struct release *at[] = {
		o != NULL ? o->release : NULL, stack_current(sk), stack_release(sk, i->born)};
	for (size_t k = 0; k < VK_COUNT(at); k++) {
		const json_t *entry = at[k] != NULL ? json_object_get(at[k]->nodes, i->node) : NULL;
		if (entry != NULL && vk_json_int(entry, "version", 0) == i->version)
			return (int)vk_json_int(entry, "port", 0);
	}
	return 0;
}

/* An instance as a server of several backends; NULL: the backend only is made. */
struct server {
	const struct inst *i;
	struct inst_addr at;
	const char *state;
};

static void backend_add(json_t *backends, const char *node, const struct server *s, int port)
{
	json_t *backend = json_object_get(backends, node);
	if (backend == NULL) {
		backend = json_pack("{s:[]}", "servers");
		json_object_set_new(backends, node, backend);
	}
	if (s == NULL)
		return;
	json_t *server = json_pack("{s:s,s:s}", "id", s->i->name, "state", s->state);
	inst_addr_put(&s->at, port, server);
	if (s->at.away) /* only for spare_away() */
		json_object_set_new(server, "away", json_true());
	json_array_append_new(json_object_get(backend, "servers"), server);
}

/* Further ports of a node that its domains name: a backend each, "web:9000". */
static void more_ports(
	const json_t *entry, const char *node, const struct server *s, json_t *backends)
{
	const char *place;
	json_t *o, *seen = json_object();
	json_object_foreach(json_object_get(entry, "domain_options"), place, o)
	{
		int port = (int)vk_json_int(o, "port", 0);
		vk_autofree char *name = vk_asprintf("%s:%d", node, port);
		if (port == 0 || port == vk_json_int(entry, "port", 0) ||
			json_object_get(seen, name) != NULL)
			continue;
		json_object_set_new(seen, name, json_true());
		backend_add(backends, name, s, port);
	}
	json_decref(seen);
}

/* A backend for each port of the host that leads to the node. A canary has no part in connections. */
static void tcp_ports(const json_t *entry, const struct server *s, json_t *backends)
{
	size_t at;
	json_t *tcp;
	json_array_foreach(json_object_get(entry, "tcp"), at, tcp)
	{
		vk_autofree char *name =
			vk_asprintf("%s@%lld", s->i->node, (long long)vk_json_int(tcp, "front", 0));
		backend_add(backends, name, s, (int)vk_json_int(tcp, "port", 0));
	}
}

/* Which backends lead to ports of HTTP/2. */
static void mark_h2(const json_t *entry, const char *node, json_t *backends)
{
	size_t i;
	json_t *port;
	json_array_foreach(json_object_get(entry, "h2"), i, port)
	{
		vk_autofree char *name = json_integer_value(port) == vk_json_int(entry, "port", 0)
			? vk_strdup(node)
			: vk_asprintf("%s:%lld", node, (long long)json_integer_value(port));
		json_t *backend = json_object_get(backends, name);
		if (backend != NULL)
			json_object_set_new(backend, "h2", json_true());
	}
}

/* HTTP backends of the node show its pages. */
static void mark_pages(const json_t *entry, const char *node, json_t *backends)
{
	json_t *pages = json_object_get(entry, "pages"), *backend;
	const char *name;
	size_t n = strlen(node);
	json_object_foreach(json_object_size(pages) > 0 ? backends : NULL, name,
		backend) if (strncmp(name, node, n) == 0 && (name[n] == '\0' || name[n] == ':'))
		json_object_set(backend, "pages", pages);
}

static void stack_servers(
	const struct routes_in *in, const struct stack *sk, const json_t *entries, json_t *backends)
{
	struct inst_list list = {0};
	stack_instances(sk, stack_overlay(sk), &list);
	for (size_t k = 0; k < list.n; k++) {
		const struct inst *i = &list.v[k];
		int port = i->route != ROUTE_NONE ? inst_port(sk, i) : 0;
		const json_t *entry = json_object_get(entries, i->node);
		struct server s = {.i = i};
		if (port == 0 || !in->address(in->arg, i->name, &s.at))
			continue;
		s.state = !s.at.healthy           ? "drain"
			: i->route == ROUTE_READY ? "ready"
			: i->route == ROUTE_APART ? "canary"
						  : "drain";
		if (i->route != ROUTE_APART)
			tcp_ports(entry, &s, backends);
		backend_add(backends, i->node, &s, port);
		more_ports(entry, i->node, &s, backends);
	}
	inst_list_release(&list);
}

static bool is_site(const json_t *entries, const char *node)
{
	return strcmp(vk_json_str(json_object_get(entries, node), "type", "app"), "website") == 0;
}

static bool some(const json_t *backend, const char *state)
{
	size_t i;
	json_t *server;
	json_array_foreach(json_object_get(backend, "servers"), i,
		server) if (strcmp(vk_json_str(server, "state", ""), state) == 0) return true;
	return false;
}

/* What a host that does not answer runs gets nothing new as long as others can take it: it is not known to be gone. */
static void spare_away(json_t *backends)
{
	const char *name;
	json_t *backend, *server;
	size_t i;
	json_object_foreach(backends, name, backend)
	{
		bool others = false;
		json_t *servers = json_object_get(backend, "servers");
		json_array_foreach(servers, i, server) others = others ||
			(json_object_get(server, "away") == NULL &&
				strcmp(vk_json_str(server, "state", ""), "ready") == 0);
		json_array_foreach(servers, i, server) if (json_object_del(server, "away") == 0 &&
			others) json_object_set_new(server, "state", json_string("drain"));
	}
}

/* A canary gets its part of the requests as long as there is anyone to get the rest; else all. */
static void split_canaries(const struct stack *sk, json_t *backends)
{
	const struct overlay *o = stack_overlay(sk);
	const json_t *trial = o != NULL && o->switched && o->trial != NULL ? o->trial : sk->canary;
	const char *name;
	json_t *backend, *server;
	size_t i;
	json_object_foreach(backends, name, backend)
	{
		if (!some(backend, "canary"))
			continue;
		if (some(backend, "ready")) {
			json_object_set(backend, "canary", json_object_get(trial, "percent"));
			continue;
		}
		json_array_foreach(json_object_get(backend, "servers"), i,
			server) if (strcmp(vk_json_str(server, "state", ""), "canary") == 0)
			json_object_set_new(server, "state", json_string("ready"));
	}
}

/* While its release task runs, or no instance of the node is ready, a deploy has requests wait where the manifest says so. */
static bool holds(const struct stack *sk, const json_t *backend)
{
	const struct overlay *o = stack_overlay(sk);
	for (size_t i = 0; o != NULL && i < o->fresh.n; i++)
		if (o->fresh.v[i].task)
			return true;
	return o != NULL && !some(backend, "ready");
}

/* What is to be done with requests of a domain: the node's words, the domain's over them, and commands'. */
static json_t *domain_policy(const struct state *st, const struct stack *sk, const json_t *backend,
	const json_t *entry, const json_t *options)
{
	const struct traffic_row *row = table_get(&st->traffic, sk->name);
	json_t *traffic = json_object_get(entry, "traffic");
	json_t *policy = traffic != NULL ? json_copy(traffic) : json_object();
	if (options != NULL)
		json_object_update(policy, (json_t *)(uintptr_t)options);
	json_object_del(policy, "port");
	json_object_del(policy, "tls"); /* acme.h */
	if (row != NULL && row->hold_ms > 0)
		json_object_set_new(policy, "hold_ms", json_integer((json_int_t)row->hold_ms));
	else if (!holds(sk, backend))
		json_object_del(policy, "hold_ms");
	if (json_object_get(backend, "canary") != NULL)
		json_object_set_new(policy, "canary", json_true());
	if (row != NULL && row->maintenance != NULL)
		json_object_set_new(policy, "maintenance", json_string(row->maintenance));
	return policy;
}

static json_t *domain_route(const struct state *st, const struct stack *sk, const json_t *backends,
	const json_t *entry, const char *node, const char *place)
{
	const json_t *options = json_object_get(json_object_get(entry, "domain_options"), place);
	int port = (int)vk_json_int(options, "port", 0);
	vk_autojson *policy =
		domain_policy(st, sk, json_object_get(backends, node), entry, options);
	vk_autofree char *to = port != 0 && port != vk_json_int(entry, "port", 0)
		? vk_asprintf("%s:%d", node, port)
		: vk_strdup(node);
	return json_object_size(policy) == 0 ? json_string(to)
					     : json_pack("{s:s,s:O}", "to", to, "policy", policy);
}

static json_t *stack_certs(const struct state *st, const struct stack *sk, const json_t *domains)
{
	vk_autojson *shown = certs_shown(st, sk->name, domains);
	json_t *certs = json_object(), *one;
	const char *id;
	json_object_foreach(shown, id, one)
		json_object_set(certs, id, json_object_get(one, "names"));
	return certs;
}

/* ---- from pass to pass ---- */

/*
 * Most passes change no domain, so the part of a stack's routes that has one line a domain is kept, as long as nothing it
 * comes from is another: rows of names (struct state), the entries, how its backends stand, and, when the default domain is
 * in question, what manifests and deploys of all stacks claim. What is kept is referred to, so equal addresses are equal values.
 */
struct pass {
	const struct routes_in *in;
	json_t *kept, *keep; /* {stack: [entries, mood, asks for its default, names, certs]} */
	json_t *claims;      /* [nodes of a serving release, claims of a deploy, ...] */
	bool same_claims;    /* as in the last pass */
	json_t *claimed;     /* of domains_among */
};

static bool same_references(const json_t *a, const json_t *b)
{
	size_t n = json_array_size(a);
	bool same = n == json_array_size(b);
	for (size_t i = 0; i < n && same; i++)
		same = json_array_get(a, i) == json_array_get(b, i);
	return same;
}

static void pass_begin(struct pass *p, const struct routes_in *in)
{
	vk_autojson *memo = in->memo != NULL ? *in->memo : NULL;
	const struct stack *sk;
	*p = (struct pass){.in = in, .keep = json_object(), .claims = json_array()};
	table_each(&in->st->stacks, i, sk)
	{
		const struct release *r = sk->exists ? stack_current(sk) : NULL;
		const struct overlay *o = stack_overlay(sk);
		json_array_append(p->claims, r != NULL ? r->nodes : NULL);
		json_array_append(p->claims, o != NULL ? o->claims : NULL);
	}
	if (vk_json_int(memo, "names", -1) == (int64_t)in->st->names)
		p->kept = json_incref(json_object_get(memo, "stacks"));
	p->same_claims = same_references(json_object_get(memo, "claims"), p->claims);
}

static void pass_end(struct pass *p)
{
	if (p->in->memo != NULL)
		*p->in->memo = json_pack("{s:I,s:O,s:O}", "names", (json_int_t)p->in->st->names,
			"claims", p->claims, "stacks", p->keep);
	json_decref(p->kept);
	json_decref(p->keep);
	json_decref(p->claims);
	json_decref(p->claimed);
}

/* What domain_policy and domain_route see of the backends. */
static char *mood_of(const struct stack *sk, const json_t *backends)
{
	vk_autobuf b = VK_BUF_INIT(SIZE_MAX / 4);
	const char *name;
	json_t *backend;
	json_object_foreach((json_t *)(uintptr_t)backends, name, backend) vk_buf_addf(&b,
		"%s %d%d;", name, holds(sk, backend), json_object_get(backend, "canary") != NULL);
	return vk_buf_take(&b);
}

/* Not while a manifest names others. */
static bool asks_default(const json_t *domains)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)domains, name,
		value) if (strcmp(vk_json_str(value, "from", ""), "manifest") == 0) return false;
	return true;
}

static json_t *names_make(struct pass *p, const struct stack *sk, const json_t *entries,
	const json_t *backends, const char *mood)
{
	const struct routes_in *in = p->in;
	vk_autojson *domains = domains_among(in->st, sk, entries, in->base_domain,
		p->kept != NULL && p->same_claims ? NULL : &p->claimed);
	json_t *names = json_object(), *value;
	const char *domain;
	json_object_foreach(domains, domain, value)
	{
		const char *to = vk_json_str(value, "node", "");
		if (json_object_get(backends, to) != NULL || is_site(entries, to))
			json_object_set_new(names, domain,
				domain_route(in->st, sk, backends, json_object_get(entries, to), to,
					domain));
	}
	return json_pack("[O,s,b,o,o]", entries, mood, asks_default(domains), names,
		stack_certs(in->st, sk, domains));
}

/* Borrowed, until the pass ends. */
static const json_t *names_of(
	struct pass *p, const struct stack *sk, const json_t *entries, const json_t *backends)
{
	json_t *row = json_object_get(p->kept, sk->name);
	vk_autofree char *mood = mood_of(sk, backends);
	if (json_array_get(row, 0) == entries &&
		vk_streq(json_string_value(json_array_get(row, 1)), mood) &&
		(p->same_claims || json_is_false(json_array_get(row, 2))))
		json_incref(row);
	else
		row = names_make(p, sk, entries, backends, mood);
	json_object_set_new(p->keep, sk->name, row);
	return row;
}

static json_t *stack_routes(struct pass *p, const struct stack *sk)
{
	const json_t *entries = routes_entries(sk);
	json_t *backends = json_object(), *sites = json_array();
	const char *node;
	json_t *entry;
	json_object_foreach((json_t *)(uintptr_t)entries, node, entry)
	{
		if (is_site(entries, node)) {
			json_array_append_new(sites, json_string(node));
		} else if (vk_json_int(entry, "port", 0) > 0) {
			backend_add(backends, node, NULL, 0);
			more_ports(entry, node, NULL, backends);
		}
	}
	stack_servers(p->in, sk, entries, backends);
	json_object_foreach((json_t *)(uintptr_t)entries, node, entry)
	{
		mark_h2(entry, node, backends);
		mark_pages(entry, node, backends);
	}
	spare_away(backends);
	split_canaries(sk, backends);
	const json_t *row = names_of(p, sk, entries, backends);
	json_t *certs = json_array_get(row, 4);
	json_t *routes = json_pack("{s:o,s:O,s:o}", "backends", backends, "domains",
		json_array_get(row, 3), "sites", sites);
	if (json_object_size(certs) > 0)
		json_object_set(routes, "certs", certs);
	const struct release *watched = receipts_watched(sk);
	if (watched != NULL)
		json_object_set_new(routes, "watch", json_integer(watched->n));
	return routes;
}

json_t *routes_build(const struct routes_in *in)
{
	json_t *stacks = json_object();
	struct pass p;
	struct stack *sk;
	pass_begin(&p, in);
	table_each(&in->st->stacks, i, sk) if (sk->exists && routes_entries(sk) != NULL)
		json_object_set_new(stacks, sk->name, stack_routes(&p, sk));
	pass_end(&p);
	return json_pack("{s:o,s:o,s:s*}", "stacks", stacks, "challenges", acme_challenges(in->st),
		"files", in->files);
}

/* The commit of a site: of the release that bore this version. */
static const char *site_commit(const struct stack *sk, const json_t *entry)
{
	const struct overlay *o = stack_overlay(sk);
	unsigned born = (unsigned)vk_json_int(entry, "born", 0);
	const struct release *r = o != NULL && o->release != NULL && o->release->n == born
		? o->release
		: stack_release(sk, born);
	return r != NULL ? r->commit : NULL;
}

static bool any_site(const json_t *entries)
{
	const char *node;
	json_t *entry;
	json_object_foreach(
		(json_t *)(uintptr_t)entries, node, entry) if (is_site(entries, node)) return true;
	return false;
}

json_t *sites_build(const struct routes_in *in)
{
	json_t *sites = json_object();
	struct stack *sk;
	table_each(&in->st->stacks, i, sk)
	{
		const json_t *entries = sk->exists ? routes_entries(sk) : NULL;
		if (!any_site(entries))
			continue;
		vk_autojson *domains = domains_of(in->st, sk, entries, in->base_domain);
		const char *domain;
		json_t *value;
		json_object_foreach(domains, domain, value)
		{
			const char *node = vk_json_str(value, "node", "");
			const char *commit = is_site(entries, node)
				? site_commit(sk, json_object_get(entries, node))
				: NULL;
			if (commit != NULL)
				json_object_set_new(sites, domain,
					json_pack("{s:s,s:s,s:s}", "stack",
						vk_json_str(json_object_get(entries, node), "files",
							sk->name),
						"node", node, "commit", commit));
		}
	}
	return json_pack("{s:o}", "sites", sites);
}
