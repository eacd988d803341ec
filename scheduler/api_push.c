/* Logins and pushes: session, git, push/check, push. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "builds.h"
#include "copies.h"
#include "deploy.h"
#include "holder.h"
#include "jobs.h"
#include "lead.h"
#include "push.h"
#include "pushopt.h"
#include "sessions.h"
#include "stacks.h"

#define REPOS_GONE_MAX 32

static void fail(struct call *c, struct vk_err *err)
{
	call_error(c, err);
}

void api_keycheck(struct call *c)
{
	struct vk_err err = {0};
	struct key_row *key;
	if (sessions_key(c->s, call_text(c, "key"), &key, &err) != 0) {
		err.code = VK_DENIED;
		fail(c, &err);
		return;
	}
	call_ok(c);
}

void api_session(struct call *c)
{
	struct sched *s = c->s;
	struct vk_err err = {0};
	struct key_row *key;
	if (sessions_key(s, call_text(c, "key"), &key, &err) != 0) {
		err.code = VK_DENIED;
		fail(c, &err);
		return;
	}
	vk_log(VK_INFO, "session", "key=%s addr=\"%s\"", key->name,
		vk_json_str(c->body, "addr", "?"));
	vk_autofree char *who =
		vk_asprintf("key:%s%s%s", key->name, c->host[0] != '\0' ? "@" : "", c->host);
	(void)audit_add(s->audit,
		&(struct audit_entry){.who = who,
			.source = key->fingerprint,
			.verb = "session",
			.result = "ok",
			.params = NULL},
		false, NULL);
	sessions_open(s, key, call_take(c));
}

/* Ids of destroyed stacks whose repositories the receiver has not removed yet; some of them when they are many. */
static json_t *repos_gone(const struct state *st)
{
	json_t *ids = json_array();
	const struct gone_row *row;
	table_each(&st->gone, i,
		row) if (vk_starts(row->name, "repo/") && json_array_size(ids) < REPOS_GONE_MAX)
		json_array_append_new(ids, json_string(row->name + strlen("repo/")));
	return ids;
}

/* With the host that has the repository, unless it is the one that asks. */
static json_t *git_answer(const struct call *c, const struct stack *sk)
{
	const struct sched *s = c->s;
	const char *host = holder_of(&s->st, s->cfg->host_name);
	if (vk_streq(call_text(c, "verb"), "copy"))
		return json_pack("{s:s,s:s}", "stack", sk->name, "id", sk->row.id);
	if (builds_here(s, c->host))
		return json_pack("{s:s,s:s,s:O?,s:o,s:s*}", "stack", sk->name, "id", sk->row.id,
			"pending", sk->pending, "gone", repos_gone(&s->st), "copy", copies_host(s));
	return json_pack(
		"{s:s,s:s}", "stack", sk->name, "host", host != NULL ? host : s->cfg->host_name);
}

static void git_created(void *arg, const struct vk_err *err)
{
	struct call *c = arg;
	struct stack *sk = state_stack(&c->s->st, call_text(c, "stack"));
	struct vk_err lost = {0};
	if (err == NULL && sk == NULL)
		vk_err_set(&lost, VK_NOTFOUND, "the stack was removed meanwhile");
	if (err != NULL || sk == NULL)
		call_error(c, err != NULL ? err : &lost);
	else
		call_json(c, 200, git_answer(c, sk));
}

/* The stack is made with the first push of a key that may. */
static int git_create(struct call *c, const char *stack, struct vk_err *err)
{
	if (!c->s->cfg->create_on_push) {
		vk_err_set(err, VK_NOTFOUND, "there is no stack %s", stack);
		vk_err_hint(err, "viking stacks:create %s", stack);
		return VK_NOTFOUND;
	}
	int rc = lead_check(c->s->lead, err);
	if (rc != 0)
		return rc;
	struct txn *t = txn_new(c->s);
	/* two first pushes at once: the second waits for the first one's stack, behind it in the store */
	rc = stacks_coming(c->s, stack) ? 0 : stacks_create(c->s, t, stack, c->who.name, err);
	if (rc != 0) {
		txn_free(t);
		return rc;
	}
	call_outlive(c);
	txn_commit(t, git_created, c);
	return 0;
}

void api_git(struct call *c)
{
	struct vk_err err = {0};
	const char *stack = call_text(c, "stack"), *verb = call_text(c, "verb");
	bool push = vk_streq(verb, "push"), copy = vk_streq(verb, "copy");
	int rc = vk_stack_name(stack != NULL ? stack : "", &err);
	if (rc == 0 && !push && !copy && !vk_streq(verb, "fetch"))
		rc = vk_err_set(&err, VK_INVALID, "verb must be push, fetch or copy");
	if (rc == 0 && copy && copies_feed(c->s, c->host) == NULL)
		rc = vk_err_set(&err, VK_CONFLICT, "this host keeps no copies");
	/* no hook looks at what a copy brings */
	const char *holder = holder_of(&c->s->st, c->s->cfg->host_name);
	if (rc == 0 && copy && !vk_streq(call_text(c, "from"), holder))
		rc = vk_err_set(&err, VK_DENIED, "copies come from the host of the repositories");
	if (rc == 0 && push) { /* the session itself knew no stack yet: its stage is told here */
		hub_event(c->s, "stage", stack, "s0", c->who.name);
		hub_event(c->s, "stage", stack, "s1", c->who.name);
	}
	if (rc == 0)
		rc = rights_check(&c->who, push || copy ? VERB_PUSH : VERB_FETCH, stack, &err);
	struct stack *sk = rc == 0 ? state_stack(&c->s->st, stack) : NULL;
	if (rc == 0 && sk != NULL) {
		call_json(c, 200, git_answer(c, sk));
		return;
	}
	if (rc == 0 && !push)
		rc = vk_err_set(&err, VK_NOTFOUND, "there is no stack %s", stack);
	if (rc == 0)
		rc = git_create(c, stack, &err);
	if (rc != 0)
		fail(c, &err);
}

