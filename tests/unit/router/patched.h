/* Two ways to one state: the whole table each time, and patches. For the tests of change.c. */
#ifndef TESTS_ROUTER_PATCHED_H
#define TESTS_ROUTER_PATCHED_H

#include "change.h"
#include "made_up.h"
#include "simulated.h"

struct way {
	struct table *t;
	struct assign a;
	struct faults faults;
	struct model want;
};

struct patched {
	json_t *doc; /* the scheduler's */
	struct source source;
	struct way whole, quick;
	struct model live; /* what commands have made of HAProxy */
	unsigned changes;  /* patches that went the short way */
};

static inline void way_release(struct way *w)
{
	table_free(w->t);
	assign_release(&w->a);
	faults_release(&w->faults);
	model_release(&w->want);
}

static inline void way_whole(struct way *w, const json_t *doc)
{
	struct table *t = NULL;
	faults_release(&w->faults);
	if (table_parse(doc, NULL, &t, &w->faults, NULL) != 0)
		return;
	table_settle(t, w->t, &w->faults);
	table_free(w->t);
	w->t = t;
	assign_update(&w->a, t);
	model_release(&w->want);
	assign_model(&w->a, t, &w->want);
}

static inline void patched_init(struct patched *p)
{
	*p = (struct patched){0};
	assign_init(&p->whole.a);
	assign_init(&p->quick.a);
	p->doc = json_pack("{s:i,s:{}}", "rev", 1, "stacks");
	source_line(&p->source, p->doc, NULL);
	json_decref(p->source.doc); /* the other side's is another one */
	p->source.doc = json_deep_copy(p->doc);
}

static inline void patched_release(struct patched *p)
{
	json_decref(p->doc);
	source_release(&p->source);
	way_release(&p->whole);
	way_release(&p->quick);
	model_release(&p->live);
}

static inline bool same_models(const struct model *a, const struct model *b)
{
	if (a->n != b->n)
		return false;
	for (enum map_id i = 0; i < MAPS; i++)
		if (!routes_equal(&a->maps[i], &b->maps[i]))
			return false;
	for (unsigned i = 0; i < a->n; i++) {
		if (a->backends[i].n != b->backends[i].n ||
			!vk_streq(a->backends[i].label, b->backends[i].label))
			return false;
		for (unsigned s = 0; s < a->backends[i].n; s++)
			if (!slot_equal(&a->backends[i].slots[s], &b->backends[i].slots[s]))
				return false;
	}
	return true;
}

/* The commands of a plan, strictly; behind them nothing differs. */
static inline bool patched_tell(struct patched *p, const struct change *change)
{
	struct plan plan;
	const struct model *want = &p->quick.want;
	if (p->live.n < want->n) {
		model_release(&p->live);
		model_init(&p->live, want->n, 2);
	}
	if (change != NULL)
		plan_change(want, &p->live, change, &sim_paths, &plan);
	else
		plan_make(want, &p->live, &sim_paths, &plan);
	bool ok = sim_run(&plan, want, &p->live);
	plan_release(&plan);
	plan_make(want, &p->live, &sim_paths, &plan);
	ok = ok && plan_empty(&plan);
	plan_release(&plan);
	return ok;
}

/* The scheduler's document is `next` now (stolen). False when the two ways come to different states. */
static inline bool patched_step(struct patched *p, json_t *next)
{
	json_int_t rev = vk_json_int(p->doc, "rev", 0);
	json_object_set_new(next, "rev", json_integer(rev));
	vk_autojson *patch = vk_json_diff(p->doc, next);
	json_decref(p->doc);
	p->doc = next;
	if (patch == NULL)
		return true;
	json_object_set_new(next, "rev", json_integer(rev + 1));
	vk_autojson *line = json_pack("{s:I,s:I,s:O}", "from", rev, "rev", rev + 1, "patch", patch);
	if (source_line(&p->source, line, NULL) != 0 || !json_equal(p->source.doc, next))
		return false;
	struct change change = {0};
	bool quick = p->quick.t != NULL && p->quick.faults.n == 0 &&
		change_make(&p->source, p->quick.t, &p->quick.a, &p->quick.want, &change);
	source_taken(&p->source);
	if (!quick)
		way_whole(&p->quick, p->source.doc);
	way_whole(&p->whole, next);
	p->changes += quick;
	bool ok = same_models(&p->whole.want, &p->quick.want) &&
		p->whole.t->rev == p->quick.t->rev && p->whole.faults.n == p->quick.faults.n &&
		patched_tell(p, quick ? &change : NULL);
	change_release(&change);
	return ok;
}

