/* Tables to router and web, acknowledgements from them. */
#include "router.h"

#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>

#include "feed.h"
#include "hosts.h"
#include "routes.h"

struct waiter {
	struct router *t;
	struct route_mark mark;
	struct vk_timer *timer;
	router_wait_fn *fn;
	void *arg;
	struct waiter *next;
};

struct router {
	struct sched *s;
	struct waiter *waiters;
	struct feed *routes, *sites;
	uint64_t acked_routes, acked_sites;
	json_t *errors;
	char *trouble; /* why the router cannot apply what it was sent, NULL = it can */
};

static void waiter_over(struct waiter *w, bool reached)
{
	for (struct waiter **p = &w->t->waiters; *p != NULL; p = &(*p)->next) {
		if (*p == w) {
			*p = w->next;
			break;
		}
	}
	vk_timer_free(w->timer);
	router_wait_fn *fn = w->fn;
	void *arg = w->arg;
	free(w);
	fn(arg, reached);
}

static void waiter_due(void *arg)
{
	struct waiter *w = arg;
	waiter_over(w, router_reached(w->t->s, &w->mark, feed_live(w->t->sites) > 0) == ROUTE_DONE);
}

static void waiters_look(struct router *t)
{
	for (struct waiter *w = t->waiters, *next; w != NULL; w = next) {
		next = w->next;
		if (router_reached(t->s, &w->mark, feed_live(t->sites) > 0) != ROUTE_WAITS)
			vk_timer_set(
				w->timer, 0); /* its end comes from the loop: fn may do anything */
	}
}

void router_wait(struct sched *s, int64_t ms, router_wait_fn *fn, void *arg)
{
	struct router *t = s->router;
	struct waiter *w = vk_alloc(sizeof(*w));
	*w = (struct waiter){
		.t = t, .mark = router_mark(s), .fn = fn, .arg = arg, .next = t->waiters};
	w->timer = vk_timer_new(s->loop, waiter_due, w);
	vk_timer_set(w->timer, ms);
	t->waiters = w;
	waiters_look(t);
}

static void watch_changed(void *arg)
{
	struct router *t = arg;
	vk_log(VK_INFO, "route-watch", "router=%zu web=%zu", feed_live(t->routes),
		feed_live(t->sites));
	hub_touch(t->s);
}

struct router *router_new(struct sched *s)
{
	struct router *t = vk_alloc(sizeof(*t));
	t->s = s;
	t->routes = feed_new(s->st.epoch, watch_changed, t);
	t->sites = feed_new(s->st.epoch, watch_changed, t);
	return t;
}

void router_free(struct router *t)
{
	if (t == NULL)
		return;
	while (t->waiters != NULL) { /* the server is gone, and what waited with it */
		struct waiter *w = t->waiters;
		t->waiters = w->next;
		vk_timer_free(w->timer);
		free(w);
	}
	feed_free(t->routes);
	feed_free(t->sites);
	json_decref(t->errors);
	free(t->trouble);
	free(t);
}

void router_refresh(struct sched *s)
{
	struct routes_in in = {
		.st = &s->st,
		.base_domain = s->cfg->base_domain,
		.address = hosts_address,
		.arg = s,
	};
	feed_set(s->router->sites, sites_build(&in)); /* files need no agent */
	if (hosts_synced(s))
		feed_set(s->router->routes, routes_build(&in));
}

void router_watch(struct sched *s, struct vk_req *r)
{
	s->router->acked_routes = 0; /* a new router has applied nothing yet */
	feed_attach(s->router->routes, r);
}

void web_watch(struct sched *s, struct vk_req *r)
{
	s->router->acked_sites = 0;
	feed_attach(s->router->sites, r);
}

static int ack(struct sched *s, const json_t *body, uint64_t *acked, struct vk_err *err)
{
	int64_t rev = vk_json_int(body, "rev", -1);
	if (rev < 0)
		return vk_err_set(err, VK_INVALID, "rev is missing");
	if ((uint64_t)rev > *acked)
		*acked = (uint64_t)rev;
	waiters_look(s->router);
	hub_touch(s);
	return 0;
}

int router_ack(struct sched *s, const json_t *body, struct vk_err *err)
{
	json_decref(s->router->errors);
	s->router->errors = json_incref(json_object_get(body, "errors"));
	free(s->router->trouble);
	const char *trouble = vk_json_str(body, "trouble", NULL);
	s->router->trouble = trouble != NULL ? vk_strdup(trouble) : NULL;
	return ack(s, body, &s->router->acked_routes, err);
}

int web_ack(struct sched *s, const json_t *body, struct vk_err *err)
{
	return ack(s, body, &s->router->acked_sites, err);
}

struct route_mark router_mark(const struct sched *s)
{
	return (struct route_mark){
		.routes = feed_rev(s->router->routes), .sites = feed_rev(s->router->sites)};
}

enum route_wait router_reached(const struct sched *s, const struct route_mark *m, bool sites)
{
	const struct router *t = s->router;
	if (feed_live(t->routes) == 0)
		return ROUTE_NO_ROUTER;
	if (sites && feed_live(t->sites) == 0)
		return ROUTE_NO_WEB;
	return t->acked_routes >= m->routes && (!sites || t->acked_sites >= m->sites) ? ROUTE_DONE
										      : ROUTE_WAITS;
}

const char *router_complaint(const struct sched *s, const char *stack)
{
	size_t i;
	json_t *e;
	json_array_foreach(s->router->errors, i,
		e) if (strcmp(vk_json_str(e, "stack", ""), stack) == 0) return vk_json_str(e,
		"message", "refused");
	return NULL;
}

const char *router_trouble(const struct sched *s)
{
	return s->router->trouble;
}

const json_t *router_table(const struct sched *s)
{
	return feed_doc(s->router->routes);
}

bool router_live(const struct sched *s)
{
	return feed_live(s->router->routes) > 0;
}

bool web_live(const struct sched *s)
{
	return feed_live(s->router->sites) > 0;
}

bool router_serves(const struct sched *s, const char *stack, const char *instance)
{
	const json_t *sk = json_object_get(json_object_get(router_table(s), "stacks"), stack);
	const char *name;
	json_t *backend, *server;
	json_object_foreach(json_object_get(sk, "backends"), name, backend)
	{
		size_t i;
		json_array_foreach(json_object_get(backend, "servers"), i,
			server) if (strcmp(vk_json_str(server, "id", ""), instance) ==
			0) return true;
	}
	return false;
}
