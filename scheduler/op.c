/* Operations: taking turns, talking, ending. */
#include "op.h"

#include <stdarg.h>
#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "hosts.h"
#include "metrics.h"

#define QUEUE_MAX  ((size_t)16 << 20)
#define RESTART_MS 5000 /* an engine may be gone for so long: somebody restarts it */
#define BEAT_MS    10000

const struct overlay *stack_overlay(const struct stack *sk)
{
	return sk->busy != NULL && sk->busy->running ? &sk->busy->overlay : NULL;
}

const char *op_seconds(int64_t since, char buf[static 24])
{
	vk_format_duration_ms(vk_mono_ms() - since, buf);
	return buf;
}

/* ---- talking ---- */

static void op_line(struct op *op, const char *text)
{
	op->spoke = vk_mono_ms();
	vk_timer_set(op->beat, BEAT_MS);
	if (op->r != NULL)
		vk_req_line(
			op->r, json_pack("{s:o}", "out", vk_json_safe_string(text, strlen(text))));
}

void op_out(struct op *op, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	op_line(op, text);
}

void op_detail(struct op *op, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	vk_autofree char *line = vk_asprintf("       %s", text);
	op_line(op, line);
}

void op_tail(struct op *op, const char *node, unsigned n, const json_t *tail)
{
	size_t at;
	json_t *line;
	if (json_array_size(tail) == 0)
		return;
	op_out(op, "=====> last lines of %s.%u", node, n);
	json_array_foreach(tail, at, line) if (json_is_string(line))
		op_detail(op, "%s", json_string_value(line));
}

void op_doing(struct op *op, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(op->doing, sizeof(op->doing), fmt, ap);
	va_end(ap);
}

static void op_beat(void *arg)
{
	struct op *op = arg;
	char took[24];
	if (op->ended)
		return;
	op_detail(op, "still %s (%s)", op->doing[0] != '\0' ? op->doing : "at it",
		op_seconds(op->began, took));
}

/* ---- life ---- */

void op_init(struct op *op, const struct op_type *type, struct sched *s, const char *stack,
	const char *who)
{
	op->type = type;
	op->s = s;
	op->stack = vk_strdup(stack);
	snprintf(op->who, sizeof(op->who), "%s", who);
	op->since_ms = vk_now_ms();
	op->began = op->spoke = vk_mono_ms();
	op->beat = vk_timer_new(s->loop, op_beat, op);
	op->refs = 1;
}

void op_ref(struct op *op)
{
	op->refs++;
}

void op_unref(struct op *op)
{
	if (--op->refs > 0)
		return;
	vk_timer_free(op->beat);
	overlay_release(&op->overlay);
	free(op->stack);
	op->type->free(op);
}

struct caller op_caller(const struct op *op)
{
	struct caller c = {.kind = CALLER_ROLE};
	const struct key_row *key = vk_starts(op->who, "key:")
		? table_get(&op->s->st.keys, op->who + strlen("key:"))
		: NULL;
	snprintf(c.name, sizeof(c.name), "%s", op->who);
	if (vk_starts(op->who, "local:"))
		c.kind = CALLER_LOCAL_ADMIN;
	if (key == NULL)
		return c;
	c.kind = CALLER_KEY;
	c.key_role = key->role;
	c.stacks = key->stacks;
	return c;
}

static int err_busy(const struct stack *sk, const char *kind, struct vk_err *err)
{
	const struct op *op = sk->busy;
	char when[32];
	vk_format_time(op->since_ms, when);
	vk_err_set(err, VK_CONFLICT, "%s is busy: %s by %s since %s", sk->name, op->type->kind,
		op->who, when);
	if (strcmp(kind, "push") == 0)
		vk_err_hint(err, "git push -o wait (or -o supersede), or: viking builds:list %s",
			sk->name);
	else
		vk_err_hint(err, "viking ps %s shows how far it is; then the same command again",
			sk->name);
	return VK_CONFLICT;
}

int op_check(
	struct sched *s, const char *stack, const char *kind, enum op_busy busy, struct vk_err *err)
{
	struct stack *sk = state_stack(&s->st, stack);
	if (sk == NULL)
		return vk_err_set(err, VK_NOTFOUND, "there is no stack %s", stack);
	if (sk->lock != NULL && strcmp(kind, "destroy") != 0) {
		vk_err_set(err, VK_CONFLICT, "%s is locked by %s%s%s", stack,
			sk->lock->who != NULL ? sk->lock->who : "?",
			vk_streq(sk->lock->reason, "") || sk->lock->reason == NULL ? "" : ": ",
			sk->lock->reason != NULL ? sk->lock->reason : "");
		vk_err_hint(err, "viking stacks:unlock %s", stack);
		return VK_CONFLICT;
	}
	int rc = hosts_engine(s, RESTART_MS, err);
	if (rc != 0)
		return rc;
	return sk->busy != NULL && (busy == OP_REFUSE || sk->busy->leaving)
		? err_busy(sk, kind, err)
		: 0;
}

static void op_run(struct op *op, struct stack *sk)
{
	sk->busy = op;
	op->running = true;
	op->began = vk_mono_ms();
	op->type->start(op);
}

static void positions_tell(struct stack *sk)
{
	unsigned n = 0;
	for (struct op *w = sk->waiting; w != NULL; w = w->next)
		op_detail(w, "waiting for %s by %s (position %u)",
			sk->busy != NULL ? sk->busy->type->kind : "the stack",
			sk->busy != NULL ? sk->busy->who : "?", ++n);
}

static void unlist_waiting(struct stack *sk, struct op *op)
{
	for (struct op **p = &sk->waiting; *p != NULL; p = &(*p)->next) {
		if (*p == op) {
			*p = op->next;
			op->next = NULL;
			return;
		}
	}
}