/* Nearly always a good one; the short way is for these. */
static inline json_t *good_server(struct input *in)
{
	static const char *const states[] = {"ready", "ready", "canary", "drain"};
	return json_pack("{s:o,s:o,s:i,s:s}", "id", json_sprintf("i-%u", take(in, 40)), "addr",
		json_sprintf("10.0.0.%u", 1 + take(in, 8)), "port", (int)(80 + take(in, 2)),
		"state", states[take(in, 4)]);
}

static inline json_t *good_route(struct input *in)
{
	const char *node = take(in, 4) ? "web" : "api";
	switch (take(in, 8)) {
	case 0:
		return json_pack("{s:s,s:{s:b}}", "to", node, "policy", "sticky", 1);
	case 1:
		return json_pack(
			"{s:s,s:{s:b,s:b}}", "to", node, "policy", "canary", 1, "https", 1);
	case 2:
		return json_pack("{s:s,s:{s:[s]}}", "to", node, "policy", "allow", "10.0.0.0/8");
	case 3:
		return json_pack("{s:s,s:{s:i}}", "to", node, "policy", "watch", (int)take(in, 3));
	default:
		return json_string(node);
	}
}

static inline json_t *good_place(struct input *in, const char *stack)
{
	static const char *const paths[] = {"", "", "", "/api", "/api/v1"};
	unsigned which = take(in, 6);
	if (take(in, 30) == 0)
		return place(in);
	return json_sprintf("%s%c%u.%s%s", take(in, 6) ? "" : "*.", take(in, 12) ? 'd' : 'D', which,
		take(in, 40) ? stack : "shared", paths[take(in, 5)]);
}

static inline json_t *good_stack(struct input *in, const char *name)
{
	json_t *s = json_pack("{s:{s:{s:[]},s:{s:[],s:i}},s:{},s:[]}", "backends", "web", "servers",
		"api", "servers", "canary", (int)take(in, 10), "domains", "sites");
	for (unsigned i = take(in, 5); i > 0; i--)
		set_text(json_object_get(s, "domains"), good_place(in, name), good_route(in));
	return s;
}

static inline void change_servers(struct input *in, json_t *servers)
{
	if (take(in, 3) == 0)
		json_array_remove(servers, 0);
	else if (json_array_size(servers) < 8)
		json_array_append_new(servers, take(in, 40) ? good_server(in) : server(in));
}

/* A stack, a server, a domain of one or its challenge comes, goes or is another one. */
static inline json_t *change_one(const json_t *doc, struct input *in)
{
	json_t *next = json_deep_copy(doc), *stacks = json_object_get(next, "stacks");
	vk_autofree char *name = vk_asprintf("s-%u", take(in, 5));
	json_t *old = json_object_get(stacks, name), *domains = json_object_get(old, "domains");
	void *any = json_object_iter(domains);
	unsigned what = take(in, 32);
	for (unsigned i = take(in, 4); i > 0 && json_object_iter_next(domains, any) != NULL; i--)
		any = json_object_iter_next(domains, any);
	if (what == 0)
		json_object_del(stacks, name);
	else if (old == NULL || what == 1)
		json_object_set_new(stacks, name, take(in, 20) ? good_stack(in, name) : stack(in));
	else if (what == 2 && any != NULL)
		json_object_set_new(next, "challenges",
			take(in, 3) ? json_pack("{s:{s:s}}", json_object_iter_key(any), "t", "t.a")
				    : json_object());
	else if (what < 12)
		set_text(domains, good_place(in, name),
			take(in, 30) ? good_route(in) : leads_to(in));
	else if (what < 20 && any != NULL)
		json_object_del(domains, json_object_iter_key(any));
	else
		change_servers(in,
			json_object_get(json_object_get(json_object_get(old, "backends"),
						take(in, 3) ? "web" : "api"),
				"servers"));
	return next;
}

static inline json_t *patched_next(const json_t *doc, struct input *in)
{
	json_t *next = change_one(doc, in);
	for (unsigned i = take(in, 8) / 6 * 2; i > 0; i--) {
		vk_autojson *one = next;
		next = change_one(one, in);
	}
	return next;
}

#endif
