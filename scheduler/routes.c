/* Backends, domains and sites of every stack. */
#include "routes.h"

#include <string.h>

/* Entries that rule now: of the release being switched to, else of the serving one. NULL = nothing is routed. */
static const json_t *ruling_entries(const struct stack *sk)
{
	const struct overlay *o = stack_overlay(sk);
	if (o != NULL && o->all_stop)
		return NULL;
	if (o != NULL && o->switched && o->release != NULL)
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

static void backend_add(json_t *backends, const char *node, const struct inst *i, const char *addr,
	int port, bool ready)
{
	json_t *backend = json_object_get(backends, node);
	if (backend == NULL) {
		backend = json_pack("{s:[]}", "servers");
		json_object_set_new(backends, node, backend);
	}
	if (i == NULL)
		return;
	json_array_append_new(json_object_get(backend, "servers"),
		json_pack("{s:s,s:s,s:i,s:s}", "id", i->name, "addr", addr, "port", port, "state",
			ready ? "ready" : "drain"));
}

static void stack_servers(const struct routes_in *in, const struct stack *sk, json_t *backends)
{
	struct inst_list list = {0};
	stack_instances(sk, stack_overlay(sk), &list);
	for (size_t k = 0; k < list.n; k++) {
		const struct inst *i = &list.v[k];
		int port = i->route != ROUTE_NONE ? inst_port(sk, i) : 0;
		bool healthy = false;
		const char *addr = port > 0 ? in->address(in->arg, i->name, &healthy) : NULL;
		if (addr != NULL)
			backend_add(backends, i->node, i, addr, port,
				healthy && i->route == ROUTE_READY);
	}
	inst_list_release(&list);
}

static bool is_site(const json_t *entries, const char *node)
{
	return strcmp(vk_json_str(json_object_get(entries, node), "type", "app"), "website") == 0;
}

static json_t *stack_routes(const struct routes_in *in, const struct stack *sk)
{
	const json_t *entries = ruling_entries(sk);
	json_t *backends = json_object(), *names = json_object(), *sites = json_array();
	const char *node, *domain;
	json_t *entry, *value;
	json_object_foreach((json_t *)(uintptr_t)entries, node, entry)
	{
		if (is_site(entries, node))
			json_array_append_new(sites, json_string(node));
		else if (vk_json_int(entry, "port", 0) > 0)
			backend_add(backends, node, NULL, NULL, 0, false);
	}
	stack_servers(in, sk, backends);
	vk_autojson *domains = domains_of(in->st, sk, entries, in->base_domain);
	json_object_foreach(domains, domain, value)
	{
		const char *to = vk_json_str(value, "node", "");
		if (json_object_get(backends, to) != NULL || is_site(entries, to))
			json_object_set_new(names, domain, json_string(to));
	}
	return json_pack("{s:o,s:o,s:o}", "backends", backends, "domains", names, "sites", sites);
}

json_t *routes_build(const struct routes_in *in)
{
	json_t *stacks = json_object();
	struct stack *sk;
	table_each(&in->st->stacks, i, sk) if (sk->exists && ruling_entries(sk) != NULL)
		json_object_set_new(stacks, sk->name, stack_routes(in, sk));
	return json_pack("{s:o}", "stacks", stacks);
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

json_t *sites_build(const struct routes_in *in)
{
	json_t *sites = json_object();
	struct stack *sk;
	table_each(&in->st->stacks, i, sk)
	{
		const json_t *entries = sk->exists ? ruling_entries(sk) : NULL;
		if (entries == NULL)
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
