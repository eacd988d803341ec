#include "change.h"

#include <stdlib.h>
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#define EPOCH_SHIFT 24 /* of a rev */

/* ---- the document ---- */

static int64_t rev_of(const json_t *doc)
{
	return vk_json_int(doc, "rev", -1);
}

/* A leader that was replaced and does not know it yet: protocol.md 2, Leadership. */
static int check_epoch(const struct source *s, const json_t *line, struct vk_err *err)
{
	int64_t now = rev_of(s->doc) >> EPOCH_SHIFT, then = rev_of(line) >> EPOCH_SHIFT;
	if (s->doc == NULL || then >= now)
		return 0;
	return vk_err_set(err, VK_CONFLICT, "a table of epoch %lld after one of %lld",
		(long long)then, (long long)now);
}

static int take_whole(struct source *s, json_t *line, struct vk_err *err)
{
	if (!json_is_integer(json_object_get(line, "rev")) ||
		!json_is_object(json_object_get(line, "stacks")))
		return vk_err_set(err, VK_INVALID, "the table has no rev or no stacks");
	json_decref(s->doc);
	s->doc = json_incref(line);
	s->all = true;
	return 0;
}

static void note_changed(struct source *s, const json_t *patch)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)patch, key, value)
	{
		if (strcmp(key, "stacks") != 0)
			s->all = true;
	}
	json_object_foreach(json_object_get(patch, "stacks"), key,
		value) if (!s->all && !vk_strv_has(&s->stacks, key)) vk_strv_add(&s->stacks, key);
	s->all = s->all || s->stacks.n > CHANGE_KEYS_MAX;
}

int source_line(struct source *s, json_t *line, struct vk_err *err)
{
	json_t *patch = json_object_get(line, "patch"), *from = json_object_get(line, "from"),
	       *rev = json_object_get(line, "rev"), *stacks = json_object_get(patch, "stacks");
	int rc = check_epoch(s, line, err);
	if (rc != 0)
		return rc;
	if (patch == NULL)
		return take_whole(s, line, err);
	if (!json_is_object(patch) || (stacks != NULL && !json_is_object(stacks)) ||
		!json_is_integer(from) || !json_is_integer(rev) ||
		json_object_get(patch, "rev") != NULL)
		return vk_err_set(err, VK_INVALID, "the patch is not of the form that was agreed");
	if (s->doc == NULL || json_integer_value(from) != rev_of(s->doc))
		return vk_err_set(err, VK_CONFLICT, "a patch of rev %lld does not follow %lld",
			(long long)json_integer_value(from), (long long)rev_of(s->doc));
	vk_json_merge(s->doc, patch);
	json_object_set(s->doc, "rev", rev);
	note_changed(s, patch);
	return 0;
}

void source_taken(struct source *s)
{
	vk_strv_release(&s->stacks);
	s->all = false;
}

void source_release(struct source *s)
{
	json_decref(s->doc);
	vk_strv_release(&s->stacks);
	*s = (struct source){0};
}

/* ---- the change ---- */

/* One entry: the lines of the maps that it has now and shall have. */
struct part {
	struct table_stack *was; /* in the table */
	struct table_stack is;
	struct model old, new; /* maps only, sorted */
};

struct making {
	struct table *t;
	struct assign *a;
	struct model *want;
	struct part *parts;
	size_t n, keys;
	struct change *to;
};

/* The same backend, whatever its servers are. */
static bool same_kind(const struct table_node *a, const struct table_node *b)
{
	return a->site == b->site && a->h2 == b->h2 && vk_streq(a->pages, b->pages) &&
		table_node_needs_backend(a) == table_node_needs_backend(b);
}

static bool same_nodes(const struct table_stack *was, struct table_stack *is)
{
	if (was->n_nodes != is->n_nodes)
		return false;
	for (size_t i = 0; i < is->n_nodes; i++) {
		const struct table_node *node = table_node(was, is->nodes[i].name);
		if (node == NULL || !same_kind(node, &is->nodes[i]))
			return false;
		is->nodes[i].backend = node->backend;
	}
	return true;
}

