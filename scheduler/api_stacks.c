/* Stacks: list, create, info, destroy, rename, lock. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "leave.h"
#include "stacks.h"
#include "summary.h"

void api_stacks(struct call *c)
{
	json_t *list = json_array();
	struct stack *sk;
	table_each(&c->s->st.stacks, i, sk) if (sk->exists && rights_sees(&c->who, sk->name))
		json_array_append_new(list, summary_stack(c->s, sk));
	call_json(c, 200, json_pack("{s:o}", "stacks", list));
}

void api_stacks_create(struct call *c)
{
	struct vk_err err = {0};
	const char *name = call_text(c, "name");
	int rc = vk_stack_name(name != NULL ? name : "", &err);
	if (rc == 0)
		rc = rights_check(&c->who, VERB_PUSH, name, &err);
	struct txn *t = txn_new(c->s);
	if (rc == 0)
		rc = stacks_create(c->s, t, name, c->who.name, &err);
	if (rc != 0) {
		txn_free(t);
		call_error(c, &err);
		return;
	}
	hub_event(c->s, "stack", name, "created", c->who.name);
	call_commit(c, t, json_pack("{s:s}", "name", name));
}

static json_t *lock_json(const struct lock_row *lock)
{
	return lock == NULL ? json_null()
			    : json_pack("{s:s?,s:s?,s:I}", "reason", lock->reason, "who", lock->who,
				      "when_ms", (json_int_t)lock->when_ms);
}

static json_t *volumes_of(const struct state *st, const char *stack)
{
	json_t *list = json_array();
	struct volume_row *v;
	table_each(&st->volumes, i, v) if (strcmp(v->stack, stack) == 0)
		json_array_append_new(list, json_string(v->name));
	return list;
}

static json_t *busy_json(const struct stack *sk)
{
	if (sk->busy == NULL)
		return json_null();
	return json_pack("{s:s,s:s,s:I}", "kind", sk->busy->type->kind, "who", sk->busy->who,
		"since_ms", (json_int_t)sk->busy->since_ms);
}

/* NULL when neither maintenance nor hold is on. */
static json_t *traffic_json(const struct traffic_row *row)
{
	if (row == NULL || (row->maintenance == NULL && row->hold_ms == 0))
		return json_null();
	return json_pack("{s:s?,s:I,s:s?,s:I}", "maintenance", row->maintenance, "hold_ms",
		(json_int_t)row->hold_ms, "who", row->who, "since_ms", (json_int_t)row->since_ms);
}

void api_stack_info(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	if (sk == NULL) {
		call_error(c, &err);
		return;
	}
	char subnet[32];
	subnet_text(&c->s->range, sk->row.subnet, subnet);
	json_t *info = summary_stack(c->s, sk);
	const struct release *r = stack_current(sk);
	json_object_set_new(info, "commit",
		r != NULL && r->commit != NULL ? json_string(r->commit) : json_null());
	json_object_set_new(info, "created_ms", json_integer(sk->row.created_ms));
	json_object_set_new(
		info, "created_by", sk->row.who != NULL ? json_string(sk->row.who) : json_null());
	json_object_set_new(info, "network", json_sprintf("viking-%s %s", sk->name, subnet));
	json_object_set_new(info, "volumes", volumes_of(&c->s->st, sk->name));
	json_object_set_new(info, "lock", lock_json(sk->lock));
	json_object_set_new(info, "busy", busy_json(sk));
	json_object_set_new(info, "traffic", traffic_json(table_get(&c->s->st.traffic, sk->name)));
	call_json(c, 200, info);
}

/* ---- locks ---- */

void api_stack_lock(struct call *c)
{
	struct vk_err err = {0};
	const char *reason = call_text(c, "reason");
	char clean[256] = "";
	if (reason != NULL)
		vk_str_printable(reason, strlen(reason), clean, sizeof(clean));
	if (call_stack(c, &err) == NULL) {
		call_error(c, &err);
		return;
	}
	struct txn *t = txn_new(c->s);
	txn_put(t,
		json_pack("{s:i,s:s,s:s,s:I}", "v", MODEL_VERSION, "reason", clean, "who",
			c->who.name, "when_ms", (json_int_t)vk_now_ms()),
		"/lock/%s", c->stack);
	hub_event(c->s, "stack", c->stack, "locked", c->who.name);
	call_commit(c, t, NULL);
}

void api_stack_unlock(struct call *c)
{
	struct vk_err err = {0};
	if (call_stack(c, &err) == NULL) {
		call_error(c, &err);
		return;
	}
	struct txn *t = txn_new(c->s);
	txn_del(t, "/lock/%s", c->stack);
	hub_event(c->s, "stack", c->stack, "unlocked", c->who.name);
	call_commit(c, t, NULL);
}

/* ---- the end of a name ---- */

void api_stack_destroy(struct call *c)
{
	struct vk_err err = {0};
	if (call_stack(c, &err) == NULL) {
		call_error(c, &err);
		return;
	}
	call_submit(c, leave_destroy(c->s, c->stack, c->who.name), OP_REFUSE);
}

void api_stack_rename(struct call *c)
{
	struct vk_err err = {0};
	const char *name = call_text(c, "name");
	int rc = call_stack(c, &err) == NULL
		? err.code
		: leave_rename_check(c->s, c->stack, name != NULL ? name : "", &err);
	if (rc != 0) {
		call_error(c, &err);
		return;
	}
	call_submit(c, leave_rename(c->s, c->stack, name, c->who.name), OP_REFUSE);
}
