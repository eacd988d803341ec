/* Domains: list, add, remove. A change is answered when the router serves it. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "domains.h"
#include "push.h"

void api_domains(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	if (sk == NULL) {
		call_error(c, &err);
		return;
	}
	json_t *list = json_array(), *value;
	const char *name;
	vk_autojson *domains = domains_of(&c->s->st, sk, NULL, c->s->cfg->base_domain);
	json_object_foreach(domains, name, value) json_array_append_new(list,
		json_pack("{s:s,s:s,s:s}", "domain", name, "node", vk_json_str(value, "node", ""),
			"from", vk_json_str(value, "from", "")));
	call_json(c, 200, json_pack("{s:o}", "domains", list));
}

/* ---- changes ---- */

static void change(struct call *c, struct txn *t, const char *what)
{
	hub_event(c->s, "domain", c->stack, what, c->who.name);
	call_commit_routed(c, t, call_served);
}

/* The node a domain leads to when none is named. */
static const char *choose_node(
	const struct call *c, const struct stack *sk, const char *node, struct vk_err *err)
{
	const struct release *r = stack_current(sk);
	if (node == NULL)
		node = r != NULL ? domains_web(r->nodes) : "web";
	if (node == NULL) {
		vk_err_set(err, VK_INVALID,
			"%s has several nodes: name the one that serves the domain", c->stack);
		vk_err_hint(err, "viking domains:add %s DOMAIN NODE", c->stack);
		return NULL;
	}
	const json_t *entry = r != NULL ? json_object_get(r->nodes, node) : NULL;
	if (r != NULL && entry == NULL) {
		vk_err_set(err, VK_NOTFOUND, "%s has no node %.64s", c->stack, node);
		return NULL;
	}
	bool site = strcmp(vk_json_str(entry, "type", "app"), "website") == 0;
	if (r != NULL && !site && vk_json_int(entry, "port", 0) == 0) {
		vk_err_set(
			err, VK_INVALID, "node %s exposes no port: it cannot serve a domain", node);
		return NULL;
	}
	return vk_node_name(node, err) == 0 ? node : NULL;
}

static int check_free(
	struct call *c, const struct stack *sk, const char *domain, struct vk_err *err)
{
	int rc = push_domain_free(c->s, &c->who, c->stack, domain, err);
	if (rc == 0)
		rc = push_domain_allowed(c->s, &c->who, c->stack, domain, err);
	if (rc != 0)
		return rc;
	vk_autojson *mine = domains_of(&c->s->st, sk, NULL, c->s->cfg->base_domain);
	const char *from = vk_json_str(json_object_get(mine, domain), "from", "default");
	if (strcmp(from, "default") != 0)
		return vk_err_set(err, VK_EXISTS, "%s has the domain %s already (%s)", c->stack,
			domain, from);
	return 0;
}

void api_domains_add(struct call *c)
{
	struct vk_err err = {0};
	char domain[VK_DOMAIN_MAX + 1];
	const struct stack *sk = call_stack(c, &err);
	const char *text = call_text(c, "domain"), *node = NULL;
	int rc = sk == NULL ? err.code : vk_domain(text != NULL ? text : "", true, domain, &err);
	if (rc == 0)
		rc = check_free(c, sk, domain, &err);
	if (rc == 0)
		node = choose_node(c, sk, call_text(c, "node"), &err);
	if (node == NULL) {
		call_error(c, &err);
		return;
	}
	struct txn *t = txn_new(c->s);
	txn_put_row(t, domain_fields,
		&(struct domain_row){
			.stack = (char *)(uintptr_t)c->stack, .node = (char *)(uintptr_t)node},
		"/domain/%s", domain);
	change(c, t, "added");
}

void api_domains_remove(struct call *c)
{
	struct vk_err err = {0};
	char domain[VK_DOMAIN_MAX + 1];
	const struct stack *sk = call_stack(c, &err);
	int rc = sk == NULL ? err.code : vk_domain(c->part[1], true, domain, &err);
	const struct domain_row *row = rc == 0 ? table_get(&c->s->st.domains, domain) : NULL;
	if (rc == 0 && (row == NULL || strcmp(row->stack, c->stack) != 0)) {
		vk_autojson *mine = domains_of(&c->s->st, sk, NULL, c->s->cfg->base_domain);
		const char *from = vk_json_str(json_object_get(mine, domain), "from", NULL);
		if (from == NULL)
			rc = vk_err_set(&err, VK_NOTFOUND, "%s has no domain %s", c->stack, domain);
		else
			rc = vk_err_set(&err, VK_INVALID,
				"%s comes from the %s: it goes when that changes", domain,
				strcmp(from, "manifest") == 0 ? "manifest" : "stack's name");
	}
	if (rc != 0) {
		call_error(c, &err);
		return;
	}
	struct txn *t = txn_new(c->s);
	txn_del(t, "/domain/%s", domain);
	change(c, t, "removed");
}
