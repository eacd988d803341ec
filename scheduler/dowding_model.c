/* Hosts, services and constraints of the planner. */
#include "dowding_model.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct dow_name *)a)->name, ((const struct dow_name *)b)->name);
}

uint32_t dow_find(void *tree, const char *name)
{
	union {
		const char *in;
		char *out;
	} borrowed = {name};
	struct dow_name key = {.name = borrowed.out};
	struct dow_name **at = tfind(&key, &tree, by_name);
	return at == NULL ? DOW_NO_ID : (*at)->id;
}

/* The name is borrowed: it lives in the array that the id is an index of. */
static void name_add(void **tree, char *name, size_t id)
{
	struct dow_name *e = vk_alloc(sizeof(*e));
	*e = (struct dow_name){.name = name, .id = (uint32_t)id};
	tsearch(e, tree, by_name);
}

struct dowding *dow_new(void)
{
	struct dowding *d = vk_alloc(sizeof(*d));
	vk_strv_add(&d->zones, "");
	return d;
}

static void constraint_free(struct dow_constraint *c)
{
	vk_strv_release(&c->roles);
	vk_strv_release(&c->hosts);
	free(c->key);
	free(c->bits);
	free(c->ids);
	free(c);
}

void dow_free(struct dowding *d)
{
	if (d == NULL)
		return;
	void *trees[] = {
		d->host_names, d->svc_names, d->constraint_keys, d->label_names, d->group_names};
	for (size_t i = 0; i < VK_COUNT(trees); i++)
		tdestroy(trees[i], free);
	for (size_t i = 0; i < d->nhosts; i++) {
		free(d->host_name[i]);
		free(d->host_labels[i]);
	}
	for (size_t i = 0; i < d->nlabels; i++) {
		free(d->labels[i].name);
		free(d->labels[i].hosts);
	}
	for (size_t i = 0; i < d->nconstraints; i++)
		constraint_free(d->constraints[i]);
	for (size_t i = 0; i < d->nsvc; i++) {
		free(d->svc[i].name);
		free(d->svc[i].place);
	}
	for (size_t i = 0; i < d->ngroups; i++) {
		free(d->groups[i].name);
		free(d->groups[i].members);
	}
	vk_strv_release(&d->zones);
	void *arrays[] = {d->load, d->blocks, d->host_name, d->host_labels, d->by_rank, d->labels,
		d->constraints, d->svc, d->groups, d->dirty, d->count, d};
	for (size_t i = 0; i < VK_COUNT(arrays); i++)
		free(arrays[i]);
}

/* ---- hosts ---- */

static uint32_t host_new(struct dowding *d, const char *name)
{
	size_t id = d->nhosts;
	if (d->nhosts == d->hosts_cap) {
		d->hosts_cap = d->hosts_cap ? d->hosts_cap * 2 : 16;
		d->load = vk_reallocarray(d->load, d->hosts_cap, sizeof(*d->load));
		d->host_name = vk_reallocarray(d->host_name, d->hosts_cap, sizeof(char *));
		d->host_labels = vk_reallocarray(d->host_labels, d->hosts_cap, sizeof(char *));
		d->by_rank = vk_reallocarray(d->by_rank, d->hosts_cap, sizeof(uint32_t));
		d->count = vk_reallocarray(d->count, d->hosts_cap, sizeof(uint32_t));
	}
	if (id % 64 == 0) {
		d->blocks = vk_reallocarray(d->blocks, id / 64 + 1, sizeof(*d->blocks));
		d->blocks[id / 64] = (struct dow_block){0};
	}
	d->load[id] = (struct dow_load){.down = true};
	d->host_name[id] = vk_strdup(name);
	d->host_labels[id] = NULL;
	d->by_rank[id] = (uint32_t)id;
	d->count[id] = 0;
	d->nhosts++;
	name_add(&d->host_names, d->host_name[id], id);
	d->hosts_changed = d->unsorted = true;
	return (uint32_t)id;
}

static struct dow_label *label_get(struct dowding *d, const char *name)
{
	uint32_t id = dow_find(d->label_names, name);
	if (id == DOW_NO_ID) {
		DOW_GROW(d->labels, d->nlabels, d->labels_cap);
		id = (uint32_t)d->nlabels++;
		d->labels[id] = (struct dow_label){.name = vk_strdup(name)};
		name_add(&d->label_names, d->labels[id].name, id);
	}
	return &d->labels[id];
}

static void label_drop(struct dow_label *l, uint32_t host)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->hosts[i] == host) {
			l->hosts[i] = l->hosts[--l->n];
			return;
		}
}

