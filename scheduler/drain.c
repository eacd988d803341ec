/* The end of old instances. */
#include "drain.h"

#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "gc.h"
#include "hosts.h"
#include "router.h"

struct drains {
	struct sched *s;
	struct vk_timer *timer;
	json_t *done; /* {instance: {host: true}}: routers without a connection to it; its row may not be written yet */
	json_t *until; /* {instance: end of its time, vk_mono_ms}: from when this leader first saw its row */
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
	d->done = json_object();
	d->until = json_object();
	d->timer = vk_timer_new(s->loop, drains_due, d);
	return d;
}

void drains_free(struct drains *d)
{
	if (d == NULL)
		return;
	vk_timer_free(d->timer);
	json_decref(d->done);
	json_decref(d->until);
	free(d);
}

/* How long an instance may take: its node's word in the release it leaves, else the host's. */
static int64_t drain_ms(const struct sched *s, const struct stack *sk, const struct inst *i)
{
	const struct release *at[] = {
		stack_current(sk), stack_canary(sk), stack_release(sk, i->born)};
	for (size_t k = 0; k < VK_COUNT(at); k++) {
		const json_t *entry = at[k] != NULL ? json_object_get(at[k]->nodes, i->node) : NULL;
		if (entry != NULL && vk_json_int(entry, "version", 0) == i->version)
			return vk_json_int(entry, "drain_ms", (int64_t)s->cfg->drain_ms);
	}
	return (int64_t)s->cfg->drain_ms;
}

static json_t *drain_one(const struct sched *s, const struct stack *sk, const struct inst *i)
{
	json_t *one = inst_json(i);
	json_object_set_new(one, "ms", json_integer((json_int_t)drain_ms(s, sk, i)));
	return one;
}

static bool list_has(const json_t *list, const struct inst *i)
{
	size_t at;
	json_t *one;
	json_array_foreach(list, at, one) if (vk_json_int(one, "version", 0) == i->version &&
		vk_json_int(one, "n", 0) == i->n &&
		strcmp(vk_json_str(one, "node", ""), i->node) == 0) return true;
	return false;
}

static json_t *drain_row(json_t *list)
{
	return json_pack("{s:i,s:o}", "v", MODEL_VERSION, "instances", list);
}

void drain_put(
	struct sched *s, struct txn *t, const struct stack *sk, const struct inst_list *leaving)
{
	const json_t *old = json_object_get(sk->drain, "instances");
	json_t *list = old != NULL ? json_copy((json_t *)(uintptr_t)old) : json_array();
	for (size_t i = 0; i < leaving->n; i++)
		if (!list_has(list, &leaving->v[i]) &&
			router_state(s, sk->name, leaving->v[i].name) != NULL)
			json_array_append_new(list, drain_one(s, sk, &leaving->v[i]));
	if (json_array_size(list) > 0) {
		txn_put(t, drain_row(list), "/drain/%s", sk->name);
		return;
	}
	json_decref(list);
	if (sk->drain != NULL)
		txn_del(t, "/drain/%s", sk->name);
}

/* Of what is served again, or is gone, nothing counts that was said before; it may be said before the row is written. */
static void forget_others(struct drains *d)
{
	const char *name;
	json_t *said;
	void *next;
	json_object_foreach_safe(d->done, next, name, said)
	{
		const char *stack = hosts_stack(d->s, name);
		const char *state = stack != NULL ? router_state(d->s, stack, name) : "gone";
		if (state != NULL && strcmp(state, "drain") != 0)
			json_object_del(d->done, name);
	}
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

/* ms an instance has still. A new leader begins anew: neither its clock nor the old one's is to be trusted with connections. */
static int64_t drain_left(struct drains *d, const json_t *seen, const char *name, const json_t *one)
{
	int64_t now = vk_mono_ms(), ms = vk_json_int(one, "ms", (int64_t)d->s->cfg->drain_ms);
	int64_t until = vk_json_int(seen, name, now + ms);
	json_object_set_new(d->until, name, json_integer((json_int_t)until));
	return until - now;
}

/* Those that are neither without a connection nor over their time; *ret_next: the first end of one, or -1. */
static json_t *drain_rest(
	struct drains *d, const json_t *seen, const struct stack *sk, int64_t *ret_next)
{
	json_t *rest = json_array(), *one;
	size_t at;
	*ret_next = -1;
	json_array_foreach(json_object_get(sk->drain, "instances"), at, one)
	{
		char name[INSTANCE_NAME_MAX];
		vk_instance_name(sk->name, vk_json_str(one, "node", ""),
			(unsigned)vk_json_int(one, "version", 0),
			(unsigned)vk_json_int(one, "n", 0), name);
		int64_t left = drain_left(d, seen, name, one);
		if (left <= 0 || router_all_said(d->s, json_object_get(d->done, name)))
			continue;
		json_array_append(rest, one);
		*ret_next = *ret_next < 0 || left < *ret_next ? left : *ret_next;
	}
	return rest;
}

/* Returns when to look again, -1 = not by time. */
static int64_t drain_shrink(struct sched *s, const json_t *seen, struct stack *sk)
{
	int64_t next;
	const json_t *row;
	vk_autojson *rest = drain_rest(s->drains, seen, sk, &next);
	if (json_array_size(rest) == 0) {
		drain_end(s, sk);
		return -1;
	}
	if (json_array_size(rest) == json_array_size(json_object_get(sk->drain, "instances")))
		return next;
	struct txn *t = txn_new(s);
	vk_autofree char *key = vk_asprintf("/drain/%s", sk->name);
	if (txn_latest(t, key, &row)) { /* what is being written may be more: look behind it */
		txn_free(t);
		return next;
	}
	txn_put(t, drain_row(json_incref(rest)), "%s", key);
	txn_commit(t, NULL, NULL);
	return next;
}

static void shrink_all(struct sched *s)
{
	struct drains *d = s->drains;
	int64_t next = -1;
	struct stack *sk;
	vk_autojson *seen = d->until; /* whose row is gone is not taken over */
	d->until = json_object();
	table_each(&s->st.stacks, i, sk)
	{
		int64_t ms = sk->drain != NULL ? drain_shrink(s, seen, sk) : -1;
		next = ms >= 0 && (next < 0 || ms < next) ? ms : next;
	}
	vk_timer_set(d->timer, next);
}

void drains_look(struct sched *s)
{
	forget_others(s->drains);
	shrink_all(s);
}

void drain_drained(struct sched *s, const char *host, const char *instance)
{
	json_t *said = json_object_get(s->drains->done, instance);
	if (said == NULL) {
		said = json_object();
		json_object_set_new(s->drains->done, instance, said);
	}
	json_object_set_new(said, host[0] != '\0' ? host : s->cfg->host_name, json_true());
	shrink_all(s);
}
