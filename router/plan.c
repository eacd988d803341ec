#include "plan.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* A server that is added at run time gets no default-server settings: pools of idle connections are
 * off unless asked for. */
#define KEY_BYTES    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~/:@"
#define ADDED_SERVER " pool-max-conn -1 pool-purge-delay 5s"

struct writer {
	struct plan *plan;
	struct vk_buf line;
	size_t weight;             /* map entries the line's deletes look at */
	const struct change *only; /* NULL = everything is looked at */
	bool begin;                /* servers that begin, else those that end */
};

static void add_step(struct plan *p, struct step step)
{
	if (p->n == p->cap) {
		p->cap = p->cap > 0 ? p->cap * 2 : 8;
		p->steps = vk_reallocarray(p->steps, p->cap, sizeof(*p->steps));
	}
	p->steps[p->n++] = step;
}

static void flush(struct writer *w)
{
	if (w->line.len == 0)
		return;
	w->line.data[w->line.len - 1] = '\n'; /* the last ';' */
	add_step(w->plan, (struct step){.kind = STEP_LINE, .line = vk_buf_take(&w->line)});
	vk_buf_init(&w->line, PLAN_LINE_MAX + 1024);
	w->weight = 0;
}

static void __attribute__((format(printf, 2, 3))) command(struct writer *w, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	if (w->line.len + strlen(text) + 1 > PLAN_LINE_MAX)
		flush(w);
	vk_buf_adds(&w->line, text);
	vk_buf_addc(&w->line, ';');
}

static void touch(struct plan *p, unsigned backend)
{
	if (p->n_touched > 0 && p->touched[p->n_touched - 1] == backend)
		return;
	if ((p->n_touched & (p->n_touched - 1)) == 0)
		p->touched = vk_reallocarray(
			p->touched, p->n_touched > 0 ? p->n_touched * 2 : 1, sizeof(*p->touched));
	p->touched[p->n_touched++] = backend;
}

static const struct slot no_slot;

static const struct slot *slot_at(const struct model *m, unsigned backend, unsigned slot)
{
	if (backend >= m->n || slot >= m->backends[backend].n)
		return &no_slot;
	return &m->backends[backend].slots[slot];
}

static unsigned slots_at(const struct model *m, unsigned backend)
{
	return backend < m->n ? m->backends[backend].n : 0;
}

/* What the wanted state says of a slot that haproxy has: one it does not name is to be closed. */
static struct slot wanted(
	const struct model *want, unsigned backend, unsigned slot, const struct slot *live)
{
	struct slot s = *slot_at(want, backend, slot);
	if (s.state == SLOT_NONE && live->state != SLOT_NONE)
		slot_close(&s);
	return s;
}

static void open_slot(struct writer *w, const char *name, const char *proto, unsigned slot,
	const struct slot *want, const struct slot *live)
{
	bool moved = strcmp(want->addr, live->addr) != 0 || want->port != live->port;
	if (live->state == SLOT_NONE) {
		bool v6 = strchr(want->addr, ':') != NULL;
		command(w, "add server %s/s%u %s%s%s:%u%s" ADDED_SERVER, name, slot, v6 ? "[" : "",
			want->addr, v6 ? "]" : "", want->port, proto);
	} else if (moved) { /* a ready one too: closing it first would be a gap */
		command(w, "set server %s/s%u addr %s port %u", name, slot, want->addr, want->port);
	}
	if (live->state != SLOT_READY)
		command(w, "set server %s/s%u state ready", name, slot);
}

/* A server that is added at run time and drains without ever having been ready makes haproxy 2.6 loop in its
 * tree of servers once it is ready: so it is, for a moment, at an address that refuses. */
