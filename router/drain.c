#include "drain.h"

#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

#include "answers.h"
#include "exchange.h"

#define POLL_MS  250
#define AGAIN_MS 20 /* between the two looks that must both find nothing */
#define ASK_MS   2000

struct draining {
	char *id;
	char addr[INET6_ADDRSTRLEN];
	uint16_t port;
	unsigned long now; /* connections of the look that is going on */
	unsigned quiet;    /* looks in a row that found none */
	bool reported, seen;
};

struct drain {
	struct vk_loop *l;
	char *admin, *master;
	struct draining *v;
	size_t n;
	struct vk_timer *timer;
	struct exchange *x;
	struct workers workers;
	unsigned asked; /* old workers asked in this look */
	drain_fn *fn;
	void *arg;
};

static void forget(struct drain *d, size_t i)
{
	free(d->v[i].id);
	d->v[i] = d->v[--d->n];
}

/* An instance with several routed ports is there once for each. */
static struct draining *find(struct drain *d, const struct table_server *s)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->v[i].id, s->id) == 0 && d->v[i].port == s->port)
			return &d->v[i];
	return NULL;
}

static void note(struct drain *d, const struct table_server *s)
{
	struct draining *e = find(d, s);
	if (e == NULL) {
		d->v = vk_reallocarray(d->v, d->n + 1, sizeof(*d->v));
		e = &d->v[d->n++];
		*e = (struct draining){.id = vk_strdup(s->id), .port = s->port};
	}
	memcpy(e->addr, s->addr, sizeof(e->addr));
	e->seen = true;
}

static bool waiting(const struct drain *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (!d->v[i].reported)
			return true;
	return false;
}

void drain_set(struct drain *d, const struct table *t)
{
	for (size_t i = 0; i < d->n; i++)
		d->v[i].seen = false;
	for (size_t s = 0; s < t->n; s++)
		for (size_t k = 0; k < t->stacks[s].n_nodes; k++)
			for (size_t i = 0; i < t->stacks[s].nodes[k].n; i++)
				if (t->stacks[s].nodes[k].servers[i].state == SERVER_DRAIN)
					note(d, &t->stacks[s].nodes[k].servers[i]);
	for (size_t i = d->n; i-- > 0;)
		if (!d->v[i].seen)
			forget(d, i);
	if (waiting(d) && d->x == NULL)
		vk_timer_set(d->timer, 0);
}

/* Told once, when nothing is left on any of its ports. */
static void report(struct drain *d, const char *id)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->v[i].id, id) == 0 && d->v[i].quiet < 2)
			return;
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->v[i].id, id) == 0)
			d->v[i].reported = true;
	d->fn(d->arg, id);
}

static void end_of_look(struct drain *d)
{
	bool again = false;
	for (size_t i = 0; i < d->n; i++) {
		struct draining *e = &d->v[i];
		e->quiet = e->now == 0 ? e->quiet + 1 : 0;
		again = again || e->quiet == 1;
	}
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].quiet >= 2 && !d->v[i].reported)
			report(d, d->v[i].id);
	if (waiting(d))
		vk_timer_set(d->timer, again ? AGAIN_MS : POLL_MS);
}

/* haproxy does not answer: it may have been started anew; look again. */
static void broken_look(struct drain *d)
{
	for (size_t i = 0; i < d->n; i++)
		d->v[i].quiet = 0;
	vk_timer_set(d->timer, POLL_MS);
}

static void count(struct drain *d, const char *text)
{
	for (size_t i = 0; i < d->n; i++)
		d->v[i].now += answer_connections(text, d->v[i].addr, d->v[i].port);
}

static void ask_old(struct drain *d);

static void on_old(void *arg, const struct vk_err *err, const char *text)
{
	struct drain *d = arg;
	d->x = NULL;
	if (err->code == 0)
		count(d, text); /* an old worker that does not answer has ended */
	ask_old(d);
}

static void ask_old(struct drain *d)
{
	if (d->asked == d->workers.n_old) {
		end_of_look(d);
		return;
	}
	vk_autofree char *ask =
		vk_asprintf("@!%d show servers conn\n", (int)d->workers.old[d->asked++]);
	struct exchange_opts o = {
		.socket = d->master, .request = ask, .shut = true, .timeout_ms = ASK_MS};
	d->x = exchange_start(d->l, &o, on_old, d);
}

static void on_workers(void *arg, const struct vk_err *err, const char *text)
{
	struct drain *d = arg;
	d->x = NULL;
	if (err->code != 0) {
		broken_look(d);
		return;
	}
	answer_proc(text, &d->workers);
	d->asked = 0;
	ask_old(d);
}

static void on_current(void *arg, const struct vk_err *err, const char *text)
{
	struct drain *d = arg;
	d->x = NULL;
	if (err->code != 0) {
		broken_look(d);
		return;
	}
	count(d, text);
	struct exchange_opts o = {
		.socket = d->master, .request = "show proc\n", .shut = true, .timeout_ms = ASK_MS};
	d->x = exchange_start(d->l, &o, on_workers, d);
}

static void look(void *arg)
{
	struct drain *d = arg;
	if (d->x != NULL)
		return;
	for (size_t i = 0; i < d->n; i++)
		d->v[i].now = 0;
	struct exchange_opts o = {
		.socket = d->admin, .request = "show servers conn\n", .timeout_ms = ASK_MS};
	d->x = exchange_start(d->l, &o, on_current, d);
}

struct drain *drain_new(
	struct vk_loop *l, const char *admin, const char *master, drain_fn *fn, void *arg)
{
	struct drain *d = vk_alloc(sizeof(*d));
	d->l = l;
	d->admin = vk_strdup(admin);
	d->master = vk_strdup(master);
	d->timer = vk_timer_new(l, look, d);
	d->fn = fn;
	d->arg = arg;
	return d;
}

void drain_free(struct drain *d)
{
	if (d == NULL)
		return;
	exchange_free(d->x);
	vk_timer_free(d->timer);
	while (d->n > 0)
		forget(d, d->n - 1);
	free(d->v);
	free(d->admin);
	free(d->master);
	free(d);
}
