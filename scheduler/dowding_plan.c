/* The order of work: what stays, what is to be placed, and where. */
#include <stdlib.h>
#include <string.h>
#include <viking/crypt.h>

#include "dowding_search.h"
#include "dowding_why.h"

struct work { /* a service, or a group */
	const char *name;
	const struct dow_constraint *c;
	struct dow_constraint *own; /* a group's: the hosts that all members may use */
	uint64_t demand[DOW_DIMS];
	uint64_t dominant; /* share of what the whole cluster has, Q40 */
	uint32_t id, missing;
	bool group;
};

struct planner {
	struct dowding *d;
	struct dow_plan *out;
	struct work *work;
	size_t n, cap;
	uint64_t total[DOW_DIMS];
};

/* ---- what stays ---- */

static void lose(struct dowding *d, struct dow_svc *s, uint32_t i)
{
	uint32_t host = (uint32_t)s->place[i];
	dow_give(d, host, s->demand);
	s->place[i] = DOW_LOST(host);
}

static void wait_for(struct planner *p, const struct dow_svc *s, uint32_t i)
{
	DOW_GROW(p->out->waiting, p->out->nwaiting, p->out->waiting_cap);
	p->out->waiting[p->out->nwaiting++] = (struct dow_change){
		.service = s->name, .n = i + 1, .host = p->d->host_name[s->place[i]]};
}

/* Displaces what may not stay and counts what has no host. */
static uint32_t keep_service(struct planner *p, struct dow_svc *s)
{
	uint32_t missing = 0;
	for (uint32_t i = 0; i < s->replicas; i++) {
		if (s->place[i] >= 0 && s->volume) {
			if (p->d->load[s->place[i]].down)
				wait_for(p, s, i);
		} else if (s->place[i] >= 0 && !dow_may(s->constraint, (uint32_t)s->place[i])) {
			lose(p->d, s, i);
		}
		missing += s->place[i] < 0;
	}
	return missing;
}

static int32_t place_at(const struct dow_svc *s, uint32_t i)
{
	return i < s->replicas ? s->place[i] : DOW_NOWHERE;
}

static bool group_may(struct dowding *d, const struct dow_group *g, uint32_t host)
{
	for (size_t m = 0; m < g->n; m++)
		if (!dow_may(d->svc[g->members[m]].constraint, host))
			return false;
	return true;
}

/* Where unit i of a group is: its pinned member's host, else the first member's that may stay. */
static int32_t unit_host(struct dowding *d, const struct dow_group *g, uint32_t i, bool *ret_pinned)
{
	int32_t host = DOW_NOWHERE;
	*ret_pinned = false;
	for (size_t m = 0; m < g->n; m++) {
		const struct dow_svc *s = &d->svc[g->members[m]];
		int32_t at = place_at(s, i);
		if (at >= 0 && s->volume && !*ret_pinned) {
			host = at;
			*ret_pinned = true;
		} else if (at >= 0 && host < 0 && group_may(d, g, (uint32_t)at)) {
			host = at;
		}
	}
	return host;
}

static uint32_t group_replicas(struct dowding *d, const struct dow_group *g)
{
	uint32_t n = 0;
	for (size_t m = 0; m < g->n; m++)
		n = d->svc[g->members[m]].replicas > n ? d->svc[g->members[m]].replicas : n;
	return n;
}

static uint32_t keep_group(struct planner *p, const struct dow_group *g)
{
	uint32_t missing = 0, replicas = group_replicas(p->d, g);
	for (uint32_t i = 0; i < replicas; i++) {
		bool pinned;
		int32_t host = unit_host(p->d, g, i, &pinned);
		for (size_t m = 0; m < g->n; m++) {
			struct dow_svc *s = &p->d->svc[g->members[m]];
			int32_t at = place_at(s, i);
			if (at >= 0 && !s->volume && at != host)
				lose(p->d, s, i);
			else if (at >= 0 && p->d->load[at].down)
				wait_for(p, s, i);
			missing += i < s->replicas && s->place[i] < 0;
		}
	}
	return missing;
}

/* ---- the list of work ---- */

static uint64_t dominant(const struct planner *p, const uint64_t demand[DOW_DIMS])
{
	uint64_t most = 0;
	for (int k = 0; k < DOW_DIMS; k++) {
		unsigned __int128 share =
			p->total[k] == 0 ? 0 : ((unsigned __int128)demand[k] << 40) / p->total[k];
		most = (uint64_t)share > most ? (uint64_t)share : most;
	}
	return most;
}

