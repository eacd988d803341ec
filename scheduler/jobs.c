#include "jobs.h"

#include <stdlib.h>
#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "deploy.h"
#include "job.h"
#include "leave.h"
#include "push.h"
#include "stacks.h"

#define SCALE_MAX 100 /* instances of a node, as in a manifest */

struct jobs {
	struct sched *s;
	struct jobs_ops ops;
	/* {"ragnar": {"web": {"node": its definition, "rev": of the job it is from, "keys": {"ragnar/web/1-1": rev}, "texts": {"ragnar/web/1-1": text}}}} */
	json_t *set;
	json_t *tried; /* {"ragnar": {"nodes", "rev", "texts"}}: being deployed; rev: of the newest job in it */
	json_t *serves; /* {"ragnar": {"ragnar/web/1-1": text}}: what the serving release is made of */
	bool back;      /* this look found some that are to be put back: it decides nothing else */
	json_t *good; /* {"ragnar": rev}: of the last deploy that succeeded; newer jobs are at fault when one fails */
};

bool jobs_own(const struct stack *sk)
{
	return vk_streq(sk->row.who, JOBS_WHO);
}

int jobs_check_push(const struct stack *sk, struct vk_err *err)
{
	if (sk == NULL || !sk->exists || !jobs_own(sk))
		return 0;
	vk_err_set(err, VK_CONFLICT, "%s is made of jobs under /proc", sk->name);
	return vk_err_hint(err, "etcdctl del --prefix /proc/%s/", sk->name);
}

/* ---- what is wanted ---- */

static json_t *child(json_t *parent, const char *key)
{
	json_t *j = json_object_get(parent, key);
	if (j == NULL) {
		j = json_object();
		json_object_set_new(parent, key, j);
	}
	return j;
}

/* What the key had before, if that serves. */
static const char *before(const struct jobs *j, const char *key, const char *text)
{
	vk_autofree char *stack = vk_asprintf("%.*s", (int)strcspn(key, "/"), key);
	const char *old = vk_json_str(json_object_get(j->serves, stack), key, NULL);
	return old != NULL && strcmp(old, text) != 0 ? old : NULL;
}

static void fail(
	struct jobs *j, const char *key, const char *text, uint64_t rev, const struct vk_err *err)
{
	vk_log(VK_WARN, "job-failed", "key=/proc/%s why=\"%s\"", key, err->msg);
	vk_autofree char *what = vk_asprintf("/proc/%s is moved to /failed: %s", key, err->msg);
	hub_event(j->s, "job", NULL, what, JOBS_WHO);
	const char *back = before(j, key, text);
	j->back = j->back || back != NULL;
	j->ops.fail(j->ops.arg, key, rev, err->msg, back);
}

static int take(struct jobs *j, const struct job_row *r, struct vk_err *err)
{
	struct job_key k;
	vk_autojson *node = NULL;
	int rc = job_key_parse(r->key, &k, err);
	const struct stack *sk = rc == 0 ? state_stack(&j->s->st, k.stack) : NULL;
	if (sk != NULL && !jobs_own(sk))
		rc = vk_err_set(err, VK_CONFLICT, "the stack %s is deployed by git push", k.stack);
	if (rc == 0)
		rc = job_parse(r->text, r->len, &node, err);
	if (rc != 0)
		return rc;
	json_t *entry = child(child(j->set, k.stack), k.node);
	json_t *keys = child(entry, "keys");
	if (json_object_size(keys) >= SCALE_MAX)
		return vk_err_set(err, VK_LIMIT, "node %s has %d jobs, the most there are", k.node,
			SCALE_MAX);
	json_object_set_new(keys, r->key, json_integer((json_int_t)r->rev));
	json_object_set_new(child(entry, "texts"), r->key, json_stringn(r->text, r->len));
	if ((int64_t)r->rev > vk_json_int(entry, "rev", 0)) {
		json_object_set_new(entry, "rev", json_integer((json_int_t)r->rev));
		json_object_set(entry, "node", node);
	}
	return 0;
}