void api_git_moved(struct call *c)
{
	const char *stack = call_text(c, "stack"), *ref = call_text(c, "ref"),
		   *new = call_text(c, "new");
	const struct stack *sk = state_stack(&c->s->st, stack);
	if (sk == NULL || sk->pending == NULL ||
		!vk_streq(vk_json_str(sk->pending, "ref", NULL), ref) ||
		!vk_streq(vk_json_str(sk->pending, "new", NULL), new)) {
		call_ok(c); /* nothing waits for it */
		return;
	}
	struct txn *t = txn_new(c->s);
	txn_del(t, "/pending/%s", stack);
	call_commit(c, t, NULL);
}

void api_git_gone(struct call *c)
{
	const json_t *id;
	size_t i;
	struct txn *t = txn_new(c->s);
	json_array_foreach(json_object_get(c->body, "ids"), i, id)
	{
		vk_autofree char *name =
			vk_asprintf("repo/%s", json_is_string(id) ? json_string_value(id) : "");
		if (table_get(&c->s->st.gone, name) != NULL)
			txn_del(t, "/gone/%s", name);
	}
	call_commit(c, t, NULL);
}

/* ---- push ---- */

struct push_args {
	const char *ref, *old, *new;
	struct pushopt opt;
	struct session *session;
};

static int push_args(struct call *c, struct push_args *ret, struct vk_err *err)
{
	ret->ref = call_text(c, "ref");
	ret->old = vk_json_str(c->body, "old", "");
	ret->new = call_text(c, "new");
	if (ret->ref == NULL || ret->new == NULL || !vk_is_commit(ret->new))
		return vk_err_set(err, VK_INVALID, "ref and new (a commit) are needed");
	ret->session = c->who.token != NULL ? sessions_find(c->s, c->who.token) : NULL;
	if (ret->session == NULL)
		return vk_err_set(err, VK_DENIED, "a push needs the token of its session");
	return pushopt_parse(json_object_get(c->body, "options"), &ret->opt, err);
}

static enum op_busy busy_mode(const struct pushopt *o)
{
	return o->wait ? OP_WAIT : o->supersede ? OP_SUPERSEDE : OP_REFUSE;
}

void api_push_check(struct call *c)
{
	struct vk_err err = {0};
	struct push_args a;
	json_t *doc = json_object_get(c->body, "doc");
	int rc = push_args(c, &a, &err);
	hub_event(c->s, "stage", c->stack, "s3", c->who.name);
	if (rc == 0)
		rc = holder_check(c->s, c->host, &err);
	if (rc == 0)
		rc = op_check(
			c->s, c->stack, "push", a.opt.dry_run ? OP_WAIT : busy_mode(&a.opt), &err);
	if (rc == 0)
		rc = jobs_check_push(state_stack(&c->s->st, c->stack), &err);
	if (rc == 0)
		rc = push_check(c->s, &c->who, c->stack, doc, &err);
	if (rc != 0) {
		fail(c, &err);
		return;
	}
	json_t *lines = json_array();
	push_hosts(c->s, doc, lines);
	if (a.opt.dry_run)
		push_plan(c->s, c->stack, doc, lines);
	else
		session_keep(a.session, c->stack, a.new, json_incref(doc));
	call_json(c, 200, json_pack("{s:o,s:b}", "out", lines, "dry_run", a.opt.dry_run));
}

void api_push(struct call *c)
{
	struct vk_err err = {0};
	struct push_args a;
	int rc = push_args(c, &a, &err);
	if (rc == 0)
		rc = holder_check(c->s, c->host, &err);
	const json_t *doc = rc == 0 ? session_doc(a.session, c->stack, a.new) : NULL;
	if (rc == 0 && doc == NULL)
		rc = vk_err_set(&err, VK_INVALID, "this commit was not checked by pre-receive");
	if (rc == 0 && a.opt.dry_run)
		rc = vk_err_set(&err, VK_INVALID, "a dry run is not pushed");
	if (rc == 0 && call_stack(c, &err) == NULL)
		rc = err.code;
	if (rc != 0) {
		fail(c, &err);
		return;
	}
	struct deploy_spec spec = {
		.kind = DEPLOY_PUSH,
		.doc = json_incref((json_t *)(uintptr_t)doc),
		.ref = a.ref,
		.old = a.old,
		.new = a.new,
		.note = a.opt.note[0] != '\0' ? a.opt.note : NULL,
		.no_cache = a.opt.no_cache,
	};
	call_submit(c, deploy_new(c->s, c->stack, c->who.name, &spec), busy_mode(&a.opt));
}