static void set_labels(struct dowding *d, uint32_t id, const struct dow_host *h)
{
	vk_autobuf joined = VK_BUF_INIT(1 << 20);
	vk_autostrv names = {0};
	for (size_t i = 0; i < h->nlabels; i++)
		if (!vk_strv_has(&names, h->labels[i]))
			vk_strv_add(&names, h->labels[i]);
	vk_strv_sort(&names);
	for (size_t i = 0; i < names.n; i++)
		vk_buf_addf(&joined, "%s\n", names.v[i]);
	if (d->host_labels[id] != NULL && strcmp(d->host_labels[id], vk_buf_str(&joined)) == 0)
		return;
	for (size_t i = 0; i < d->nlabels && d->host_labels[id] != NULL; i++)
		label_drop(&d->labels[i], id);
	for (size_t i = 0; i < names.n; i++) {
		struct dow_label *l = label_get(d, names.v[i]);
		DOW_GROW(l->hosts, l->n, l->cap);
		l->hosts[l->n++] = id;
	}
	free(d->host_labels[id]);
	d->host_labels[id] = vk_buf_take(&joined);
	d->load[id].labels = names.n > 255 ? 255 : (uint8_t)names.n;
	d->hosts_changed = true;
}

static uint32_t zone_id(struct dowding *d, const char *zone)
{
	for (size_t i = 0; i < d->zones.n; i++)
		if (strcmp(d->zones.v[i], zone == NULL ? "" : zone) == 0)
			return (uint32_t)i;
	vk_strv_add(&d->zones, zone);
	return (uint32_t)d->zones.n - 1;
}

/* The shift keeps what a host has below 2^31, so that a share that fits never overflows 64 bits. */
static void set_cap(struct dow_load *l, const uint64_t cap[DOW_DIMS])
{
	for (int k = 0; k < DOW_DIMS; k++) {
		uint64_t c = cap[k];
		for (l->shift[k] = 0; c >> l->shift[k] >= UINT64_C(1) << 31;)
			l->shift[k]++;
		l->cap[k] = c;
		l->inverse[k] = c >> l->shift[k] ? (UINT64_C(1) << 52) / (c >> l->shift[k]) : 0;
	}
}

void dow_set_host(struct dowding *d, const struct dow_host *h)
{
	uint32_t id = dow_find(d->host_names, h->name);
	if (id == DOW_NO_ID)
		id = host_new(d, h->name);
	struct dow_load *l = &d->load[id];
	uint32_t zone = zone_id(d, h->zone);
	bool down = h->down || h->draining;
	d->hosts_changed |=
		l->down != down || l->zone != zone || memcmp(l->cap, h->cap, sizeof(l->cap)) != 0;
	l->down = down;
	l->draining = h->draining && !h->down;
	l->zone = zone;
	set_cap(l, h->cap);
	set_labels(d, id, h);
}

bool dow_set_down(struct dowding *d, const char *host, bool down)
{
	uint32_t id = dow_find(d->host_names, host);
	if (id == DOW_NO_ID)
		return false;
	d->hosts_changed |= d->load[id].down != down;
	d->load[id].down = down;
	return true;
}

bool dow_knows_host(struct dowding *d, const char *name)
{
	return dow_find(d->host_names, name) != DOW_NO_ID;
}

bool dow_knows_service(struct dowding *d, const char *name)
{
	uint32_t id = dow_find(d->svc_names, name);
	return id != DOW_NO_ID && !d->svc[id].gone;
}

const char *dow_host_at(struct dowding *d, size_t i)
{
	if (d->hosts_changed)
		dow_settle_hosts(d);
	return i < d->nhosts ? d->host_name[d->by_rank[i]] : NULL;
}

/* ---- constraints ---- */

static void sorted(struct vk_strv *to, const char *const *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!vk_strv_has(to, from[i]))
			vk_strv_add(to, from[i]);
	vk_strv_sort(to);
}

static struct dow_constraint *constraint_get(struct dowding *d, const struct dow_service *s)
{
	vk_autostrv roles = {0};
	vk_autostrv hosts = {0};
	vk_autobuf key = VK_BUF_INIT(16 << 20);
	sorted(&roles, s->roles, s->nroles);
	sorted(&hosts, s->hosts, s->nhosts);
	for (size_t i = 0; i < roles.n; i++)
		vk_buf_addf(&key, "r%s\n", roles.v[i]);
	for (size_t i = 0; i < hosts.n; i++)
		vk_buf_addf(&key, "h%s\n", hosts.v[i]);
	uint32_t id = dow_find(d->constraint_keys, vk_buf_str(&key));
	if (id != DOW_NO_ID)
		return d->constraints[id];
	struct dow_constraint *c = vk_alloc(sizeof(*c));
	c->key = vk_buf_take(&key);
	c->roles = roles;
	c->hosts = hosts;
	roles = hosts = (struct vk_strv){0};
	c->stale = true;
	c->id = (uint32_t)d->nconstraints;
	DOW_GROW(d->constraints, d->nconstraints, d->constraints_cap);
	d->constraints[d->nconstraints++] = c;
	name_add(&d->constraint_keys, c->key, c->id);
	return c;
}

