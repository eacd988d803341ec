/* Table + assignment -> the wanted state. */
#include <string.h>
#include <viking/str.h>

#include "assign.h"

static void set_slot(struct slot *s, const struct table_server *from)
{
	s->state = from->state == SERVER_READY ? SLOT_READY : SLOT_DRAIN;
	s->port = from->port;
	memcpy(s->addr, from->addr, sizeof(s->addr));
}

static void model_node(const struct assign_row *r, const struct table_node *node, struct backend *b)
{
	for (size_t i = 0; i < node->n; i++) {
		unsigned slot = assign_slot(r, node->servers[i].id);
		if (slot > 0)
			set_slot(&b->slots[slot - 1], &node->servers[i]);
	}
}

/* Is there another entry of the same host, for all of it (path "") or for some path? */
static bool host_has(const struct table_stack *s, const char *key, bool paths)
{
	for (size_t i = 0; i < s->n_domains; i++)
		if ((s->domains[i].path[0] != '\0') == paths && strcmp(s->domains[i].key, key) == 0)
			return true;
	return false;
}

static void add_policy(const struct policy *p, struct model *m)
{
	if (p == NULL)
		return;
	routes_add(&m->maps[MAP_POLICIES], p->id, p->value);
	for (size_t i = 0; i < p->access.n; i++)
		routes_add(&m->maps[MAP_ACCESS], p->access.v[i].key, p->access.v[i].value);
}

/* A host is one line in its map; its paths are lines of the group that the host's line names. */
static void model_domain(
	const struct table_stack *s, const struct table_domain *d, unsigned number, struct model *m)
{
	struct routes *hosts = &m->maps[d->key[0] == '.' ? MAP_SUFFIXES : MAP_HOSTS];
	char name[BACKEND_NAME_SIZE], group[POLICY_ID_SIZE] = "0";
	const char *policy = d->policy != NULL ? d->policy->id : "0";
	backend_name(number, name);
	add_policy(d->policy, m);
	bool paths = s->paths && (d->path[0] != '\0' || host_has(s, d->key, true));
	if (paths)
		policy_hash(d->key, group);
	vk_autofree char *value = paths || d->policy != NULL
		? vk_asprintf("%s|%s|%s", name, policy, group)
		: vk_strdup(name);
	if (d->path[0] == '\0') {
		routes_add(hosts, d->key, value);
		return;
	}
	vk_autofree char *key = vk_asprintf("%s%s/", group, d->path);
	routes_add(&m->maps[MAP_PATHS], key, value);
	if (host_has(s, d->key, false))
		return; /* else several paths write the same line, and it stays once */
	vk_autofree char *none = vk_asprintf("0|0|%s", group);
	routes_add(hosts, d->key, none);
}

/* A visitor's cookie has a token that stands for an instance; draining ones have none, so that their
 * visitors go on elsewhere. */
static void model_sticky(
	const struct assign_row *r, unsigned number, const struct table_node *node, struct model *m)
{
	char name[BACKEND_NAME_SIZE], token[POLICY_ID_SIZE];
	backend_name(number, name);
	for (size_t i = 0; i < node->n; i++) {
		unsigned slot = assign_slot(r, node->servers[i].id);
		if (slot == 0 || node->servers[i].state == SERVER_DRAIN)
			continue;
		policy_hash(node->servers[i].id, token);
		vk_autofree char *to = vk_asprintf("%s/%s", name, token);
		vk_autofree char *from = vk_asprintf("%s:s%u", name, slot);
		vk_autofree char *server = vk_asprintf("s%u", slot);
		routes_add(&m->maps[MAP_STICKY], to, server);
		routes_add(&m->maps[MAP_STICKY], from, token);
	}
}

/* A canary drains for HAProxy, so that it is chosen by no one but a lot or a cookie: lot by lot round the
 * canaries. Without any the others get all. */