/* The hosts that all members may use. *ret_own: NULL when that is the first member's constraint. */
static const struct dow_constraint *group_constraint(
	struct dowding *d, const struct dow_group *g, struct dow_constraint **ret_own)
{
	const struct dow_constraint *first = d->svc[g->members[0]].constraint;
	bool same = true;
	*ret_own = NULL;
	for (size_t m = 1; m < g->n; m++)
		same &= d->svc[g->members[m]].constraint == first;
	if (same)
		return first;
	struct dow_constraint *c = *ret_own = vk_alloc(sizeof(*c));
	c->bits = vk_calloc(d->nhosts / 64 + 1, sizeof(*c->bits));
	c->ids = vk_calloc(first->n + 1, sizeof(*c->ids));
	for (size_t i = 0; i < first->n; i++) {
		uint32_t h = first->ids[i];
		if (!group_may(d, g, h))
			continue;
		c->bits[h / 64] |= UINT64_C(1) << (h % 64);
		c->ids[c->n++] = h;
	}
	return c;
}

static void own_free(struct dow_constraint *c)
{
	if (c == NULL)
		return;
	free(c->bits);
	free(c->ids);
	free(c);
}

static void work_add(struct planner *p, struct work w)
{
	w.dominant = dominant(p, w.demand);
	DOW_GROW(p->work, p->n, p->cap);
	p->work[p->n++] = w;
}

static void add_group(struct planner *p, uint32_t id)
{
	struct dow_group *g = &p->d->groups[id];
	struct work w = {.name = g->name, .id = id, .group = true};
	g->dirty = false;
	if (g->n == 0 || (w.missing = keep_group(p, g)) == 0)
		return;
	w.c = group_constraint(p->d, g, &w.own);
	for (size_t m = 0; m < g->n; m++)
		for (int k = 0; k < DOW_DIMS; k++)
			w.demand[k] += p->d->svc[g->members[m]].demand[k];
	work_add(p, w);
}

static void add_service(struct planner *p, uint32_t id)
{
	struct dow_svc *s = &p->d->svc[id];
	struct work w = {.name = s->name, .id = id, .c = s->constraint};
	s->dirty = false;
	if (s->gone)
		return;
	if (s->group != DOW_NO_ID) {
		p->d->groups[s->group].dirty = true;
		return;
	}
	memcpy(w.demand, s->demand, sizeof(w.demand));
	w.missing = keep_service(p, s);
	if (w.missing > 0)
		work_add(p, w);
}

static int by_need(const void *pa, const void *pb)
{
	const struct work *a = pa, *b = pb;
	if (a->c->n != b->c->n)
		return a->c->n < b->c->n ? -1 : 1;
	if (a->dominant != b->dominant)
		return a->dominant > b->dominant ? -1 : 1;
	for (int k = 0; k < DOW_DIMS; k++)
		if (a->demand[k] != b->demand[k])
			return a->demand[k] > b->demand[k] ? -1 : 1;
	if (a->group != b->group)
		return a->group ? -1 : 1;
	int r = a->group || a->c == b->c ? 0 : strcmp(a->c->key, b->c->key);
	return r != 0 ? r : strcmp(a->name, b->name);
}

static int by_group_name(const void *a, const void *b, void *arg)
{
	const struct dowding *d = arg;
	return strcmp(d->groups[*(const uint32_t *)a].name, d->groups[*(const uint32_t *)b].name);
}

static void list_work(struct planner *p)
{
	struct dowding *d = p->d;
	vk_autofree uint32_t *groups = vk_calloc(d->ngroups + 1, sizeof(*groups));
	size_t n = 0;
	for (size_t h = 0; h < d->nhosts; h++)
		for (int k = 0; k < DOW_DIMS; k++)
			p->total[k] += d->load[h].down ? 0 : d->load[h].cap[k];
	if (d->hosts_changed)
		for (uint32_t i = 0; i < d->nsvc; i++)
			add_service(p, i);
	else
		for (size_t i = 0; i < d->ndirty; i++)
			add_service(p, d->dirty[i]);
	d->ndirty = 0;
	d->hosts_changed = false;
	for (uint32_t i = 0; i < d->ngroups; i++)
		if (d->groups[i].dirty)
			groups[n++] = i;
	qsort_r(groups, n, sizeof(*groups), by_group_name, d);
	for (size_t i = 0; i < n; i++)
		add_group(p, groups[i]);
	if (p->n > 1)
		qsort(p->work, p->n, sizeof(*p->work), by_need);
}

/* ---- placing ---- */

static void settle_on(struct planner *p, struct dow_svc *s, uint32_t i, uint32_t host)
{
	int32_t was = s->place[i];
	struct dow_change c = {.service = s->name, .n = i + 1, .host = p->d->host_name[host]};
	if (DOW_IS_LOST(was) && DOW_WAS(was) != host) {
		c.from = p->d->host_name[DOW_WAS(was)];
		p->out->moved++;
	}
	s->place[i] = (int32_t)host;
	DOW_GROW(p->out->changes, p->out->nchanges, p->out->changes_cap);
	p->out->changes[p->out->nchanges++] = c;
}

