/* What a pushed document may and would do. */
#include "push.h"

#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "deploy.h"
#include "dispatch.h"
#include "domains.h"
#include "hosts.h"
#include "links.h"
#include "net.h"
#include "place.h"
#include "policy.h"
#include "stackpacks.h"
#include "txn.h"

json_t *push_claims(const json_t *doc)
{
	json_t *domains = json_array(), *publish = json_array();
	const char *name;
	json_t *node;
	json_object_foreach(json_object_get(doc, "nodes"), name, node)
	{
		size_t i;
		json_t *value;
		json_array_foreach(json_object_get(node, "domains"), i,
			value) if (json_is_string(value)) json_array_append(domains, value);
		json_array_foreach(json_object_get(node, "publish"), i, value)
			json_array_append_new(publish,
				json_sprintf("%d/%s", (int)vk_json_int(value, "host", 0),
					vk_json_str(value, "proto", "tcp")));
		json_array_foreach(json_object_get(node, "tcp"), i, value) json_array_append_new(
			publish, json_sprintf("%d/tcp", (int)vk_json_int(value, "front", 0)));
	}
	return json_pack("{s:o,s:o}", "domains", domains, "publish", publish);
}

struct domain_claim {
	const char *stack, *domain, *owner;
};

static bool domain_coming(void *arg, const char *key, const json_t *value)
{
	struct domain_claim *k = arg;
	const char *stack = vk_json_str(value, "stack", "");
	if (strcmp(stack, k->stack) == 0 || !domains_clash(key + strlen("/domain/"), k->domain))
		return false;
	k->owner = stack;
	return true;
}

int push_domain_free(struct sched *s, const struct caller *c, const char *stack, const char *domain,
	struct vk_err *err)
{
	struct domain_claim claim = {.stack = stack, .domain = domain};
	claim.owner = domains_owner(&s->st, stack, domain, s->cfg->base_domain);
	if (claim.owner == NULL && !txn_pending(s, "/domain/", domain_coming, &claim))
		return 0;
	vk_err_set(
		err, VK_CONFLICT, "domain %s belongs to %s", domain, rights_name(c, claim.owner));
	if (rights_sees(c, claim.owner))
		vk_err_hint(err, "viking domains %s", claim.owner);
	else
		vk_err_hint(err, "choose another domain, or ask an administrator");
	return VK_CONFLICT;
}

int push_domain_allowed(const struct sched *s, const struct caller *c, const char *stack,
	const char *domain, struct vk_err *err)
{
	vk_autofree char *host = domains_host(domain);
	vk_autofree char *namesake = domains_namesake(host, s->cfg->base_domain);
	if (namesake == NULL || strcmp(namesake, stack) == 0)
		return 0;
	if (namesake[0] == '\0')
		return rights_check(c, VERB_ADMIN, NULL, err) == 0
			? 0
			: vk_err_wrap(err, "domain %s is the host's", domain);
	return rights_check(c, VERB_CONFIG, namesake, err) == 0
		? 0
		: vk_err_wrap(err, "domain %s is kept for the stack %s", domain, namesake);
}

