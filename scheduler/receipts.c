/* What the router counted, by release; when that is enough, what follows from it. */
#include "receipts.h"

#include <stdlib.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "deploy.h"
#include "instances.h"

#define WATCH_MS    30000
#define AGAIN_MS    1000 /* while an operation keeps auto_rollback from acting */
#define CLASSES_MAX 128
#define ACTOR       "local:auto_rollback"

struct receipts {
	struct sched *s;
	struct vk_timer *timer;
	json_t *routers; /* {host: {instance: its router's last totals}} */
	json_t *closing; /* {"stack/n": true}: rows being written */
	json_t *due; /* {"stack/n": vk_mono_ms}: ends of those that are open, as this leader first read them */
};

/* ---- figures ---- */

struct class
{
	int64_t ms, n;
};

struct figures {
	int64_t requests, errors;
	struct class class[CLASSES_MAX];
	size_t classes;
};

static void class_add(struct figures *f, int64_t ms, int64_t n)
{
	size_t i = 0;
	while (i < f->classes && f->class[i].ms != ms)
		i++;
	if (i == CLASSES_MAX)
		return;
	if (i == f->classes)
		f->class[f->classes++] = (struct class){ms, 0};
	f->class[i].n += n;
}

static void figures_add(struct figures *f, const json_t *row)
{
	size_t i;
	json_t *one;
	f->requests += vk_json_int(row, "requests", 0);
	f->errors += vk_json_int(row, "errors", 0);
	json_array_foreach(json_object_get(row, "ms"), i, one)
		class_add(f, json_integer_value(json_array_get(one, 0)),
			json_integer_value(json_array_get(one, 1)));
}

static int by_ms(const void *a, const void *b)
{
	int64_t x = ((const struct class *)a)->ms, y = ((const struct class *)b)->ms;
	return x < y ? -1 : x > y;
}

/* The time that 95 of 100 answers took at most; -1 without any. */
static int64_t p95(struct figures *f)
{
	int64_t all = 0, seen = 0;
	for (size_t i = 0; i < f->classes; i++)
		all += f->class[i].n;
	qsort(f->class, f->classes, sizeof(f->class[0]), by_ms);
	for (size_t i = 0; i < f->classes; i++) {
		seen += f->class[i].n;
		if (seen * 100 >= all * 95)
			return f->class[i].ms;
	}
	return -1;
}

static json_t *figures_json(struct figures *f, unsigned release)
{
	int64_t ms = p95(f);
	return json_pack("{s:i,s:I,s:I,s:o}", "release", (int)release, "requests",
		(json_int_t)f->requests, "errors", (json_int_t)f->errors, "p95_ms",
		ms >= 0 ? json_integer((json_int_t)ms) : json_null());
}

/* An instance is the new release's if that bore its version. */
static bool born_in(const struct release *r, const struct inst *i)
{
	const json_t *entry = json_object_get(r->nodes, i->node);
	return i->born == r->n && vk_json_int(entry, "version", 0) == i->version;
}

static void figures_of(const struct receipts *x, const struct stack *sk, const struct release *r,
	struct figures *fresh, struct figures *old)
{
	struct inst_list l = {0};
	stack_instances(sk, stack_overlay(sk), &l);
	for (size_t i = 0; i < l.n; i++) {
		const char *host;
		json_t *servers;
		json_object_foreach(x->routers, host, servers)
		{
			const json_t *row = json_object_get(servers, l.v[i].name);
			if (row != NULL && vk_json_int(row, "watch", 0) == r->n)
				figures_add(born_in(r, &l.v[i]) ? fresh : old, row);
		}
	}
	inst_list_release(&l);
}

/* The release this one took the place of, or stands beside. */
static const struct release *before(const struct stack *sk, const struct release *r)
{
	if (r->n != sk->current)
		return stack_current(sk);
	for (size_t i = sk->n_releases; i-- > 0;)
		if (sk->release[i]->n < r->n && strcmp(sk->release[i]->outcome, "ok") == 0)
			return sk->release[i];
	return NULL;
}