static const char *keep_reason(struct planner *p, char *text)
{
	p->out->reasons = vk_reallocarray(p->out->reasons, p->out->nreasons + 1, sizeof(char *));
	return p->out->reasons[p->out->nreasons++] = text;
}

static void unplaced(struct planner *p, struct dow_svc *s, uint32_t i, const char *reason)
{
	DOW_GROW(p->out->unplaced, p->out->nunplaced, p->out->unplaced_cap);
	p->out->unplaced[p->out->nunplaced++] =
		(struct dow_unplaced){.service = s->name, .n = i + 1, .reason = reason};
	dow_touch(p->d, (uint32_t)(s - p->d->svc));
}

/* Replicas by host and zone of what a service has placed; with sign -1 the counts are taken back. */
static void count_service(struct dow_search *q, const struct dow_svc *s, int sign)
{
	for (uint32_t i = 0; i < s->replicas; i++)
		if (s->place[i] >= 0) {
			q->d->count[s->place[i]] += (uint32_t)sign;
			q->bins[q->d->load[s->place[i]].zone].count += (uint32_t)sign;
		}
}

static void place_service(struct planner *p, const struct work *w, struct dow_search *q)
{
	struct dow_svc *s = &p->d->svc[w->id];
	const char *reason = NULL;
	count_service(q, s, 1);
	for (uint32_t i = 0; i < s->replicas; i++) {
		if (s->place[i] >= 0)
			continue;
		uint32_t host =
			reason != NULL ? DOW_NO_ID : dow_search_next(q, s->spread, s->max_per_host);
		if (host != DOW_NO_ID) {
			settle_on(p, s, i, host);
			continue;
		}
		if (reason == NULL)
			reason = keep_reason(
				p, dow_why_nowhere(p->d, s, w->c, w->demand, s->max_per_host));
		unplaced(p, s, i, reason);
	}
	count_service(q, s, -1);
	dow_search_again(q);
}

static bool same_search(const struct work *a, const struct work *b)
{
	return !a->group && !b->group && a->c == b->c &&
		memcmp(a->demand, b->demand, sizeof(a->demand)) == 0;
}

/* Services of one constraint and demand share a search. Returns how many. */
static size_t place_services(struct planner *p, const struct work *w, size_t n)
{
	struct dow_search q;
	size_t run = 1;
	while (run < n && same_search(w, &w[run]))
		run++;
	dow_search_open(&q, p->d, w->c, w->demand, run > 1 ? SIZE_MAX : p->d->svc[w->id].replicas);
	for (size_t i = 0; i < run; i++)
		place_service(p, &w[i], &q);
	dow_search_close(&q);
	return run;
}

/* ---- groups ---- */

struct unit {
	uint64_t demand[DOW_DIMS]; /* of the members without a host */
	int32_t host;              /* where it is bound to, or DOW_NOWHERE */
	uint32_t missing;
	bool pinned;
};

static struct unit unit_of(struct planner *p, const struct work *w, uint32_t i)
{
	const struct dow_group *g = &p->d->groups[w->id];
	struct unit u = {0};
	u.host = unit_host(p->d, g, i, &u.pinned);
	for (size_t m = 0; m < g->n; m++) {
		const struct dow_svc *s = &p->d->svc[g->members[m]];
		if (i >= s->replicas || s->place[i] >= 0)
			continue;
		u.missing++;
		for (int k = 0; k < DOW_DIMS; k++)
			u.demand[k] += s->demand[k];
	}
	return u;
}

static void group_rules(struct planner *p, const struct dow_group *g, enum dow_spread *ret_spread,
	uint32_t *ret_max)
{
	*ret_spread = DOW_NONE;
	*ret_max = UINT32_MAX;
	for (size_t m = 0; m < g->n; m++) {
		const struct dow_svc *s = &p->d->svc[g->members[m]];
		*ret_max = s->max_per_host < *ret_max ? s->max_per_host : *ret_max;
		if (s->spread != DOW_NONE && *ret_spread != DOW_HARD)
			*ret_spread = s->spread;
	}
}

static void unit_settle(
	struct planner *p, const struct dow_group *g, uint32_t i, uint32_t host, const char *reason)
{
	for (size_t m = 0; m < g->n; m++) {
		struct dow_svc *s = &p->d->svc[g->members[m]];
		if (i >= s->replicas || s->place[i] >= 0)
			continue;
		if (host != DOW_NO_ID)
			settle_on(p, s, i, host);
		else
			unplaced(p, s, i, reason);
	}
}