static int check_domains_allowed(const struct sched *s, const struct caller *c, const char *stack,
	const json_t *doc, struct vk_err *err)
{
	vk_autojson *claims = push_claims(doc);
	size_t i;
	json_t *value;
	json_array_foreach(json_object_get(claims, "domains"), i, value)
	{
		int rc = push_domain_allowed(s, c, stack, json_string_value(value), err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int check_domain(struct sched *s, const struct caller *c, const char *stack,
	const char *domain, struct vk_err *err)
{
	char normal[VK_DOMAIN_MAX + 1];
	vk_autofree char *host = domains_host(domain);
	int rc = vk_domain(host, true, normal, err);
	if (rc != 0)
		return rc;
	if (strcmp(normal, host) != 0)
		return vk_err_set(err, VK_INVALID, "domain %s must be written %s", host, normal);
	return push_domain_free(s, c, stack, domain, err);
}

/* No two nodes of one document may have the same domain or host port. */
static int check_unique(const json_t *list, const char *what, struct vk_err *err)
{
	size_t i, k;
	json_t *a, *b;
	json_array_foreach(list, i, a)
		json_array_foreach(list, k, b) if (k > i && json_equal(a, b)) return vk_err_set(
			err, VK_INVALID, "%s %s is given to two nodes", what, json_string_value(a));
	return 0;
}

int push_claims_check(struct sched *s, const struct caller *c, const char *stack, const json_t *doc,
	struct vk_err *err)
{
	vk_autojson *claims = push_claims(doc);
	const json_t *domains = json_object_get(claims, "domains"),
		     *ports = json_object_get(claims, "publish");
	size_t i;
	json_t *value;
	int rc = check_unique(domains, "domain", err);
	if (rc == 0)
		rc = check_unique(ports, "host port", err);
	json_array_foreach(domains, i, value)
	{
		if (rc != 0)
			return rc;
		rc = check_domain(s, c, stack, json_string_value(value), err);
	}
	json_array_foreach(ports, i, value)
	{
		if (rc != 0)
			return rc;
		const char *owner = publish_owner(&s->st, stack, json_string_value(value));
		if (owner != NULL)
			rc = vk_err_set(err, VK_CONFLICT, "host port %s belongs to %s",
				json_string_value(value), rights_name(c, owner));
	}
	return rc == 0 ? names_check(&s->st, c, stack, doc, err) : rc;
}

static int check_ref(struct sched *s, const struct caller *c, const char *stack, const json_t *doc,
	const char *name, struct vk_err *err)
{
	const char *own = deploy_own_boat(stack, doc, name);
	if (own != NULL) {
		if (json_object_get(json_object_get(doc, "boats"), own) != NULL)
			return 0;
		return vk_err_set(
			err, VK_NOTFOUND, "viking:%s: this stack has no boat %s", name, own);
	}
	vk_autofree char *other = vk_strndup(name, strcspn(name, "/"));
	int rc = rights_check(c, VERB_READ, other, err);
	if (rc != 0)
		return vk_err_wrap(err, "viking:%s", name);
	if (deploy_foreign_boat(&s->st, name) == NULL)
		return vk_err_set(err, VK_NOTFOUND,
			"viking:%s: there is no such image; %s must be deployed first", name,
			other);
	return 0;
}

static int check_refs(struct sched *s, const struct caller *c, const char *stack, const json_t *doc,
	struct vk_err *err)
{
	const char *name;
	json_t *value, *ref;
	json_object_foreach(json_object_get(doc, "boats"), name, value)
	{
		size_t i;
		json_array_foreach(json_object_get(value, "refs"), i, ref)
		{
			int rc = json_is_string(ref)
				? check_ref(s, c, stack, doc, json_string_value(ref), err)
				: 0;
			if (rc != 0)
				return rc;
		}
	}
	json_object_foreach(json_object_get(doc, "nodes"), name, value)
	{
		const char *from = vk_json_str(value, "from", "");
		int rc = from[0] != '\0' ? check_ref(s, c, stack, doc, from, err) : 0;
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* Another stack's node has to be there, and shared with this one. */
static int check_target(struct sched *s, const char *stack, const char *from, const char *to,
	const char *node, struct vk_err *err)
{
	const struct stack *sk = state_stack(&s->st, to);
	const struct release *r = sk != NULL ? stack_current(sk) : NULL;
	const json_t *entry = json_object_get(r != NULL ? r->nodes : NULL, node);
	/* a name of a stack that one may not use is none: existence is not told */
	if (entry != NULL && links_shared(entry, stack))
		return 0;
	vk_err_set(err, VK_DENIED, "deploy.%s: %s/%s is not there, or not shared with %s", from, to,
		node, stack);
	return vk_err_hint(
		err, "in the manifest of %s: deploy.%s: {shared: [%s]}", to, node, stack);
}

static int check_node_links(struct sched *s, const char *stack, const char *name,
	const json_t *node, struct vk_err *err)
{
	const struct net_in in = {.st = &s->st, .address = hosts_address, .arg = s};
	size_t i;
	json_t *item;
	int rc = 0;
	json_array_foreach(json_object_get(node, "links"), i, item)
	{
		const char *to = vk_json_str(item, "stack", "");
		if (rc == 0 && to[0] != '\0')
			rc = check_target(s, stack, name, to, vk_json_str(item, "node", ""), err);
	}
	json_array_foreach(json_object_get(node, "require"), i, item)
	{
		const char *text = json_string_value(item),
			   *slash = text != NULL ? strchr(text, '/') : NULL;
		if (rc != 0 || slash == NULL)
			continue;
		vk_autofree char *to = vk_strndup(text, (size_t)(slash - text));
		rc = check_target(s, stack, name, to, slash + 1, err);
		if (rc == 0 && !net_serves(&in, to, slash + 1)) {
			rc = vk_err_set(err, VK_CONFLICT,
				"deploy.%s requires %s, which does not run", name, text);
			vk_err_hint(err, "viking ps %s", to);
		}
	}
	return rc;
}

/* The stack's nodes that are shared with this one have to be there and to serve. */
static int check_stack_serves(
	struct sched *s, const char *stack, const char *to, struct vk_err *err)
{
	const struct net_in in = {.st = &s->st, .address = hosts_address, .arg = s};
	const struct stack *sk = state_stack(&s->st, to);
	const struct release *r = sk != NULL ? stack_current(sk) : NULL;
	const char *node;
	json_t *entry;
	size_t shared = 0;
	json_object_foreach(r != NULL ? r->nodes : NULL, node, entry)
	{
		if (!links_shared(entry, stack))
			continue;
		shared++;
		if (net_serves(&in, to, node))
			continue;
		vk_err_set(err, VK_CONFLICT, "viking.require: %s/%s does not run", to, node);
		return vk_err_hint(err, "viking ps %s", to);
	}
	if (shared > 0)
		return 0;
	vk_err_set(err, VK_DENIED, "viking.require: %s is not there, or shares no node with %s", to,
		stack);
	return vk_err_hint(err, "in the manifest of %s: deploy.NODE: {shared: [%s]}", to, stack);
}

static int check_links(struct sched *s, const char *stack, const json_t *doc, struct vk_err *err)
{
	const char *name;
	json_t *node;
	int rc = 0;
	size_t i;
	json_array_foreach(json_object_get(doc, "require"), i, node) if (rc == 0) rc =
		check_stack_serves(s, stack, json_string_value(node), err);
	json_object_foreach(json_object_get(doc, "nodes"), name, node) if (rc == 0) rc =
		check_node_links(s, stack, name, node, err);
	return rc;
}

static int check_names(const json_t *doc, struct vk_err *err)
{
	const char *name;
	json_t *value;
	int rc = json_object_size(json_object_get(doc, "nodes")) > 0
		? 0
		: vk_err_set(err, VK_INVALID, "the manifest deploys no node");
	json_object_foreach(json_object_get(doc, "nodes"), name, value)
	{
		if (rc == 0)
			rc = vk_node_name(name, err);
		if (rc == 0 && vk_json_int(value, "scale", 1) > 100)
			rc = vk_err_set(err, VK_LIMIT, "node %s: scale is at most 100", name);
	}
	json_object_foreach(json_object_get(doc, "boats"), name, value) if (rc == 0) rc =
		vk_node_name(name, err);
	return rc;
}

/* Unknown hosts and roles, before anything is built; what has room is asked when it is placed. */
static int check_place(struct sched *s, const json_t *doc, struct vk_err *err)
{
	const char *node;
	json_t *n, *word;
	size_t i;
	json_object_foreach(json_object_get(doc, "nodes"), node, n)
	{
		const json_t *place = json_object_get(n, "place");
		bool role = json_array_size(json_object_get(place, "roles")) == 0;
		json_array_foreach(json_object_get(place, "hosts"), i,
			word) if (!dispatch_knows_host(s, json_string_value(word)))
		{
			vk_err_set(err, VK_INVALID, "node %s: there is no host %s", node,
				json_string_value(word));
			return vk_err_hint(err, "viking hosts");
		}
		json_array_foreach(json_object_get(place, "roles"), i, word) role =
			role || dispatch_knows_role(s, json_string_value(word));
		if (role)
			continue;
		vk_err_set(err, VK_INVALID, "node %s: no host has the role %s", node,
			json_string_value(json_array_get(json_object_get(place, "roles"), 0)));
		return vk_err_hint(err, "viking hosts:label HOST ROLE");
	}
	return 0;
}

int push_check(struct sched *s, const struct caller *c, const char *stack, const json_t *doc,
	struct vk_err *err)
{
	if (vk_json_int(doc, "v", 0) != 1)
		return vk_err_set(err, VK_INVALID, "doc: schema version %lld is unknown",
			(long long)vk_json_int(doc, "v", 0));
	int rc = check_names(doc, err);
	if (rc == 0)
		rc = policy_check(s->cfg, doc, err);
	if (rc == 0)
		rc = check_refs(s, c, stack, doc, err);
	if (rc == 0)
		rc = stackpacks_check(s, stack, doc, err);
	if (rc == 0)
		rc = check_place(s, doc, err);
	if (rc == 0)
		rc = check_links(s, stack, doc, err);
	if (rc == 0)
		rc = push_claims_check(s, c, stack, doc, err);
	return rc == 0 ? check_domains_allowed(s, c, stack, doc, err) : rc;
}

/* ---- dry run ---- */

static void plan_line(json_t *lines, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void plan_line(json_t *lines, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	json_array_append_new(lines, vk_json_safe_string(text, strlen(text)));
}

static bool expects(const json_t *hosts, const char *name)
{
	size_t i;
	json_t *h;
	json_array_foreach(
		hosts, i, h) if (strcmp(vk_json_str(h, "node", ""), name) == 0) return true;
	return false;
}

void push_hosts(const struct sched *s, const json_t *doc, json_t *lines)
{
	const json_t *hosts = json_object_get(doc, "hosts");
	const struct host_row *row;
	size_t i, k;
	json_t *h, *role;
	json_array_foreach(hosts, i, h)
	{
		const char *name = vk_json_str(h, "node", "");
		if (!dispatch_knows_host(s, name)) {
			plan_line(lines, " !     host %s, which nodes: expects, is absent", name);
			continue;
		}
		json_array_foreach(json_object_get(h, "roles"), k,
			role) if (!dispatch_has_role(s, name, json_string_value(role)))
			plan_line(lines,
				" !     host %s has not the role %s: viking hosts:label %s %s",
				name, json_string_value(role), name, json_string_value(role));
	}
	table_each(&s->st.hosts, n,
		row) if (json_array_size(hosts) > 0 && !expects(hosts, row->name)) plan_line(lines,
		" !     host %s is unexpected: nodes: does not name it", row->name);
}

static void plan_boats(struct sched *s, const char *stack, const struct stack *sk,
	const json_t *doc, json_t *lines)
{
	const json_t *boats = json_object_get(doc, "boats");
	vk_autojson *config = sk != NULL ? hub_config(sk) : NULL;
	const char *name;
	json_t *boat;
	if (json_object_size(boats) > 0)
		plan_line(lines, "-----> Would build");
	json_object_foreach((json_t *)(uintptr_t)boats, name, boat)
	{
		struct packs_choice choice = {0};
		if (stackpacks_choose(s, stack, sk, config, doc, name, &choice, NULL) != 0)
			continue; /* the check has refused it */
		plan_line(lines, "       %s %s", name, choice.what);
		if (choice.why != NULL)
			plan_line(lines, "       chosen by %s", choice.why);
		packs_choice_release(&choice);
	}
}

static const char *plan_source(const json_t *node)
{
	static const char *const keys[] = {"boat", "from", "image", "document_root"};
	for (size_t i = 0; i < VK_COUNT(keys); i++) {
		const char *text = vk_json_str(node, keys[i], "");
		if (text[0] != '\0')
			return text;
	}
	return ".";
}

static void plan_nodes(struct sched *s, const struct stack *sk, const json_t *doc, json_t *lines)
{
	const struct release *old = sk != NULL ? stack_current(sk) : NULL;
	const char *name;
	json_t *node, *entry;
	plan_line(lines, "-----> Would run");
	json_object_foreach(json_object_get(doc, "nodes"), name, node)
	{
		entry = json_object_get(old != NULL ? old->nodes : NULL, name);
		long long scale = vk_json_int(node, "scale", 1);
		if (sk != NULL)
			scale = stack_scale(sk, name, node);
		if (strcmp(vk_json_str(node, "type", "app"), "website") == 0)
			plan_line(lines, "       %s: website %s%s", name, plan_source(node),
				entry != NULL ? "" : " (new)");
		else
			plan_line(lines, "       %s: %lld of %s on %s%s%s", name, scale,
				plan_source(node), s->cfg->host_name, entry != NULL ? "" : " (new)",
				vk_json_bool(node, "service", false) && entry != NULL
					? " (service: keeps running)"
					: "");
	}
	json_object_foreach(old != NULL ? old->nodes : NULL, name,
		entry) if (json_object_get(json_object_get(doc, "nodes"), name) == NULL)
		plan_line(lines, "       %s: removed", name);
}

static void plan_config(const struct stack *sk, json_t *lines)
{
	vk_autobuf b = VK_BUF_INIT(32768);
	const struct config_row *row;
	if (sk == NULL || sk->config.n == 0)
		return;
	table_each(&sk->config, i, row)(void) vk_buf_addf(&b, " %s", row->name);
	plan_line(lines, "-----> Config names:%s", vk_buf_str(&b));
}

static void plan_domains(struct sched *s, const struct stack *sk, const char *stack,
	const json_t *doc, json_t *lines)
{
	vk_autojson *claims = push_claims(doc);
	const json_t *list = json_object_get(claims, "domains");
	size_t i;
	json_t *value;
	plan_line(lines, "-----> Would serve");
	json_array_foreach(list, i, value) plan_line(lines, "       %s", json_string_value(value));
	vk_autofree char *dflt = domains_default(stack, s->cfg->base_domain);
	if (json_array_size(list) == 0 && resolve_web_node(doc) != NULL)
		plan_line(lines, "       %s", dflt);
	const struct domain_row *row;
	owned_each(&s->st.owned, k, stack, row) if (sk != NULL)
		plan_line(lines, "       %s", row->name);
}

void push_plan(struct sched *s, const char *stack, const json_t *doc, json_t *lines)
{
	const struct stack *sk = state_stack(&s->st, stack);
	plan_boats(s, stack, sk, doc, lines);
	plan_nodes(s, sk, doc, lines);
	plan_config(sk, lines);
	plan_domains(s, sk, stack, doc, lines);
}