static void op_client_gone(void *arg, struct vk_req *r)
{
	struct op *op = arg;
	struct stack *sk = table_get(&op->s->st.stacks, op->stack);
	(void)r;
	op->r = NULL;
	if (op->ended)
		return;
	struct vk_err why = {0};
	vk_err_set(&why, VK_CANCELLED, "the client went away");
	if (!op->running) {
		if (sk != NULL)
			unlist_waiting(sk, op);
		op->ended = true;
		op_unref(op);
		if (sk != NULL)
			positions_tell(sk);
		return;
	}
	if (!op->detached)
		op->type->cancel(op, &why);
}

static void op_wait(struct op *op, struct stack *sk, enum op_busy busy)
{
	struct op **p = &sk->waiting;
	while (*p != NULL)
		p = &(*p)->next;
	*p = op;
	op->waited = true;
	op_doing(op, "waiting for its turn");
	positions_tell(sk);
	if (busy != OP_SUPERSEDE)
		return;
	struct vk_err why = {0};
	vk_err_set(&why, VK_CANCELLED, "superseded by %s", op->who);
	sk->busy->type->cancel(sk->busy, &why);
}

int op_submit(struct op *op, struct vk_req *r, enum op_busy busy, struct vk_err *err)
{
	int rc = op_check(op->s, op->stack, op->type->kind, busy, err);
	if (rc != 0) {
		op_unref(op);
		return rc;
	}
	struct stack *sk = state_stack(&op->s->st, op->stack);
	op->r = r;
	if (r != NULL)
		vk_req_stream(r, 200, NULL, QUEUE_MAX, op_client_gone, op);
	vk_timer_set(op->beat, BEAT_MS);
	if (sk->busy == NULL)
		op_run(op, sk);
	else
		op_wait(op, sk, busy);
	return 0;
}

static json_t *end_object(const struct vk_err *err, json_t *more)
{
	json_t *end = more != NULL ? more : json_object();
	json_object_set_new(end, "ok", json_boolean(err == NULL || err->code == 0));
	if (err == NULL || err->code == 0)
		return end;
	json_object_set_new(end, "error", json_string(vk_err_name(err->code)));
	json_object_set_new(end, "message", vk_json_safe_string(err->msg, strlen(err->msg)));
	json_object_set_new(end, "hint", vk_json_safe_string(err->hint, strlen(err->hint)));
	return end;
}

void op_end(struct op *op, const struct vk_err *err, json_t *more)
{
	struct sched *s = op->s;
	bool ok = err == NULL || err->code == 0;
	vk_log(VK_INFO, "op-end", "kind=%s stack=%s who=%s result=%s ms=%lld", op->type->kind,
		op->stack, op->who, ok ? "ok" : vk_err_name(err->code),
		(long long)(vk_mono_ms() - op->began));
	metrics_operation(s, op->type->kind, ok, vk_mono_ms() - op->began);
	op->ended = true;
	vk_timer_set(op->beat, -1);
	if (op->r != NULL) {
		vk_req_line(op->r, json_pack("{s:o}", "end", end_object(err, more)));
		vk_req_end(op->r);
		op->r = NULL;
	} else {
		json_decref(more);
	}
	struct stack *sk = table_get(&s->st.stacks, op->stack);
	if (sk != NULL && sk->busy == op)
		sk->busy = NULL;
	op->running = false;
	struct op *next = sk != NULL && sk->busy == NULL ? sk->waiting : NULL;
	if (op->over != NULL)
		op->over(op->over_arg, op, ok ? NULL : err);
	op_unref(op);
	hub_touch(s);
	if (next == NULL)
		return;
	sk->waiting = next->next;
	next->next = NULL;
	positions_tell(sk);
	op_run(next, sk);
}

void ops_poke(struct sched *s)
{
	for (size_t i = 0; i < s->st.stacks.n; i++) { /* poking may remove the stack */
		struct stack *sk = s->st.stacks.row[i];
		if (sk->busy != NULL && sk->busy->running && sk->busy->type->poke != NULL)
			sk->busy->type->poke(sk->busy);
	}
}

bool ops_running(const struct sched *s)
{
	const struct stack *sk;
	table_each(&s->st.stacks, i, sk) if (sk->busy != NULL && sk->busy->running) return true;
	return false;
}

bool op_cancel_running(struct sched *s, const char *stack, const struct vk_err *why)
{
	struct stack *sk = table_get(&s->st.stacks, stack);
	return sk != NULL && sk->busy != NULL && sk->busy->running &&
		sk->busy->type->cancel(sk->busy, why);
}

void ops_cancel_all(struct sched *s, const struct vk_err *why)
{
	for (size_t i = 0; i < s->st.stacks.n; i++) { /* an end may remove the stack */
		struct stack *sk = s->st.stacks.row[i];
		if (sk->busy != NULL && sk->busy->running)
			sk->busy->type->cancel(sk->busy, why);
	}
}

void op_refuse_waiting(struct stack *sk, const struct vk_err *err)
{
	while (sk->waiting != NULL) {
		struct op *op = sk->waiting;
		sk->waiting = op->next;
		op->next = NULL;
		op_end(op, err, NULL);
	}
}

void ops_free_all(struct sched *s)
{
	struct stack *sk;
	table_each(&s->st.stacks, i, sk)
	{
		while (sk->waiting != NULL) {
			struct op *op = sk->waiting;
			sk->waiting = op->next;
			if (op->r != NULL)
				vk_req_end(op->r);
			op_unref(op);
		}
		if (sk->busy != NULL) {
			struct op *op = sk->busy;
			sk->busy = NULL;
			if (op->r != NULL)
				vk_req_end(op->r);
			op_unref(op);
		}
	}
}