static json_t *old_json(const struct release *old, struct figures *now)
{
	if (old == NULL)
		return json_null();
	if (now->requests > 0)
		return figures_json(now, old->n);
	json_t *its = json_object_get(old->receipt, "new");
	if (its == NULL)
		return json_null();
	its = json_copy(its);
	json_object_set_new(its, "earlier", json_true());
	return its;
}

static bool is_open(const struct release *r)
{
	return r != NULL && json_object_get(r->receipt, "until_ms") != NULL;
}

/* ms it is still watched. A leader asks the clock once, then counts: what jumps in between ends no watch. */
static int64_t left_ms(const json_t *due, const struct stack *sk, const struct release *r)
{
	vk_autofree char *key = vk_asprintf("%s/%u", sk->name, r->n);
	const json_t *at = json_object_get(due, key);
	int64_t left = vk_json_int(r->receipt, "until_ms", 0) - vk_now_ms();
	int64_t watch = vk_json_int(r->receipt, "watch_ms", WATCH_MS);
	if (at != NULL)
		return json_integer_value(at) - vk_mono_ms();
	return left < watch ? left : watch;
}

static json_t *closed_json(const struct receipts *x, const struct stack *sk,
	const struct release *r, const char *acted)
{
	struct figures fresh = {0}, old = {0};
	int64_t watch = vk_json_int(r->receipt, "watch_ms", WATCH_MS);
	int64_t left = left_ms(x->due, sk, r);
	figures_of(x, sk, r, &fresh, &old);
	return json_pack("{s:I,s:o,s:o,s:s*}", "seconds",
		(json_int_t)(watch - (left > 0 ? left : 0) + 500) / 1000, "new",
		figures_json(&fresh, r->n), "old", old_json(before(sk, r), &old), "acted", acted);
}

/* ---- opening ---- */

json_t *receipt_open(const struct release *r, const json_t *doc, bool act)
{
	static const char *const rule[] = {"error_permille", "min_requests"};
	const json_t *rollout = json_object_get(doc, "rollout");
	const char *node;
	json_t *entry, *receipt = NULL;
	int64_t watch = vk_json_int(rollout, "watch_ms", WATCH_MS);
	json_object_foreach(r->nodes, node, entry) if (vk_json_int(entry, "born", 0) == r->n &&
		vk_json_int(entry, "port", 0) > 0 && receipt == NULL) receipt =
		json_pack("{s:I,s:I}", "until_ms", (json_int_t)(vk_now_ms() + watch), "watch_ms",
			(json_int_t)watch);
	for (size_t i = 0; act && receipt != NULL && i < VK_COUNT(rule); i++)
		json_object_set(receipt, rule[i], json_object_get(rollout, rule[i]));
	return receipt;
}

struct release *receipts_watched(const struct stack *sk)
{
	if (is_open(stack_canary(sk)))
		return stack_canary(sk);
	return is_open(stack_current(sk)) ? stack_current(sk) : NULL;
}

/* ---- closing ---- */

struct closing {
	struct sched *s;
	char *stack, *text, *why;
	unsigned release, to; /* to: the release to go back to; 0 = the canary is aborted */
};

static void put_closed(
	struct txn *t, const struct stack *sk, const struct release *r, json_t *receipt)
{
	struct release over = *r;
	over.receipt = receipt;
	txn_put_row(t, release_fields, &over, "/release/%s/%u", sk->name, r->n);
}

static void say_figures(struct vk_buf *b, const json_t *f)
{
	long long requests = vk_json_int(f, "requests", 0), errors = vk_json_int(f, "errors", 0);
	(void)vk_buf_addf(b, "v%lld: ", (long long)vk_json_int(f, "release", 0));
	if (requests == 0)
		(void)vk_buf_adds(b, "no requests");
	else
		(void)vk_buf_addf(b, "%lld of %lld requests failed (%.1f %%)", errors, requests,
			100.0 * (double)errors / (double)requests);
	if (json_is_integer(json_object_get(f, "p95_ms")))
		(void)vk_buf_addf(b, ", p95 %lld ms", (long long)vk_json_int(f, "p95_ms", 0));
}