/* Definitions by node, each with as many instances as it has jobs. */
static json_t *nodes_of(const json_t *stack)
{
	json_t *nodes = json_object(), *entry;
	const char *name;
	json_object_foreach((json_t *)(uintptr_t)stack, name, entry)
	{
		json_t *node = json_copy(json_object_get(entry, "node"));
		size_t n = json_object_size(json_object_get(entry, "keys"));
		json_object_set_new(node, "scale", json_integer((json_int_t)n));
		json_object_set_new(nodes, name, node);
	}
	return nodes;
}

static json_t *texts_of(const json_t *stack)
{
	json_t *texts = json_object(), *entry;
	const char *name;
	json_object_foreach((json_t *)(uintptr_t)stack, name, entry)
		json_object_update(texts, json_object_get(entry, "texts"));
	return texts;
}

/* ---- what fails ---- */

/* Jobs of a node that came after the last good deploy, or all of them if none did. */
static void fail_node(struct jobs *j, const char *stack, json_t *entry, const struct vk_err *err)
{
	json_t *keys = json_object_get(entry, "keys"), *rev;
	int64_t good = vk_json_int(j->good, stack, 0);
	const char *key;
	if (vk_json_int(entry, "rev", 0) <= good)
		good = 0;
	json_object_foreach(keys, key, rev) if (json_integer_value(rev) > good)
		fail(j, key, vk_json_str(json_object_get(entry, "texts"), key, ""),
			(uint64_t)json_integer_value(rev), err);
}

/* Nodes that the serving release has otherwise. nodes NULL: all. */
static void fail_changed(
	struct jobs *j, const char *stack, const json_t *nodes, const struct vk_err *err)
{
	const struct stack *sk = state_stack(&j->s->st, stack);
	const struct release *r = sk != NULL ? stack_current(sk) : NULL;
	vk_autojson *doc = r != NULL ? release_doc(r) : NULL;
	json_t *entry, *serves = json_object_get(doc, "nodes");
	const char *node;
	json_object_foreach(json_object_get(j->set, stack), node, entry)
	{
		const json_t *tried = json_object_get(nodes, node),
			     *is = json_object_get(serves, node);
		if (tried == NULL || is == NULL ||
			!json_equal((json_t *)(uintptr_t)tried, (json_t *)(uintptr_t)is))
			fail_node(j, stack, entry, err);
	}
}

static bool passes(const struct vk_err *err) /* no fault of a job's: tried again */
{
	return err->code == VK_UNAVAILABLE || err->code == VK_CANCELLED || err->code == VK_TIMEOUT;
}

/* ---- making it so ---- */

static int64_t newest(const json_t *stack)
{
	int64_t rev = 0;
	const char *node;
	json_t *entry;
	json_object_foreach((json_t *)(uintptr_t)stack, node, entry) rev =
		vk_json_int(entry, "rev", 0) > rev ? vk_json_int(entry, "rev", 0) : rev;
	return rev;
}

static void deployed(void *arg, const struct op *op, const struct vk_err *err)
{
	struct jobs *j = arg;
	const json_t *tried = json_object_get(j->tried, op->stack);
	if (err == NULL) {
		json_object_set(j->good, op->stack, json_object_get(tried, "rev"));
		json_object_set(j->serves, op->stack, json_object_get(tried, "texts"));
	} else if (!passes(err))
		fail_changed(j, op->stack, json_object_get(tried, "nodes"), err);
	j->ops.again(j->ops.arg, err == NULL);
}

static void stack_made(void *arg, const struct vk_err *err)
{
	struct jobs *j = arg;
	j->ops.again(j->ops.arg, err == NULL);
}

static int make_stack(struct jobs *j, const char *stack, struct vk_err *err)
{
	struct txn *t = txn_new(j->s);
	int rc = stacks_coming(j->s, stack) ? 0 : stacks_create(j->s, t, stack, JOBS_WHO, err);
	if (rc == 0)
		txn_commit(t, stack_made, j);
	else
		txn_free(t);
	return rc;
}