static void count_group(struct dow_search *q, const struct work *w, int sign)
{
	const struct dow_group *g = &q->d->groups[w->id];
	uint32_t n = group_replicas(q->d, g);
	for (uint32_t i = 0; i < n; i++) {
		bool pinned;
		int32_t at = unit_host(q->d, g, i, &pinned);
		if (at < 0)
			continue;
		q->d->count[at] += (uint32_t)sign;
		q->bins[q->d->load[at].zone].count += (uint32_t)sign;
	}
}

/* One search serves the units of a group as long as they need the same. */
struct group_search {
	struct dow_search q;
	bool open;
};

static void group_close(struct group_search *gs, const struct work *w)
{
	if (!gs->open)
		return;
	count_group(&gs->q, w, -1);
	dow_search_close(&gs->q);
	gs->open = false;
}

static uint32_t group_next(
	struct planner *p, struct group_search *gs, const struct work *w, const struct unit *u)
{
	const struct dow_group *g = &p->d->groups[w->id];
	enum dow_spread spread;
	uint32_t max;
	if (gs->open && memcmp(gs->q.demand, u->demand, sizeof(u->demand)) != 0)
		group_close(gs, w);
	if (!gs->open) {
		dow_search_open(&gs->q, p->d, w->c, u->demand, group_replicas(p->d, g));
		count_group(&gs->q, w, 1);
		gs->open = true;
	}
	group_rules(p, g, &spread, &max);
	return dow_search_next(&gs->q, spread, max);
}

static void place_group(struct planner *p, const struct work *w)
{
	const struct dow_group *g = &p->d->groups[w->id];
	uint32_t n = group_replicas(p->d, g);
	struct group_search gs = {.open = false};
	for (uint32_t i = 0; i < n; i++) {
		struct unit u = unit_of(p, w, i);
		uint32_t host = DOW_NO_ID;
		char *why = NULL;
		if (u.missing == 0)
			continue;
		if (u.host < 0) {
			host = group_next(p, &gs, w, &u);
			if (host == DOW_NO_ID)
				why = dow_why_nowhere(p->d, &p->d->svc[g->members[0]], w->c,
					u.demand, UINT32_MAX);
		} else if ((why = dow_why_bound(
				    p->d, g, (uint32_t)u.host, u.demand, u.pinned, i)) == NULL) {
			host = (uint32_t)u.host;
			dow_take(p->d, host, u.demand);
		}
		unit_settle(p, g, i, host, why == NULL ? NULL : keep_reason(p, why));
	}
	group_close(&gs, w);
}

/* ---- the plan ---- */

void dow_plan(struct dowding *d, struct dow_plan *ret)
{
	struct planner p = {.d = d, .out = ret};
	*ret = (struct dow_plan){0};
	dow_settle_hosts(d);
	list_work(&p);
	for (size_t i = 0; i < p.n;) {
		if (p.work[i].group)
			place_group(&p, &p.work[i++]);
		else
			i += place_services(&p, &p.work[i], p.n - i);
	}
	for (size_t i = 0; i < p.n; i++)
		own_free(p.work[i].own);
	free(p.work);
}

void dow_plan_release(struct dow_plan *p)
{
	for (size_t i = 0; i < p->nreasons; i++)
		free(p->reasons[i]);
	free(p->reasons);
	free(p->changes);
	free(p->unplaced);
	free(p->waiting);
	*p = (struct dow_plan){0};
}

static int by_service_name(const void *a, const void *b, void *arg)
{
	const struct dow_svc *svc = arg;
	return strcmp(svc[*(const uint32_t *)a].name, svc[*(const uint32_t *)b].name);
}

void dow_each(struct dowding *d, dow_each_fn *fn, void *arg)
{
	vk_autofree uint32_t *order = vk_calloc(d->nsvc + 1, sizeof(*order));
	bool go = true;
	for (uint32_t i = 0; i < d->nsvc; i++)
		order[i] = i;
	qsort_r(order, d->nsvc, sizeof(*order), by_service_name, d->svc);
	for (size_t i = 0; i < d->nsvc && go; i++) {
		const struct dow_svc *s = &d->svc[order[i]];
		for (uint32_t n = 0; n < s->replicas && go; n++)
			if (s->place[n] >= 0)
				go = fn(arg, s->name, n + 1, d->host_name[s->place[n]]);
	}
}

static bool hash_line(void *arg, const char *service, unsigned n, const char *host)
{
	char number[16];
	int len = snprintf(number, sizeof(number), " %u ", n);
	vk_sha256_add(arg, service, strlen(service));
	vk_sha256_add(arg, number, (size_t)len);
	vk_sha256_add(arg, host, strlen(host));
	vk_sha256_add(arg, "\n", 1);
	return true;
}

void dow_hash(struct dowding *d, char ret[static 65])
{
	struct vk_sha256 *h = vk_sha256_new();
	dow_each(d, hash_line, h);
	vk_sha256_end(h, ret);
}
