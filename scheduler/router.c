/* Tables to router and web, acknowledgements from them. */
#include "router.h"

#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "feed.h"
#include "holder.h"
#include "hosts.h"
#include "routes.h"
#include "table.h"

struct waiter {
	struct router *t;
	struct route_mark mark;
	struct vk_timer *timer;
	router_wait_fn *fn;
	void *arg;
	struct waiter *next;
};

/* Router and web of one host: what they have applied. */
struct follower {
	char *host;
	uint64_t routes, sites;
	json_t *errors;
	char *trouble; /* why the router cannot apply what it was sent, NULL = it can */
};

struct router {
	struct sched *s;
	struct waiter *waiters;
	struct feed *routes, *sites;
	json_t *memo;           /* of routes_build */
	struct table followers; /* of every host that has watched since our start */
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

static void follower_free(void *row)
{
	struct follower *f = row;
	json_decref(f->errors);
	free(f->trouble);
	free(f->host);
	free(f);
}

/* host "" = ours. */
static struct follower *follower_of(struct router *t, const char *host)
{
	const char *name = host[0] != '\0' ? host : t->s->cfg->host_name;
	struct follower *f = table_get(&t->followers, name);
	if (f == NULL) {
		f = vk_alloc(sizeof(*f));
		f->host = vk_strdup(name);
		table_add(&t->followers, f);
	}
	return f;
}

static bool follows(const struct router *t, const struct feed *feed, const struct follower *f)
{
	return feed_has(feed, vk_streq(f->host, t->s->cfg->host_name) ? NULL : f->host);
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
	json_decref(t->memo);
	table_release(&t->followers, follower_free);
	free(t);
}

void router_refresh(struct sched *s)
{
	struct routes_in in = {
		.st = &s->st,
		.base_domain = s->cfg->base_domain,
		.files = holder_of(&s->st, s->cfg->host_name),
		.address = hosts_address,
		.arg = s,
		.memo = &s->router->memo,
	};
	feed_set(s->router->sites, sites_build(&in)); /* files need no agent */
	if (hosts_synced(s))
		feed_set(s->router->routes, routes_build(&in));
}

void router_watch(struct sched *s, const char *host, struct vk_req *r)
{
	follower_of(s->router, host)->routes = 0; /* a new router has applied nothing yet */
	feed_attach(s->router->routes, r);
}

void web_watch(struct sched *s, const char *host, struct vk_req *r)
{
	follower_of(s->router, host)->sites = 0;
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

int router_ack(struct sched *s, const char *host, const json_t *body, struct vk_err *err)
{
	struct follower *f = follower_of(s->router, host);
	const char *trouble = vk_json_str(body, "trouble", NULL);
	json_decref(f->errors);
	f->errors = json_incref(json_object_get(body, "errors"));
	free(f->trouble);
	f->trouble = trouble == NULL ? NULL
		: host[0] == '\0'    ? vk_strdup(trouble)
				     : vk_asprintf("host %s: %s", host, trouble);
	return ack(s, body, &f->routes, err);
}

int web_ack(struct sched *s, const char *host, const json_t *body, struct vk_err *err)
{
	return ack(s, body, &follower_of(s->router, host)->sites, err);
}

struct route_mark router_mark(const struct sched *s)
{
	return (struct route_mark){
		.routes = feed_rev(s->router->routes), .sites = feed_rev(s->router->sites)};
}

/* A router that is away while its host is there is about to come back, and its haproxy serves the table before. */
static bool counts(const struct router *t, const struct feed *feed, const struct follower *f)
{
	return follows(t, feed, f) || hosts_life(t->s, f->host) == HOST_UP;
}

enum route_wait router_reached(const struct sched *s, const struct route_mark *m, bool sites)
{
	const struct router *t = s->router;
	const struct follower *f;
	if (feed_live(t->routes) == 0)
		return ROUTE_NO_ROUTER;
	if (sites && feed_live(t->sites) == 0)
		return ROUTE_NO_WEB;
	table_each(&t->followers, i, f) if ((f->routes < m->routes && counts(t, t->routes, f)) ||
		(sites && f->sites < m->sites && counts(t, t->sites, f))) return ROUTE_WAITS;
	return ROUTE_DONE;
}

const char *router_missing(const struct sched *s, const struct route_mark *m)
{
	const struct follower *f;
	table_each(&s->router->followers, i, f) if (f->routes < m->routes &&
		counts(s->router, s->router->routes, f)) return f->host;
	return s->cfg->host_name;
}

const char *router_complaint(const struct sched *s, const char *stack)
{
	const struct follower *f;
	size_t k;
	json_t *e;
	table_each(&s->router->followers, i, f)
	{
		json_array_foreach(
			f->errors, k, e) if (strcmp(vk_json_str(e, "stack", ""), stack) == 0 &&
			follows(s->router, s->router->routes, f)) return vk_json_str(e, "message",
			"refused");
	}
	return NULL;
}

const char *router_trouble(const struct sched *s)
{
	const struct follower *f;
	table_each(&s->router->followers, i, f) if (f->trouble != NULL &&
		follows(s->router, s->router->routes, f)) return f->trouble;
	return NULL;
}

bool router_all_said(const struct sched *s, const json_t *said)
{
	const struct follower *f;
	table_each(&s->router->followers, i, f) if (json_object_get(said, f->host) == NULL &&
		counts(s->router, s->router->routes, f)) return false;
	return json_object_size(said) > 0;
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

const char *router_state(const struct sched *s, const char *stack, const char *instance)
{
	const json_t *sk = json_object_get(json_object_get(router_table(s), "stacks"), stack);
	const char *name;
	json_t *backend, *server;
	json_object_foreach(json_object_get(sk, "backends"), name, backend)
	{
		size_t i;
		json_array_foreach(json_object_get(backend, "servers"), i,
			server) if (strcmp(vk_json_str(server, "id", ""), instance) ==
			0) return vk_json_str(server, "state", "ready");
	}
	return NULL;
}