static int submit(struct jobs *j, struct op *op, struct vk_err *err)
{
	op->over = deployed;
	op->over_arg = j;
	return op_submit(op, NULL, OP_REFUSE, err);
}

static int deploy(struct jobs *j, const char *stack, json_t *nodes, struct vk_err *err)
{
	const struct caller admin = {.kind = CALLER_LOCAL_ADMIN, .name = JOBS_WHO};
	const struct stack *sk = state_stack(&j->s->st, stack);
	const struct release *r = sk != NULL ? stack_current(sk) : NULL;
	vk_autojson *doc = job_doc(stack, nodes);
	const char *commit = vk_json_str(doc, "commit", "");
	if (r != NULL && vk_streq(r->commit, commit)) {
		json_object_set_new(j->serves, stack, texts_of(json_object_get(j->set, stack)));
		return 0;
	}
	int rc = push_check(j->s, &admin, stack, doc, err);
	if (rc != 0)
		return rc;
	if (sk == NULL)
		return make_stack(j, stack, err);
	if (sk->busy != NULL || op_check(j->s, stack, "push", OP_REFUSE, NULL) != 0) {
		j->ops.again(j->ops.arg, false);
		return 0;
	}
	json_object_set_new(j->tried, stack,
		json_pack("{s:O,s:I,s:o}", "nodes", nodes, "rev",
			(json_int_t)newest(json_object_get(j->set, stack)), "texts",
			texts_of(json_object_get(j->set, stack))));
	struct deploy_spec spec = {
		.kind = DEPLOY_PUSH, .doc = json_incref(doc), .new = commit, .note = "jobs"};
	return submit(j, deploy_new(j->s, stack, JOBS_WHO, &spec), err);
}

static void settle(struct jobs *j, const char *stack, const json_t *entries)
{
	struct vk_err err = {0};
	vk_autojson *nodes = nodes_of(entries);
	if (deploy(j, stack, nodes, &err) == 0)
		return;
	if (passes(&err))
		j->ops.again(j->ops.arg, false);
	else
		fail_changed(j, stack, nodes, &err);
}

/* Stacks whose jobs have all gone. */
static void sweep(struct jobs *j)
{
	struct stack *sk;
	table_each(&j->s->st.stacks, i, sk)
	{
		struct vk_err err = {0};
		if (!sk->exists || !jobs_own(sk) || json_object_get(j->set, sk->name) != NULL)
			continue;
		json_object_del(j->good, sk->name);
		json_object_del(j->serves, sk->name);
		if (sk->busy != NULL || sk->lock != NULL ||
			submit(j, leave_destroy(j->s, sk->name, JOBS_WHO), &err) != 0)
			j->ops.again(j->ops.arg, false);
	}
}

void jobs_look(struct jobs *j, const struct job_row *rows, size_t n, bool all)
{
	const char *stack;
	json_t *entries;
	json_object_clear(j->set);
	j->back = false;
	for (size_t i = 0; i < n; i++) {
		struct vk_err err = {0};
		if (take(j, &rows[i], &err) != 0)
			fail(j, rows[i].key, "", rows[i].rev, &err);
	}
	if (j->back)
		return;
	json_object_foreach(j->set, stack, entries) settle(j, stack, entries);
	if (all)
		sweep(j);
}

struct jobs *jobs_new(struct sched *s, const struct jobs_ops *ops)
{
	struct jobs *j = vk_alloc(sizeof(*j));
	*j = (struct jobs){.s = s,
		.ops = *ops,
		.set = json_object(),
		.tried = json_object(),
		.serves = json_object(),
		.good = json_object()};
	return j;
}

void jobs_free(struct jobs *j)
{
	if (j == NULL)
		return;
	json_decref(j->set);
	json_decref(j->tried);
	json_decref(j->serves);
	json_decref(j->good);
	free(j);
}