/* "v2: 0 of 20 requests failed (0.0 %), p95 7 ms in 30 s; v1: no requests in its own first time" */
static char *say_receipt(const json_t *receipt, bool counting)
{
	vk_autobuf b = VK_BUF_INIT(512);
	const json_t *old = json_object_get(receipt, "old");
	const char *acted = vk_json_str(receipt, "acted", NULL);
	say_figures(&b, json_object_get(receipt, "new"));
	(void)vk_buf_addf(&b, " in %lld s%s", (long long)vk_json_int(receipt, "seconds", 0),
		counting ? ", still counting" : "");
	if (json_is_object(old)) {
		(void)vk_buf_adds(&b, "; ");
		say_figures(&b, old);
		(void)vk_buf_addf(&b, " in %s",
			vk_json_bool(old, "earlier", false) ? "its own first time"
							    : "the same time");
	}
	if (acted != NULL)
		(void)vk_buf_addf(&b, "; auto_rollback: %s",
			strcmp(acted, "abort") == 0 ? "the canary is aborted" : "rolled back");
	return vk_buf_take(&b);
}

static void act(const struct closing *c)
{
	struct vk_err err = {0};
	struct deploy_spec spec = {
		.kind = c->to > 0 ? DEPLOY_ROLLBACK : DEPLOY_ABORT, .to = c->to, .why = c->why};
	struct op *op = deploy_new(c->s, c->stack, ACTOR, &spec);
	op->detached = true;
	if (op_submit(op, NULL, OP_REFUSE, &err) == 0)
		return;
	vk_autofree char *text = vk_asprintf("auto_rollback of v%u: %s", c->release, err.msg);
	hub_event(c->s, "receipt", c->stack, text, ACTOR);
}

static void closed(void *arg, const struct vk_err *err)
{
	struct closing *c = arg;
	vk_autofree char *key = vk_asprintf("%s/%u", c->stack, c->release);
	json_object_del(c->s->receipts->closing, key);
	if (err == NULL) {
		hub_event(c->s, "receipt", c->stack, c->text, NULL);
		if (c->why != NULL)
			act(c);
	}
	free(c->stack);
	free(c->text);
	free(c->why);
	free(c);
}

/* What auto_rollback has to say of a release; NULL: nothing. */
static char *verdict(const struct receipts *x, const struct stack *sk, const struct release *r)
{
	struct figures fresh = {0}, old = {0};
	int64_t most = vk_json_int(r->receipt, "error_permille", -1);
	figures_of(x, sk, r, &fresh, &old);
	if (most < 0 || fresh.requests < vk_json_int(r->receipt, "min_requests", 1) ||
		fresh.errors * 1000 <= most * fresh.requests)
		return NULL;
	return vk_asprintf("%lld of %lld requests failed, more than %lld.%lld %%",
		(long long)fresh.errors, (long long)fresh.requests, (long long)(most / 10),
		(long long)(most % 10));
}

static void close_one(struct receipts *x, struct stack *sk, const struct release *r, char *why)
{
	const struct release *back = before(sk, r);
	bool canary = r == stack_canary(sk);
	vk_autofree char *key = vk_asprintf("%s/%u", sk->name, r->n);
	if (why != NULL && !canary && back == NULL)
		free(VK_TAKE(why)); /* nothing to go back to */
	vk_autojson *receipt = closed_json(x, sk, r,
		why == NULL      ? NULL
			: canary ? "abort"
				 : "rollback");
	struct closing *c = vk_alloc(sizeof(*c));
	*c = (struct closing){.s = x->s,
		.stack = vk_strdup(sk->name),
		.text = say_receipt(receipt, false),
		.why = why,
		.release = r->n,
		.to = canary || back == NULL ? 0 : back->n};
	json_object_set_new(x->closing, key, json_true());
	struct txn *t = txn_new(x->s);
	put_closed(t, sk, r, receipt);
	txn_commit(t, closed, c);
}