static void model_lots(
	const struct assign_row *r, unsigned number, const struct table_node *node, struct model *m)
{
	char name[BACKEND_NAME_SIZE];
	size_t at = 0, canaries = 0;
	backend_name(number, name);
	for (size_t i = 0; i < node->n; i++)
		canaries += node->servers[i].state == SERVER_CANARY;
	for (unsigned lot = 0; canaries > 0 && lot < node->canary; lot++) {
		while (node->servers[at % node->n].state != SERVER_CANARY)
			at++;
		vk_autofree char *key = vk_asprintf("%s@%u", name, lot);
		vk_autofree char *server =
			vk_asprintf("s%u", assign_slot(r, node->servers[at++ % node->n].id));
		routes_add(&m->maps[MAP_STICKY], key, server);
	}
}

/* A site's backend is for servers of what it was before, draining; its domains show files. */
static unsigned leads_to(const struct table_node *node)
{
	return node->site ? 0 : node->backend;
}

void assign_routes(const struct table_stack *s, struct model *m)
{
	for (size_t d = 0; d < s->n_domains; d++)
		model_domain(s, &s->domains[d], leads_to(&s->nodes[s->domains[d].node]), m);
}

void assign_choices(const struct assign *a, const struct table_stack *s, struct model *m)
{
	for (size_t k = 0; k < s->n_nodes; k++) {
		unsigned number = s->nodes[k].backend;
		if (number > 0)
			model_lots(&a->rows[number - 1], number, &s->nodes[k], m);
	}
	for (size_t d = 0; d < s->n_domains; d++) {
		const struct table_domain *domain = &s->domains[d];
		unsigned number = leads_to(&s->nodes[domain->node]);
		if (number > 0 && domain->policy != NULL && domain->policy->sticky)
			model_sticky(&a->rows[number - 1], number, &s->nodes[domain->node], m);
	}
}

void assign_slots(const struct assign *a, const struct table_node *node, struct model *m)
{
	const struct assign_row *r = &a->rows[node->backend - 1];
	for (unsigned s = 1; s <= r->n; s++)
		slot_close(model_slot(m, node->backend, s));
	model_node(r, node, &m->backends[node->backend - 1]);
}

static void model_rows(const struct assign *a, struct model *m)
{
	for (unsigned i = 0; i < a->n; i++) {
		const struct assign_row *r = &a->rows[i];
		for (unsigned s = 1; s <= r->n; s++)
			slot_close(model_slot(m, i + 1, s));
		m->backends[i].front = r->front;
		m->backends[i].h2 = r->h2;
		m->backends[i].pages = vk_strdup(r->pages);
		if (r->stack != NULL)
			m->backends[i].label = vk_asprintf("%s/%s", r->stack, r->node);
	}
}

static void model_stack(const struct assign *a, const struct table_stack *s, struct model *m)
{
	for (size_t k = 0; k < s->n_nodes; k++)
		if (s->nodes[k].backend > 0)
			assign_slots(a, &s->nodes[k], m);
	assign_routes(s, m);
	assign_choices(a, s, m);
}

void assign_challenged(const struct table *t, struct model *m)
{
	struct routes *hosts = &m->maps[MAP_HOSTS];
	for (size_t i = 0; i < t->n_challenges; i++) {
		const struct route *r = routes_find(hosts, t->challenges[i].key);
		if (r == NULL || strchr(r->value, '|') != NULL)
			continue;
		vk_autofree char *slow = vk_asprintf("%s|0|0", r->value);
		routes_set(hosts, MAP_HOSTS, t->challenges[i].key, slow);
	}
}

void assign_model(const struct assign *a, const struct table *t, struct model *ret)
{
	*ret = (struct model){0};
	model_rows(a, ret);
	if (t == NULL)
		return;
	for (size_t s = 0; s < t->n; s++)
		model_stack(a, &t->stacks[s], ret);
	for (size_t i = 0; i < t->n_challenges; i++)
		routes_add(&ret->maps[MAP_ACME], t->challenges[i].key, t->challenges[i].value);
	for (enum map_id i = 0; i < MAPS; i++) {
		routes_sort(&ret->maps[i], i);
		routes_unique(&ret->maps[i]);
	}
	assign_challenged(t, ret);
}