static bool same_certs(const struct table_stack *a, const struct table_stack *b)
{
	for (size_t i = 0; a->n_certs == b->n_certs && i < a->n_certs; i++)
		if (strcmp(a->certs[i].id, b->certs[i].id) != 0)
			return false;
	return a->n_certs == b->n_certs;
}

/* A line of a host that only its paths serve is there once for each of them. */
static bool twice(const struct routes *r, enum map_id id)
{
	for (size_t i = 1; i < r->n && id <= MAP_PATHS; i++)
		if (strcmp(r->v[i - 1].key, r->v[i].key) == 0 &&
			(id == MAP_PATHS || strcmp(r->v[i - 1].value, r->v[i].value) != 0 ||
				!vk_starts(r->v[i].value, "0|")))
			return true;
	return false;
}

static bool sort_lines(struct model *m)
{
	for (enum map_id i = 0; i < MAPS; i++) {
		routes_sort(&m->maps[i], i);
		if (twice(&m->maps[i], i))
			return false;
		routes_unique(&m->maps[i]);
	}
	return true;
}

/* Calls fn for each line that only one of the two has, or with another value; false ends it. Either may be NULL, not both. */
typedef bool line_fn(
	struct making *k, enum map_id id, const struct route *was, const struct route *is);
static bool each_line(struct making *k, const struct part *p, enum map_id id, line_fn *fn)
{
	const struct routes *old = &p->old.maps[id], *new = &p->new.maps[id];
	for (size_t i = 0, n = 0; i < old->n || n < new->n;) {
		int c = i == old->n   ? 1
			: n == new->n ? -1
				      : routes_order(id, &old->v[i], &new->v[n]);
		const struct route *was = c <= 0 ? &old->v[i++] : NULL,
				   *is = c >= 0 ? &new->v[n++] : NULL;
		if ((c != 0 || strcmp(was->value, is->value) != 0) && !fn(k, id, was, is))
			return false;
	}
	return true;
}

/* Hosts and paths belong to one stack, also among those that one patch names. */
static bool may_change(
	struct making *k, enum map_id id, const struct route *was, const struct route *is)
{
	const char *key = is != NULL ? is->key : was->key;
	struct vk_strv *keys = &k->to->keys[id];
	if (id <= MAP_PATHS && was == NULL &&
		(routes_get(&k->want->maps[id], id, key) != NULL || vk_strv_has(keys, key)))
		return false;
	vk_strv_add(keys, key);
	return ++k->keys <= CHANGE_KEYS_MAX;
}

static bool part_make(struct making *k, const struct source *s, const char *name, struct part *p)
{
	const json_t *entry = json_object_get(json_object_get(s->doc, "stacks"), name);
	p->was = table_find(k->t, name);
	if (p->was == NULL || entry == NULL ||
		table_stack_parse(name, entry, s->host, &p->is, NULL) != 0 ||
		!same_nodes(p->was, &p->is) || !same_certs(p->was, &p->is))
		return false;
	assign_routes(p->was, &p->old);
	assign_choices(k->a, p->was, &p->old);
	assign_routes(&p->is, &p->new);
	if (!sort_lines(&p->old) || !sort_lines(&p->new))
		return false;
	assign_challenged(k->t, &p->old);
	assign_challenged(k->t, &p->new);
	for (enum map_id i = 0; i < MAP_STICKY; i++)
		if (!each_line(k, p, i, may_change))
			return false;
	return true;
}

/* "ID", "ID:user", "10.0.0.0@ID" */
static bool policy_used(const struct table *t, const char *key)
{
	const char *at = strchr(key, '@'), *id = at != NULL ? at + 1 : key;
	for (size_t i = 0; i < t->n; i++)
		for (size_t d = 0; d < t->stacks[i].n_domains; d++) {
			const struct policy *p = t->stacks[i].domains[d].policy;
			if (p != NULL && strncmp(p->id, id, POLICY_ID_SIZE - 1) == 0)
				return true;
		}
	return false;
}