/* ms until it wants to be looked at again; -1: closed, or nothing to close. */
static int64_t look_one(struct receipts *x, const json_t *seen, struct stack *sk)
{
	const struct release *r = sk->exists ? receipts_watched(sk) : NULL;
	if (r == NULL)
		return -1;
	vk_autofree char *key = vk_asprintf("%s/%u", sk->name, r->n);
	int64_t left = left_ms(seen, sk, r);
	json_object_set_new(x->due, key, json_integer((json_int_t)(vk_mono_ms() + left)));
	if (json_object_get(x->closing, key) != NULL)
		return -1;
	int64_t watch = vk_json_int(r->receipt, "watch_ms", WATCH_MS);
	vk_autofree char *why = verdict(x, sk, r);
	if (why != NULL && (sk->busy != NULL || sk->lock != NULL) && left > -watch)
		return AGAIN_MS; /* it acts as soon as it may */
	if (why == NULL && left > 0)
		return left;
	close_one(x, sk, r, VK_TAKE(why));
	return -1;
}

void receipts_look(struct sched *s)
{
	int64_t next = -1;
	struct stack *sk;
	vk_autojson *seen = s->receipts->due;
	s->receipts->due = json_object();
	table_each(&s->st.stacks, i, sk)
	{
		int64_t ms = look_one(s->receipts, seen, sk);
		next = ms >= 0 && (next < 0 || ms < next) ? ms : next;
	}
	vk_timer_set(s->receipts->timer, next);
}

json_t *receipts_final(struct sched *s, const struct stack *sk, const struct release *r)
{
	return is_open(r) ? closed_json(s->receipts, sk, r, NULL) : json_incref(r->receipt);
}

void receipts_end(struct sched *s, struct txn *t, const struct stack *sk)
{
	const struct release *r = stack_current(sk);
	if (!is_open(r))
		return;
	vk_autojson *receipt = receipts_final(s, sk, r);
	put_closed(t, sk, r, receipt);
}

json_t *receipts_show(struct sched *s, const struct stack *sk, const struct release *r)
{
	vk_autojson *receipt = receipts_final(s, sk, r);
	if (receipt == NULL)
		return NULL;
	vk_autofree char *text = say_receipt(receipt, is_open(r));
	json_t *shown = json_copy(receipt);
	json_object_set_new(shown, "text", json_string(text));
	if (is_open(r))
		json_object_set(shown, "until_ms", json_object_get(r->receipt, "until_ms"));
	return shown;
}

/* ---- the router's word ---- */

int receipts_tally(struct sched *s, const char *host, const json_t *body, struct vk_err *err)
{
	const json_t *list = json_object_get(body, "servers");
	size_t i;
	json_t *row;
	if (!json_is_array(list))
		return vk_err_set(err, VK_INVALID, "servers is missing");
	json_t *servers = json_object(); /* the list is all there is */
	json_array_foreach(list, i, row) json_object_set(servers, vk_json_str(row, "id", ""), row);
	json_object_set_new(s->receipts->routers, host, servers);
	receipts_look(s);
	return 0;
}

static void due(void *arg)
{
	struct receipts *x = arg;
	receipts_look(x->s);
}

struct receipts *receipts_new(struct sched *s)
{
	struct receipts *x = vk_alloc(sizeof(*x));
	*x = (struct receipts){
		.s = s, .routers = json_object(), .closing = json_object(), .due = json_object()};
	x->timer = vk_timer_new(s->loop, due, x);
	return x;
}

void receipts_free(struct receipts *x)
{
	if (x == NULL)
		return;
	vk_timer_free(x->timer);
	json_decref(x->routers);
	json_decref(x->closing);
	json_decref(x->due);
	free(x);
}