static void end_slot(struct writer *w, const char *name, const char *proto, unsigned slot,
	const struct slot *want, const struct slot *live)
{
	struct slot now = *live;
	if (live->state == SLOT_NONE) {
		command(w, "add server %s/s%u %s:%u%s" ADDED_SERVER, name, slot, MODEL_CLOSED_ADDR,
			MODEL_CLOSED_PORT, proto);
		slot_close(&now);
	}
	if (want->state == SLOT_DRAIN && now.state == SLOT_FREE)
		command(w, "set server %s/s%u state ready", name, slot);
	if (now.state != want->state)
		command(w, "set server %s/s%u state %s", name, slot,
			want->state == SLOT_DRAIN ? "drain" : "maint");
	if (strcmp(want->addr, now.addr) != 0 || want->port != now.port)
		command(w, "set server %s/s%u addr %s port %u", name, slot, want->addr, want->port);
}

static void plan_backend(
	struct writer *w, const struct model *want, const struct model *live, unsigned b)
{
	char name[BACKEND_NAME_SIZE];
	unsigned ws = slots_at(want, b), ls = slots_at(live, b);
	const char *proto = b < want->n && want->backends[b].h2 ? " proto h2" : "";
	backend_name(b + 1, name);
	for (unsigned s = 0; s < (ws > ls ? ws : ls); s++) {
		const struct slot *is = slot_at(live, b, s);
		struct slot shall = wanted(want, b, s, is);
		if (slot_equal(&shall, is) || (shall.state == SLOT_READY) != w->begin)
			continue;
		if (w->begin)
			open_slot(w, name, proto, s + 1, &shall, is);
		else
			end_slot(w, name, proto, s + 1, &shall, is);
		touch(w->plan, b + 1);
	}
}

static void plan_servers(
	struct writer *w, const struct model *want, const struct model *live, bool begin)
{
	unsigned n = want->n > live->n ? want->n : live->n;
	w->begin = begin;
	for (size_t i = 0; w->only != NULL && i < w->only->n_backends; i++)
		plan_backend(w, want, live, w->only->backends[i] - 1);
	for (unsigned b = 0; w->only == NULL && b < n; b++)
		plan_backend(w, want, live, b);
}

/* The order of a map's lines is of no weight but in the suffixes, so a read map is compared sorted.
 */
struct map_changes {
	const struct routes *want, *live;
	const char *path;
	size_t entries; /* of the whole map in haproxy */
	bool differs, swap;
};

static void delete_key(struct writer *w, const struct map_changes *c, const char *key)
{
	if (w->weight + c->entries > PLAN_STALL_ENTRIES && w->weight > 0)
		flush(w);
	w->weight += c->entries;
	command(w, "del map %s %s", c->path, key);
}

/* A key that is there twice, or cannot stand in a command: only a swap of the map helps. */
static bool odd_keys(const struct routes *live)
{
	for (size_t i = 0; i < live->n; i++)
		if (live->v[i].key[strspn(live->v[i].key, KEY_BYTES)] != '\0' ||
			(i > 0 && strcmp(live->v[i - 1].key, live->v[i].key) == 0))
			return true;
	return false;
}

static size_t count_deletes(const struct map_changes *c)
{
	size_t n = 0;
	for (size_t i = 0; i < c->live->n; i++) {
		const struct route *r = routes_find(c->want, c->live->v[i].key);
		if (r == NULL || strcmp(r->value, c->live->v[i].value) != 0)
			n++;
	}
	return n;
}

static struct map_changes map_changes(const struct model *want, const struct model *live,
	const struct plan_paths *paths, enum map_id id)
{
	struct map_changes c = {
		.want = &want->maps[id], .live = &live->maps[id], .path = paths->maps[id]};
	c.entries = c.live->n;
	c.differs = !routes_equal(c.want, c.live);
	if (!c.differs)
		return c;
	size_t added = c.want->n > c.live->n ? c.want->n - c.live->n : 0;
	c.swap = id == MAP_SUFFIXES || added > 1000 || odd_keys(c.live) ||
		count_deletes(&c) > PLAN_DELETES_MAX;
	return c;
}