static bool set_line(
	struct making *k, enum map_id id, const struct route *was, const struct route *is)
{
	if (is != NULL)
		routes_set(&k->want->maps[id], id, is->key, is->value);
	else if ((id != MAP_POLICIES && id != MAP_ACCESS) || !policy_used(k->t, was->key))
		routes_set(&k->want->maps[id], id, was->key, NULL);
	return true;
}

static bool set_choice(
	struct making *k, enum map_id id, const struct route *was, const struct route *is)
{
	vk_strv_add(&k->to->keys[id], is != NULL ? is->key : was->key);
	return set_line(k, id, was, is);
}

/* True if a slot is another one than before. */
static bool set_slots(struct making *k, const struct table_node *node)
{
	struct backend *b = &k->want->backends[node->backend - 1];
	size_t n = b->n;
	vk_autofree struct slot *was = vk_calloc(n + 1, sizeof(*was));
	memcpy(was, b->slots, n * sizeof(*was));
	assign_servers(&k->a->rows[node->backend - 1], node);
	assign_slots(k->a, node, k->want);
	if (b->n != n)
		return true;
	for (size_t i = 0; i < n; i++)
		if (!slot_equal(&was[i], &b->slots[i]))
			return true;
	return false;
}

static void part_commit(struct making *k, struct part *p)
{
	struct table_stack was = *p->was;
	*p->was = p->is;
	p->is = was;
	struct table_stack *is = p->was;
	is->held = VK_TAKE(p->is.held);
	is->n_held = p->is.n_held;
	p->is.n_held = 0;
	for (size_t i = 0; i < is->n_nodes; i++)
		if (is->nodes[i].backend > 0 && set_slots(k, &is->nodes[i])) {
			struct change *c = k->to;
			c->backends = vk_reallocarray(
				c->backends, c->n_backends + 1, sizeof(*c->backends));
			c->backends[c->n_backends++] = is->nodes[i].backend;
		}
	assign_choices(k->a, is, &p->new);
	routes_sort(&p->new.maps[MAP_STICKY], MAP_STICKY);
	routes_unique(&p->new.maps[MAP_STICKY]);
}

static void commit(struct making *k, int64_t rev)
{
	for (size_t i = 0; i < k->n; i++)
		part_commit(k, &k->parts[i]);
	for (size_t i = 0; i < k->n; i++) {
		for (enum map_id id = 0; id < MAP_STICKY; id++)
			each_line(k, &k->parts[i], id, set_line);
		each_line(k, &k->parts[i], MAP_STICKY, set_choice);
	}
	k->t->rev = rev;
}

static void part_release(struct part *p)
{
	table_stack_release(&p->is);
	model_release(&p->old);
	model_release(&p->new);
}

static void sort_keys(struct change *c)
{
	for (enum map_id id = 0; id < MAPS; id++) {
		struct vk_strv *l = &c->keys[id];
		size_t n = 0;
		vk_strv_sort(l);
		for (size_t i = 0; i < l->n; i++) {
			if (n > 0 && strcmp(l->v[n - 1], l->v[i]) == 0)
				free(l->v[i]);
			else
				l->v[n++] = l->v[i];
		}
		l->n = n;
	}
}

bool change_make(const struct source *s, struct table *t, struct assign *a, struct model *want,
	struct change *ret)
{
	vk_autofree struct part *parts = vk_calloc(s->stacks.n + 1, sizeof(*parts));
	struct making k = {.t = t, .a = a, .want = want, .parts = parts, .to = ret};
	bool ok = !s->all;
	*ret = (struct change){0};
	while (ok && k.n < s->stacks.n)
		ok = part_make(&k, s, s->stacks.v[k.n], &parts[k.n]), k.n++;
	if (ok)
		commit(&k, rev_of(s->doc));
	for (size_t i = 0; i < k.n; i++)
		part_release(&parts[i]);
	if (ok)
		sort_keys(ret);
	else
		change_release(ret);
	return ok;
}

void change_release(struct change *c)
{
	for (enum map_id i = 0; i < MAPS; i++)
		vk_strv_release(&c->keys[i]);
	free(c->backends);
	*c = (struct change){0};
}
