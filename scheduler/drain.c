/* The end of old instances. */
#include "drain.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "gc.h"
#include "router.h"

struct drains {
	struct sched *s;
	struct vk_timer *timer;
	struct vk_strv done; /* instances without a connection, whose rows may not be written yet */
};

static void drains_due(void *arg)
{
	struct drains *d = arg;
	drains_look(d->s);
}

struct drains *drains_new(struct sched *s)
{
	struct drains *d = vk_alloc(sizeof(*d));
	d->s = s;
	d->timer = vk_timer_new(s->loop, drains_due, d);
	return d;
}

void drains_free(struct drains *d)
{
	if (d == NULL)
		return;
	vk_timer_free(d->timer);
	vk_strv_release(&d->done);
	free(d);
}

void drain_put(
	struct sched *s, struct txn *t, const struct stack *sk, const struct inst_list *leaving)
{
	struct inst_list all = {0};
	json_t *list = json_array();
	for (size_t i = 0; i < leaving->n; i++)
		*inst_list_add(&all) = leaving->v[i];
	drain_instances(sk, sk->drain, &all);
	for (size_t i = 0; i < all.n; i++)
		if (router_serves(s, sk->name, all.v[i].name))
			json_array_append_new(list, inst_json(&all.v[i]));
	inst_list_release(&all);
	if (json_array_size(list) > 0)
		txn_put(t,
			json_pack("{s:i,s:I,s:O}", "v", MODEL_VERSION, "until_ms",
				(json_int_t)(vk_now_ms() + (int64_t)s->cfg->drain_ms), "instances",
				list),
			"/drain/%s", sk->name);
	else if (sk->drain != NULL)
		txn_del(t, "/drain/%s", sk->name);
	json_decref(list);
}

static void drain_ended(void *arg, const struct vk_err *err)
{
	struct sched *s = arg;
	if (err == NULL)
		gc_after_deploy(s);
}

static void drain_end(struct sched *s, struct stack *sk)
{
	if (sk->drain_ending)
		return;
	sk->drain_ending = true;
	struct txn *t = txn_new(s);
	txn_del(t, "/drain/%s", sk->name);
	txn_commit(t, drain_ended, s);
}

void drains_look(struct sched *s)
{
	int64_t now = vk_now_ms(), next = -1;
	struct stack *sk;
	table_each(&s->st.stacks, i, sk)
	{
		if (sk->drain == NULL)
			continue;
		int64_t left = vk_json_int(sk->drain, "until_ms", 0) - now;
		if (left > (int64_t)s->cfg->drain_ms) /* the clock was set back */
			left = (int64_t)s->cfg->drain_ms;
		if (left <= 0)
			drain_end(s, sk);
		else if (next < 0 || left < next)
			next = left;
	}
	vk_timer_set(s->drains->timer, next);
}

static json_t *drain_rest(const struct drains *d, const struct stack *sk)
{
	json_t *rest = json_array();
	struct inst_list l = {0};
	drain_instances(sk, sk->drain, &l);
	for (size_t i = 0; i < l.n; i++)
		if (!vk_strv_has(&d->done, l.v[i].name))
			json_array_append_new(rest, inst_json(&l.v[i]));
	inst_list_release(&l);
	return rest;
}

static void drain_shrink(struct sched *s, struct stack *sk)
{
	vk_autojson *rest = drain_rest(s->drains, sk);
	if (json_array_size(rest) == 0) {
		drain_end(s, sk);
		return;
	}
	if (json_array_size(rest) == json_array_size(json_object_get(sk->drain, "instances")))
		return;
	json_t *row = json_copy(sk->drain);
	json_object_set(row, "instances", rest);
	struct txn *t = txn_new(s);
	txn_put(t, row, "/drain/%s", sk->name);
	txn_commit(t, NULL, NULL);
}

void drain_drained(struct sched *s, const char *instance)
{
	bool any = false;
	struct stack *sk;
	vk_strv_add(&s->drains->done, instance);
	table_each(&s->st.stacks, i, sk)
	{
		if (sk->drain == NULL)
			continue;
		any = true;
		drain_shrink(s, sk);
	}
	if (!any) /* names are never used again, so the list may start anew */
		vk_strv_release(&s->drains->done);
}