static void plan_gone(struct writer *w, const struct map_changes *c)
{
	for (size_t i = 0; c->differs && !c->swap && i < c->live->n; i++)
		if (routes_find(c->want, c->live->v[i].key) == NULL)
			delete_key(w, c, c->live->v[i].key);
}

static void plan_new(struct writer *w, const struct map_changes *c)
{
	for (size_t i = 0; c->differs && i < c->want->n; i++) {
		const struct route *shall = &c->want->v[i], *is = routes_find(c->live, shall->key);
		if (is == NULL)
			command(w, "add map %s %s %s", c->path, shall->key, shall->value);
		else if (strcmp(is->value, shall->value) != 0)
			command(w, "set map %s %s %s", c->path, shall->key, shall->value);
	}
}

/* What routes refer to: present before a route names it, gone behind it. */
static bool referred(enum map_id id)
{
	return id >= MAP_PATHS;
}

static void plan_swaps(struct writer *w, const struct map_changes *c, bool aux)
{
	for (enum map_id i = 0; i < MAPS; i++) {
		if (!c[i].differs || !c[i].swap || referred(i) != aux)
			continue;
		flush(w);
		add_step(w->plan, (struct step){.kind = STEP_SWAP, .map = i});
	}
}

static void plan_maps_before(struct writer *w, const struct map_changes *c)
{
	plan_gone(w, &c[MAP_HOSTS]);
	for (enum map_id i = MAPS; i-- > 0;)
		if (referred(i) && !odd_keys(c[i].live))
			plan_new(w, &c[i]);
}

static void plan_maps_behind(struct writer *w, const struct map_changes *c)
{
	for (enum map_id i = 0; i < MAPS; i++)
		if (referred(i))
			plan_gone(w, &c[i]);
	plan_swaps(w, c, true);
}

static const char *cert_names(const struct routes *certs, const char *id)
{
	const struct route *r = routes_find(certs, id);
	return r != NULL ? r->value : "";
}

/* The new ones first, so that a name never is without one. An id stands for names and content, so that
 * only what was left half done can differ under one id. */
static void plan_new_certs(struct writer *w, const struct model *want, const struct model *live)
{
	for (size_t i = 0; i < want->certs.n; i++) {
		const struct route *c = &want->certs.v[i];
		if (strcmp(cert_names(&live->certs, c->key), c->value) != 0)
			add_step(w->plan,
				(struct step){.kind = STEP_CERT, .line = vk_strdup(c->key)});
	}
}

static void plan_gone_certs(struct writer *w, const struct model *want, const struct model *live,
	const struct plan_paths *paths)
{
	for (size_t i = 0; i < live->certs.n; i++) {
		const char *id = live->certs.v[i].key;
		if (routes_find(&want->certs, id) != NULL)
			continue;
		command(w, "del ssl crt-list %s %s/%s.pem", paths->certs, paths->cert_dir, id);
		command(w, "del ssl cert %s/%s.pem", paths->cert_dir, id);
	}
}

static void plan_all(struct writer *w, const struct model *want, const struct model *live,
	const struct plan_paths *paths, const struct map_changes *c)
{
	plan_new_certs(w, want, live);
	plan_maps_before(w, c);
	plan_servers(w, want, live, true);
	if (!c[MAP_HOSTS].swap)
		plan_new(w, &c[MAP_HOSTS]);
	flush(w);
	plan_swaps(w, c, false);
	plan_servers(w, want, live, false);
	plan_maps_behind(w, c);
	plan_gone_certs(w, want, live, paths);
	flush(w);
	vk_buf_release(&w->line);
}

void plan_make(const struct model *want, const struct model *live, const struct plan_paths *paths,
	struct plan *ret)
{
	struct writer w = {.plan = ret, .line = VK_BUF_INIT(PLAN_LINE_MAX + 1024)};
	struct map_changes c[MAPS];
	*ret = (struct plan){0};
	if (want->n > live->n) {
		ret->reload = true;
		return;
	}
	for (enum map_id i = 0; i < MAPS; i++) {
		c[i] = map_changes(want, live, paths, i);
		ret->maps |= c[i].differs ? 1u << i : 0;
	}
	ret->certs = !routes_equal(&want->certs, &live->certs);
	plan_all(&w, want, live, paths, c);
}

