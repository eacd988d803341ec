/*
 * A release on trial: its routed nodes come beside those of the serving release and get a part of the requests, until
 * it is promoted, aborted, or another deploy takes its place. Nodes that are new come too; changed ones that are not
 * routed, have a volume or a published port wait for the promotion, as do domains and policies.
 */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "deploy.h"
#include "domains.h"
#include "push.h"
#include "receipts.h"
#include "txn.h"

bool deploy_waits(const struct deploy *d, const char *node)
{
	const json_t *trial = d->op.overlay.trial;
	size_t i;
	json_t *name;
	json_array_foreach(json_object_get(trial, "nodes"), i,
		name) if (strcmp(json_string_value(name), node) == 0) return false;
	return trial != NULL;
}

/* Nodes of the serving release that domains lead to. */
static bool routed(struct deploy *d, const char *node)
{
	vk_autojson *domains =
		domains_of(&d->op.s->st, deploy_stack(d), NULL, d->op.s->cfg->base_domain);
	const char *name;
	json_t *value;
	json_object_foreach(
		domains, name, value) if (strcmp(vk_json_str(value, "node", ""), node) ==
		0) return vk_json_int(json_object_get(d->rel->nodes, node), "port", 0) > 0;
	return false;
}

static bool exclusive(const struct deploy *d, const char *node)
{
	return vk_json_bool(json_object_get(d->rel->nodes, node), "exclusive", false);
}

/* The changed nodes that can be tried; of the others the pusher is told why not. */
static json_t *tried(struct deploy *d)
{
	json_t *nodes = json_array();
	for (size_t i = 0; i < d->placed.changed.n; i++) {
		const char *node = d->placed.changed.v[i];
		if (exclusive(d, node))
			op_detail(&d->op, "%s is not tried: it has a volume or a published port",
				node);
		else if (!routed(d, node))
			op_detail(
				&d->op, "%s is not tried: no domain that serves leads to it", node);
		else
			json_array_append_new(nodes, json_string(node));
	}
	return nodes;
}

int deploy_trial(struct deploy *d, struct vk_err *err)
{
	int64_t percent = vk_json_int(json_object_get(d->doc, "rollout"), "canary", 0);
	if (d->kind != DEPLOY_PUSH || percent == 0 || stack_current(deploy_stack(d)) == NULL)
		return 0;
	vk_autojson *nodes = tried(d);
	if (json_array_size(nodes) == 0) {
		op_detail(&d->op,
			"nothing in it can be tried with a part of the requests: no canary");
		return 0;
	}
	for (size_t i = 0; i < d->placed.added.n; i++) {
		const char *node = d->placed.added.v[i];
		if (exclusive(d, node)) {
			vk_err_set(err, VK_INVALID,
				"a canary cannot bring node %s: it is new, and has a volume or a "
				"published port",
				node);
			vk_err_hint(err, "push once without rollout.canary");
			return VK_INVALID;
		}
		json_array_append_new(nodes, json_string(node));
	}
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const char *node = json_string_value(json_array_get(nodes, i));
		if (vk_strv_has(&d->stop_first, node))
			return vk_err_set(err, VK_LIMIT,
				"no host has room for a canary of node %s beside what serves",
				node);
	}
	d->op.overlay.trial = json_pack("{s:i,s:i,s:I,s:O,s:I}", "v", MODEL_VERSION, "n",
		(int)d->rel->n, "percent", (json_int_t)percent, "nodes", nodes, "since_ms",
		(json_int_t)vk_now_ms());
	return 0;
}

/* ---- its end ---- */

int deploy_refuses_canary(const struct deploy *d, const struct stack *sk, struct vk_err *err)
{
	const struct release *r = stack_canary(sk);
	if (r == NULL || d->kind == DEPLOY_PUSH || d->kind == DEPLOY_ROLLBACK)
		return 0;
	vk_err_set(err, VK_CONFLICT, "v%u of %s is a canary: end its trial first", r->n, sk->name);
	vk_err_hint(
		err, "viking releases:promote %s, or viking releases:abort %s", sk->name, sk->name);
	return VK_CONFLICT;
}

static int no_canary(const struct deploy *d, struct vk_err *err)
{
	vk_err_set(err, VK_NOTFOUND, "%s has no canary", d->op.stack);
	vk_err_hint(err, "viking releases %s", d->op.stack);
	return VK_NOTFOUND;
}

/* Starts what had to wait: as a deploy whose other nodes run already. */
static void promote_nodes(struct deploy *d, const struct stack *sk)
{
	const struct release *now = stack_current(sk);
	const char *node;
	json_t *entry;
	d->placed.nodes = json_incref(d->rel->nodes);
	json_object_foreach(d->rel->nodes, node, entry)
	{
		const json_t *old = json_object_get(now->nodes, node);
		size_t i;
		json_t *name;
		bool runs = old != NULL &&
			vk_json_int(old, "version", 0) == vk_json_int(entry, "version", 0);
		json_array_foreach(json_object_get(sk->canary, "nodes"), i, name) runs =
			runs || strcmp(json_string_value(name), node) == 0;
		if (!runs)
			vk_strv_add(old != NULL ? &d->placed.changed : &d->placed.added, node);
	}
}

int deploy_promote(struct deploy *d, struct stack *sk, struct vk_err *err)
{
	const struct release *trial = stack_canary(sk);
	if (trial == NULL || stack_current(sk) == NULL)
		return no_canary(d, err);
	d->doc = release_doc(trial);
	vk_autojson *row = model_encode(release_fields, trial);
	d->rel = vk_alloc(sizeof(*d->rel));
	d->rel->n = trial->n;
	int rc = model_decode(release_fields, row, d->rel, err);
	if (rc != 0)
		return rc;
	struct caller who = op_caller(&d->op);
	rc = push_claims_check(d->op.s, &who, d->op.stack, d->doc, err);
	if (rc != 0)
		return rc;
	d->op.overlay.claims = push_claims(d->doc);
	promote_nodes(d, sk);
	rc = deploy_assign(d, err);
	if (rc != 0)
		return rc;
	d->op.overlay.release = d->rel;
	d->stage = STAGE_START;
	deploy_start_begin(d);
	return 0;
}

int deploy_abort(struct deploy *d, struct stack *sk, struct vk_err *err)
{
	const struct release *trial = stack_canary(sk);
	if (trial == NULL)
		return no_canary(d, err);
	d->to = trial->n;
	d->op.overlay.abort = true;
	deploy_route_begin(d);
	return 0;
}

/* The row of a trial that ends without a promotion. */
void deploy_put_aborted(
	const struct deploy *d, struct txn *t, const struct stack *sk, const char *cause)
{
	const struct release *trial = stack_canary(sk);
	if (trial == NULL)
		return;
	struct release over = *trial;
	over.outcome = (char *)(uintptr_t) "aborted";
	over.cause = (char *)(uintptr_t)cause;
	vk_autojson *receipt = receipts_final(d->op.s, sk, trial);
	over.receipt = receipt;
	txn_put_row(t, release_fields, &over, "/release/%s/%u", sk->name, trial->n);
	txn_del(t, "/canary/%s", sk->name);
}