static void set_bits(struct dowding *d, uint64_t *bits, const struct vk_strv *names, bool roles)
{
	for (size_t i = 0; i < names->n; i++) {
		uint32_t id = dow_find(roles ? d->label_names : d->host_names, names->v[i]);
		if (id == DOW_NO_ID)
			continue;
		const uint32_t *hosts = roles ? d->labels[id].hosts : &id;
		size_t n = roles ? d->labels[id].n : 1;
		for (size_t j = 0; j < n; j++)
			bits[hosts[j] / 64] |= UINT64_C(1) << (hosts[j] % 64);
	}
}

static void constraint_settle(struct dowding *d, struct dow_constraint *c)
{
	size_t words = d->nhosts / 64 + 1;
	vk_autofree uint64_t *hosts = vk_calloc(words, sizeof(*hosts));
	free(c->bits);
	free(c->ids);
	c->bits = vk_calloc(words, sizeof(*c->bits));
	c->ids = vk_calloc(d->nhosts + 1, sizeof(*c->ids));
	c->n = 0;
	c->stale = false;
	set_bits(d, c->bits, &c->roles, true);
	set_bits(d, hosts, &c->hosts, false);
	for (uint32_t h = 0; h < d->nhosts; h++) {
		uint64_t bit = UINT64_C(1) << (h % 64);
		bool may = !d->load[h].down && (c->roles.n == 0 || (c->bits[h / 64] & bit)) &&
			(c->hosts.n == 0 || (hosts[h / 64] & bit));
		c->bits[h / 64] = may ? c->bits[h / 64] | bit : c->bits[h / 64] & ~bit;
		if (may)
			c->ids[c->n++] = h;
	}
	c->ids = vk_reallocarray(c->ids, c->n + 1, sizeof(*c->ids));
}

static int by_host_name(const void *a, const void *b, void *arg)
{
	char **names = arg;
	return strcmp(names[*(const uint32_t *)a], names[*(const uint32_t *)b]);
}

static void note_share(struct dowding *d, uint32_t host)
{
	const struct dow_load *l = &d->load[host];
	for (int k = 0; k < DOW_DIMS; k++) {
		uint64_t share = (l->used[k] >> l->shift[k]) * l->inverse[k] >> 38;
		d->blocks[host / 64].share[k][host % 64] =
			share > 1 << 14 ? 1 << 14 : (uint16_t)share;
	}
}

static void settle_blocks(struct dowding *d)
{
	memset(d->largest, 0, sizeof(d->largest));
	for (size_t h = 0; h < d->nhosts; h++)
		for (int k = 0; k < DOW_DIMS; k++)
			if (d->load[h].cap[k] > d->largest[k])
				d->largest[k] = d->load[h].cap[k];
	for (uint32_t h = 0; h < d->nhosts; h++) {
		note_share(d, h);
		for (int k = 0; k < DOW_DIMS; k++) {
			uint64_t cap = d->load[h].cap[k];
			uint64_t smaller = cap == 0
				? 0
				: (uint64_t)(((unsigned __int128)d->largest[k] << 14) / cap);
			d->blocks[h / 64].smaller[k][h % 64] =
				smaller > UINT16_MAX ? UINT16_MAX : (uint16_t)smaller;
		}
	}
}

void dow_settle_hosts(struct dowding *d)
{
	if (d->hosts_changed)
		settle_blocks(d);
	if (d->unsorted) {
		qsort_r(d->by_rank, d->nhosts, sizeof(uint32_t), by_host_name, d->host_name);
		for (uint32_t i = 0; i < d->nhosts; i++)
			d->load[d->by_rank[i]].rank = i;
	}
	for (size_t i = 0; i < d->nconstraints; i++)
		if (d->hosts_changed || d->constraints[i]->stale)
			constraint_settle(d, d->constraints[i]);
	d->unsorted = false;
}

/* ---- services ---- */

void dow_take(struct dowding *d, uint32_t host, const uint64_t demand[DOW_DIMS])
{
	for (int k = 0; k < DOW_DIMS; k++)
		d->load[host].used[k] += demand[k];
	note_share(d, host);
}

void dow_give(struct dowding *d, uint32_t host, const uint64_t demand[DOW_DIMS])
{
	for (int k = 0; k < DOW_DIMS; k++)
		d->load[host].used[k] -= demand[k];
	note_share(d, host);
}

void dow_touch(struct dowding *d, uint32_t id)
{
	if (d->svc[id].dirty)
		return;
	d->svc[id].dirty = true;
	DOW_GROW(d->dirty, d->ndirty, d->dirty_cap);
	d->dirty[d->ndirty++] = id;
}