/* A model of the keys named alone; its backends are borrowed. */
static struct model only(const struct model *m, const struct change *change)
{
	struct model part = {.backends = m->backends, .n = m->n};
	for (enum map_id i = 0; i < MAPS; i++) {
		for (size_t k = 0; k < change->keys[i].n; k++) {
			const struct route *r = routes_get(&m->maps[i], i, change->keys[i].v[k]);
			if (r != NULL)
				routes_add(&part.maps[i], r->key, r->value);
		}
		routes_sort(&part.maps[i], i);
	}
	return part;
}

void plan_change(const struct model *want, const struct model *live, const struct change *change,
	const struct plan_paths *paths, struct plan *ret)
{
	struct writer w = {.plan = ret, .only = change, .line = VK_BUF_INIT(PLAN_LINE_MAX + 1024)};
	struct map_changes c[MAPS];
	struct model shall = only(want, change), is = only(live, change);
	*ret = (struct plan){0};
	for (enum map_id i = 0; i < MAPS; i++) {
		c[i] = map_changes(&shall, &is, paths, i);
		c[i].entries = live->maps[i].n;
		ret->maps |= c[i].differs && c[i].swap ? 1u << i : 0;
	}
	plan_all(&w, &shall, &is, paths, c);
	shall.backends = is.backends = NULL;
	shall.n = is.n = 0;
	model_release(&shall);
	model_release(&is);
}

bool plan_empty(const struct plan *p)
{
	return p->n == 0 && !p->reload;
}

void plan_release(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->steps[i].line);
	free(p->steps);
	free(p->touched);
	*p = (struct plan){0};
}

size_t plan_swap_chunk(
	const struct routes *r, size_t from, const char *path, unsigned version, struct vk_buf *out)
{
	vk_buf_addf(out, "add map @%u %s <<\n", version, path);
	while (from < r->n &&
		out->len + strlen(r->v[from].key) + strlen(r->v[from].value) + 4 < PLAN_LINE_MAX) {
		vk_buf_addf(out, "%s %s\n", r->v[from].key, r->v[from].value);
		from++;
	}
	vk_buf_addc(out, '\n');
	return from;
}

static bool backend_differs(const struct model *want, const struct model *live, unsigned b)
{
	unsigned ws = slots_at(want, b), ls = slots_at(live, b);
	for (unsigned s = 0; s < (ws > ls ? ws : ls); s++) {
		const struct slot *is = slot_at(live, b, s);
		struct slot shall = wanted(want, b, s, is);
		if (!slot_equal(&shall, is))
			return true;
	}
	return false;
}

static void route_differences(
	const struct routes *want, const struct routes *live, plan_differs_fn *fn, void *arg)
{
	for (size_t i = 0; i < want->n; i++) {
		const struct route *is = routes_find(live, want->v[i].key);
		unsigned backend;
		if ((is == NULL || strcmp(is->value, want->v[i].value) != 0) &&
			route_backend(want->v[i].value, &backend))
			fn(arg, backend);
	}
	if (!routes_equal(want, live))
		fn(arg, 0);
}

void plan_differences(
	const struct model *want, const struct model *live, plan_differs_fn *fn, void *arg)
{
	unsigned n = want->n > live->n ? want->n : live->n;
	for (unsigned b = 0; b < n; b++)
		if (backend_differs(want, live, b))
			fn(arg, b + 1);
	route_differences(&want->maps[MAP_HOSTS], &live->maps[MAP_HOSTS], fn, arg);
	for (enum map_id i = MAP_SUFFIXES; i < MAPS; i++)
		if (!routes_equal(&want->maps[i], &live->maps[i]))
			fn(arg, 0);
	if (!routes_equal(&want->certs, &live->certs))
		fn(arg, 0);
}
