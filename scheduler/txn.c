/* Transactions: gather, commit, apply. */
#include "txn.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "follow.h"
#include "lead.h"
#include "metrics.h"
#include "reserve.h"

struct txn_item {
	char *key;
	json_t *value; /* NULL = delete */
};

struct txn {
	struct sched *s;
	struct txn_item *item;
	size_t n, cap;
	txn_fn *fn;
	void *arg;
	int64_t began_us;         /* metrics_clock */
	size_t bytes;             /* of keys and values */
	struct vk_timer *refused; /* not sent: the store is away */
	struct txn *next;         /* in s->under_way */
};

struct txn *txn_new(struct sched *s)
{
	struct txn *t = vk_alloc(sizeof(*t));
	t->s = s;
	return t;
}

void txn_free(struct txn *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++) {
		free(t->item[i].key);
		json_decref(t->item[i].value);
	}
	vk_timer_free(t->refused);
	free(t->item);
	free(t);
}

/* The last word on a key counts. */
static void txn_set(struct txn *t, char *key, json_t *value)
{
	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->item[i].key, key) != 0)
			continue;
		json_decref(t->item[i].value);
		t->item[i].value = value;
		free(key);
		return;
	}
	if (t->n == t->cap) {
		t->cap = t->cap > 0 ? t->cap * 2 : 8;
		t->item = vk_reallocarray(t->item, t->cap, sizeof(*t->item));
	}
	t->item[t->n++] = (struct txn_item){.key = key, .value = value};
}

void txn_put(struct txn *t, json_t *value, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	txn_set(t, vk_vasprintf(fmt, ap), value);
	va_end(ap);
}

void txn_put_row(
	struct txn *t, const struct vk_field *fields, const void *row, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	txn_set(t, vk_vasprintf(fmt, ap), model_encode(fields, row));
	va_end(ap);
}

void txn_del(struct txn *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	txn_set(t, vk_vasprintf(fmt, ap), NULL);
	va_end(ap);
}

static void txn_unlist(struct txn *t)
{
	for (struct txn **p = &t->s->under_way; *p != NULL; p = &(*p)->next) {
		if (*p == t) {
			*p = t->next;
			return;
		}
	}
}

bool txn_pending(const struct sched *s, const char *prefix, txn_pending_fn *fn, void *arg)
{
	for (const struct txn *t = s->under_way; t != NULL; t = t->next)
		for (size_t i = 0; i < t->n; i++)
			if (t->item[i].value != NULL && vk_starts(t->item[i].key, prefix) &&
				fn(arg, t->item[i].key, t->item[i].value))
				return true;
	return false;
}

static const struct txn_item *item_of(const struct txn *t, const char *key)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->item[i].key, key) == 0)
			return &t->item[i];
	return NULL;
}

bool txn_latest(const struct txn *t, const char *key, const json_t **ret)
{
	const struct txn_item *item = item_of(t, key);
	for (const struct txn *u = t->s->under_way; u != NULL && item == NULL; u = u->next)
		item = item_of(u, key);
	if (item != NULL)
		*ret = item->value;
	return item != NULL;
}

static void txn_done(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct txn *t = arg;
	t->s->commits--;
	metrics_commit(t->s, metrics_clock() - t->began_us, t->bytes);
	txn_unlist(t);
	bool failed = err != NULL && err->code != 0;
	if (failed && (err->code == VK_UNAVAILABLE || err->code == VK_TIMEOUT))
		lead_lost_store(t->s->lead, err);
	if (!failed && !committed)
		lead_give_up("another scheduler has taken over");
	if (!failed)
		follow_own(t->s->follow, rev);
	for (size_t i = 0; i < t->n && !failed; i++) {
		struct vk_err apply = {0};
		if (state_apply(&t->s->st, t->item[i].key, t->item[i].value, &apply) != 0)
			vk_log_err(VK_ERROR, "state-apply", &apply);
	}
	if (failed)
		vk_log_err(VK_ERROR, "store-write", err);
	else {
		reserve_keep(t->s);
		hub_touch(t->s);
	}
	if (t->fn != NULL)
		t->fn(t->arg, failed ? err : NULL);
	txn_free(t);
}

static void txn_refuse(void *arg)
{
	struct txn *t = arg;
	static const struct vk_err back = {
		VK_UNAVAILABLE, "the store was away a moment ago", "type it again"};
	const struct vk_err *away = lead_away(t->s->lead);
	txn_done(t, away != NULL ? away : &back, false, 0);
}

void txn_commit(struct txn *t, txn_fn *fn, void *arg)
{
	t->fn = fn;
	t->arg = arg;
	t->s->commits++;
	t->began_us = metrics_clock();
	t->next = t->s->under_way;
	t->s->under_way = t;
	if (lead_away(t->s->lead) != NULL) {
		t->refused = vk_timer_new(t->s->loop, txn_refuse, t);
		vk_timer_set(t->refused, 0);
		return;
	}
	struct vk_op *ops = vk_calloc(t->n + 1, sizeof(*ops));
	struct vk_strv texts = {0};
	for (size_t i = 0; i < t->n; i++) {
		ops[i].key = t->item[i].key;
		ops[i].del = t->item[i].value == NULL;
		t->bytes += strlen(ops[i].key);
		if (ops[i].del)
			continue;
		char *text = vk_json_text(t->item[i].value);
		ops[i].value = text;
		ops[i].len = strlen(text);
		t->bytes += ops[i].len;
		vk_strv_take(&texts, text);
	}
	const struct vk_cmp fence = lead_fence(t->s);
	t->s->store->ops->txn(t->s->store, &fence, 1, ops, t->n, txn_done, t);
	vk_strv_release(&texts);
	free(ops);
}