static void group_join(struct dowding *d, uint32_t svc, const char *name)
{
	uint32_t id = dow_find(d->group_names, name);
	if (id == DOW_NO_ID) {
		DOW_GROW(d->groups, d->ngroups, d->groups_cap);
		id = (uint32_t)d->ngroups++;
		d->groups[id] = (struct dow_group){.name = vk_strdup(name)};
		name_add(&d->group_names, d->groups[id].name, id);
	}
	struct dow_group *g = &d->groups[id];
	size_t at = g->n;
	DOW_GROW(g->members, g->n, g->cap);
	for (; at > 0 && strcmp(d->svc[g->members[at - 1]].name, d->svc[svc].name) > 0; at--)
		g->members[at] = g->members[at - 1];
	g->members[at] = svc;
	g->n++;
	d->svc[svc].group = id;
}

static void group_leave(struct dowding *d, uint32_t svc)
{
	if (d->svc[svc].group == DOW_NO_ID)
		return;
	struct dow_group *g = &d->groups[d->svc[svc].group];
	size_t to = 0;
	for (size_t i = 0; i < g->n; i++)
		if (g->members[i] != svc)
			g->members[to++] = g->members[i];
	g->n = to;
	d->svc[svc].group = DOW_NO_ID;
}

static void resize(struct dowding *d, struct dow_svc *s, uint32_t replicas)
{
	for (uint32_t i = replicas; i < s->replicas; i++)
		if (s->place[i] >= 0)
			dow_give(d, (uint32_t)s->place[i], s->demand);
	s->place = vk_reallocarray(s->place, replicas + 1, sizeof(*s->place));
	for (uint32_t i = s->replicas; i < replicas; i++)
		s->place[i] = DOW_NOWHERE;
	s->replicas = replicas;
}

static void set_demand(struct dowding *d, struct dow_svc *s, const uint64_t demand[DOW_DIMS])
{
	if (memcmp(s->demand, demand, sizeof(s->demand)) == 0)
		return;
	for (uint32_t i = 0; i < s->replicas; i++)
		if (s->place[i] >= 0) {
			dow_give(d, (uint32_t)s->place[i], s->demand);
			dow_take(d, (uint32_t)s->place[i], demand);
		}
	memcpy(s->demand, demand, sizeof(s->demand));
}

void dow_set_service(struct dowding *d, const struct dow_service *in)
{
	uint32_t id = dow_find(d->svc_names, in->name);
	if (id == DOW_NO_ID) {
		DOW_GROW(d->svc, d->nsvc, d->svc_cap);
		id = (uint32_t)d->nsvc++;
		d->svc[id] = (struct dow_svc){.name = vk_strdup(in->name), .group = DOW_NO_ID};
		name_add(&d->svc_names, d->svc[id].name, id);
	}
	struct dow_svc *s = &d->svc[id];
	s->gone = false;
	resize(d, s, in->replicas);
	set_demand(d, s, in->demand);
	s->constraint = constraint_get(d, in);
	s->spread = (uint8_t)in->spread;
	s->max_per_host = in->max_per_host ? in->max_per_host
		: in->spread == DOW_HARD   ? 1
					   : UINT32_MAX;
	s->volume = in->volume;
	group_leave(d, id);
	if (in->group != NULL && *in->group != '\0')
		group_join(d, id, in->group);
	dow_touch(d, id);
}

void dow_remove_service(struct dowding *d, const char *service)
{
	uint32_t id = dow_find(d->svc_names, service);
	if (id == DOW_NO_ID)
		return;
	group_leave(d, id);
	resize(d, &d->svc[id], 0);
	d->svc[id].gone = true;
}

bool dow_placed(struct dowding *d, const char *service, unsigned n, const char *host)
{
	uint32_t id = dow_find(d->svc_names, service), at = dow_find(d->host_names, host);
	if (id == DOW_NO_ID || n == 0 || n > d->svc[id].replicas)
		return false;
	if (at == DOW_NO_ID)
		at = host_new(d, host);
	struct dow_svc *s = &d->svc[id];
	if (s->place[n - 1] >= 0)
		dow_give(d, (uint32_t)s->place[n - 1], s->demand);
	s->place[n - 1] = (int32_t)at;
	dow_take(d, at, s->demand);
	dow_touch(d, id);
	return true;
}

const char *dow_where(struct dowding *d, const char *service, unsigned n)
{
	uint32_t id = dow_find(d->svc_names, service);
	if (id == DOW_NO_ID || n == 0 || n > d->svc[id].replicas || d->svc[id].place[n - 1] < 0)
		return NULL;
	return d->host_name[d->svc[id].place[n - 1]];
}
