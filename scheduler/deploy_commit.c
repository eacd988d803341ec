/* ROUTE and COMMIT: the switch, its acknowledgement, and the one transaction that makes the deploy true. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "acme.h"
#include "assign.h"
#include "certs.h"
#include "deploy.h"
#include "domains.h"
#include "drain.h"
#include "gc.h"
#include "receipts.h"

static bool has_sites(const struct deploy *d)
{
	const char *node;
	json_t *entry;
	json_object_foreach(d->rel != NULL ? d->rel->nodes : NULL, node,
		entry) if (strcmp(vk_json_str(entry, "type", "app"), "website") == 0) return true;
	return false;
}

void deploy_route_begin(struct deploy *d)
{
	d->stage = STAGE_ROUTE;
	deploy_stage_event(d, "s11");
	op_doing(&d->op, "waiting for the router");
	d->phase = vk_mono_ms();
	d->op.overlay.switched = true;
	hub_refresh(d->op.s);
	d->mark = router_mark(d->op.s);
	vk_timer_set(d->deadline, (int64_t)d->op.s->cfg->route_ack_ms);
	hub_touch(d->op.s); /* the acknowledgement may be there already */
}

void deploy_route_deadline(struct deploy *d)
{
	struct vk_err err = {0};
	enum route_wait w = router_reached(d->op.s, &d->mark, has_sites(d));
	char after[24];
	op_seconds(d->phase, after);
	const char *trouble = router_trouble(d->op.s);
	if (w == ROUTE_WAITS && trouble != NULL)
		vk_err_set(&err, VK_UNAVAILABLE, "the router cannot apply the new routes: %s",
			trouble);
	else if (w == ROUTE_WAITS)
		vk_err_set(&err, VK_UNAVAILABLE,
			"the router of %s did not confirm the new routes within %s",
			router_missing(d->op.s, &d->mark), after);
	else
		vk_err_set(&err, VK_UNAVAILABLE,
			w == ROUTE_NO_ROUTER
				? "no router is connected (waited %s)"
				: "the file server of websites is not connected (waited %s)",
			after);
	vk_err_hint(&err, "on the host: viking doctor");
	deploy_fail(d, &err);
}

/* ---- the transaction ---- */

/* Old instances that the new release replaces or has too many. */
static void leaving(const struct deploy *d, const struct stack *sk, struct inst_list *ret)
{
	struct inst_list l = {0};
	stack_instances(sk, &d->op.overlay, &l);
	for (size_t i = 0; i < l.n; i++)
		if (!l.v[i].drain && l.v[i].route == ROUTE_DRAIN)
			*inst_list_add(ret) = l.v[i];
	inst_list_release(&l);
}

static void put_config(struct deploy *d, struct txn *t, const struct stack *sk)
{
	const struct config_row *row;
	table_each(&sk->config, i, row) if (json_object_get(d->config, row->name) == NULL)
		txn_del(t, "/config/%s/%s", sk->name, row->name);
	const char *name;
	json_t *sealed;
	json_object_foreach(d->config, name, sealed)
	{
		row = table_get(&sk->config, name);
		if (row == NULL || strcmp(row->sealed, json_string_value(sealed)) != 0)
			txn_put(t, json_pack("{s:i,s:O}", "v", MODEL_VERSION, "sealed", sealed),
				"/config/%s/%s", sk->name, name);
	}
}

static void put_scale(struct deploy *d, struct txn *t, struct stack *sk)
{
	const char *node;
	json_t *count;
	json_object_foreach(d->op.overlay.scale, node, count)
	{
		struct node_row row = *stack_node(sk, node);
		row.scale = json_integer_value(count);
		txn_put_row(t, node_fields, &row, "/node/%s/%s", sk->name, node);
	}
}

static void put_release(struct deploy *d, struct txn *t, struct stack *sk)
{
	json_t *trial = d->op.overlay.trial;
	vk_autofree char *replaced = vk_asprintf("v%u took its place", d->rel->n);
	free(d->rel->outcome);
	d->rel->outcome = vk_strdup(trial != NULL ? "canary" : "ok");
	if (d->kind == DEPLOY_PROMOTE)
		txn_del(t, "/canary/%s", sk->name);
	else
		d->rel->ms = vk_mono_ms() - d->op.began;
	if (trial == NULL)
		receipts_end(d->op.s, t, sk);
	if (d->kind != DEPLOY_PROMOTE && d->rel->receipt == NULL)
		d->rel->receipt = receipt_open(d->rel, d->doc, d->kind != DEPLOY_ROLLBACK);
	if (d->kind != DEPLOY_PROMOTE)
		deploy_put_aborted(d, t, sk, replaced);
	txn_put_row(t, release_fields, d->rel, "/release/%s/%u", sk->name, d->rel->n);
	if (trial != NULL)
		txn_put(t, json_incref(trial), "/canary/%s", sk->name);
	else
		txn_put(t, json_pack("{s:i,s:i}", "v", MODEL_VERSION, "n", (int)d->rel->n),
			"/current/%s", sk->name);
	txn_del(t, "/intent/%s", sk->name);
	if (d->kind == DEPLOY_CONFIG || d->kind == DEPLOY_ROLLBACK)
		put_config(d, t, sk);
	if (d->kind == DEPLOY_PUSH && d->ref != NULL)
		txn_put(t,
			json_pack("{s:i,s:s,s:s,s:s}", "v", MODEL_VERSION, "ref", d->ref, "old",
				d->old, "new", d->commit),
			"/pending/%s", sk->name);
}

/* Where the instances are that stay, come or drain. */
static void put_placed(struct deploy *d, struct txn *t, const struct stack *sk)
{
	struct inst_list l = {0};
	stack_instances(sk, &d->op.overlay, &l);
	for (size_t i = 0; i < d->op.overlay.planned.n; i++)
		if (inst_list_find(&l, d->op.overlay.planned.v[i].name) == NULL)
			*inst_list_add(&l) = d->op.overlay.planned.v[i];
	assign_put(t, d->op.s, sk->name, &l);
	inst_list_release(&l);
}

/* ---- after it ---- */

static void say_urls(struct deploy *d, const struct vk_strv *urls)
{
	const struct vk_config *cfg = d->op.s->cfg;
	for (size_t i = 0; i < urls->n; i++)
		op_detail(&d->op, "%s", urls->v[i]);
	for (size_t i = 0; i < urls->n; i++) {
		const char *host = strstr(urls->v[i], "://") + strlen("://");
		size_t n = strcspn(host, ":/");
		if (n < 10 || strncmp(host + n - 10, ".localhost", 10) != 0)
			continue; /* names that resolve need no help */
		op_detail(&d->op, "curl -H 'Host: %.*s' http://127.0.0.1:%llu/", (int)n, host,
			(unsigned long long)cfg->http_port);
	}
}

/* Visitors are sent to where nobody answers: said, as the release serves all the same. */
static void say_missing(struct deploy *d, const struct stack *sk)
{
	vk_autostrv hosts = {0};
	vk_autojson *wanted = acme_wanted(d->op.s, sk, NULL);
	certs_missing(d->op.s, sk, &hosts);
	for (size_t i = 0; i < hosts.n; i++)
		op_out(&d->op,
			json_object_get(wanted, hosts.v[i]) != NULL
				? " !     %s redirects to HTTPS; its certificate is ordered: "
				  "viking certs %s"
				: " !     %s redirects to HTTPS and has no certificate: viking "
				  "certs:add %s",
			hosts.v[i], d->op.stack);
}

static json_t *end_more(const struct deploy *d, const struct vk_strv *urls)
{
	json_t *list = json_array();
	for (size_t i = 0; i < urls->n; i++)
		json_array_append_new(list, json_string(urls->v[i]));
	return json_pack("{s:i,s:o}", "release", d->rel != NULL ? (int)d->rel->n : 0, "urls", list);
}

static void say_trial(struct deploy *d, const char *took)
{
	op_out(&d->op, "=====> %s v%u gets %lld %% of the requests, v%u the others (%s)",
		d->op.stack, d->rel->n, (long long)vk_json_int(d->op.overlay.trial, "percent", 0),
		deploy_stack(d)->current, took);
	op_detail(&d->op, "viking releases:promote %s   or   viking releases:abort %s", d->op.stack,
		d->op.stack);
}

/* What the event of a deploy that has succeeded says. */
static char *event_of(const struct deploy *d)
{
	if (d->kind == DEPLOY_ABORT)
		return vk_asprintf("abort v%u%s%s", d->to, d->cause != NULL ? ": " : "",
			d->cause != NULL ? d->cause : "");
	if (d->rel == NULL)
		return vk_strdup("scale");
	if (d->kind == DEPLOY_PROMOTE)
		return vk_asprintf("promote v%u", d->rel->n);
	return d->op.overlay.trial != NULL ? vk_asprintf("canary v%u: %s", d->rel->n, d->rel->why)
					   : vk_strdup(d->rel->why);
}

static void say_end(struct deploy *d, struct vk_strv *urls)
{
	struct sched *s = d->op.s;
	char took[24];
	op_seconds(d->op.began, took);
	if (d->kind == DEPLOY_SCALE) {
		op_out(&d->op, "=====> %s scaled (%s)", d->op.stack, took);
		return;
	}
	if (d->kind == DEPLOY_ABORT) {
		op_out(&d->op, "=====> %s: v%u aborted, all requests are v%u's again (%s)",
			d->op.stack, d->to, deploy_stack(d)->current, took);
		return;
	}
	if (d->op.overlay.trial != NULL)
		say_trial(d, took);
	else if (d->kind == DEPLOY_PROMOTE)
		op_out(&d->op, "=====> %s v%u promoted (%s)", d->op.stack, d->rel->n, took);
	else if (d->kind == DEPLOY_ROLLBACK)
		op_out(&d->op, "=====> %s v%u deployed: back at v%u (%s)", d->op.stack, d->rel->n,
			d->to, took);
	else
		op_out(&d->op, "=====> %s v%u deployed (%s)", d->op.stack, d->rel->n, took);
	const struct stack *sk = deploy_stack(d);
	vk_autojson *domains = domains_of(&s->st, sk, NULL, s->cfg->base_domain);
	vk_autostrv idle = {0};
	domains_take_idle(sk, domains, &idle);
	vk_autojson *shown = certs_shown(&s->st, sk->name, domains);
	domains_urls(domains, shown, s->cfg->http_port, s->cfg->https_port, urls);
	say_urls(d, urls);
	say_missing(d, sk);
	for (size_t i = 0; i < idle.n; i++)
		op_detail(&d->op, "%s has 0 instances: viking ps:scale %s %s=1", idle.v[i],
			d->op.stack, idle.v[i]);
}

static void deploy_committed(void *arg, const struct vk_err *err)
{
	struct deploy *d = arg;
	struct vk_strv urls = {0};
	d->writing = false;
	if (d->op.ended) {
		op_unref(&d->op);
		return;
	}
	if (err != NULL) {
		d->stage = STAGE_ROUTE; /* nothing was written: it can be taken back */
		deploy_fail(d, err);
		op_unref(&d->op);
		return;
	}
	d->stage = STAGE_OVER;
	vk_timer_set(d->deadline, -1);
	say_end(d, &urls);
	vk_autofree char *what = event_of(d);
	hub_event(d->op.s, "deploy", d->op.stack, what, d->op.who);
	if (d->kind == DEPLOY_PUSH)
		deploy_stage_event(d, "s4");
	deploy_stage_event(d, "s12");
	struct stack *sk = deploy_stack(d);
	if (sk->drain == NULL)
		gc_after_deploy(d->op.s);
	json_t *more = end_more(d, &urls);
	vk_strv_release(&urls);
	op_end(&d->op, NULL, more);
	op_unref(&d->op);
}

static void deploy_commit(struct deploy *d)
{
	struct sched *s = d->op.s;
	struct stack *sk = deploy_stack(d);
	struct inst_list old = {0};
	char took[24];
	op_out(&d->op, "-----> Switching routes");
	op_detail(&d->op, "done (%s)", op_seconds(d->phase, took));
	d->stage = STAGE_COMMIT;
	struct txn *t = txn_new(s);
	leaving(d, sk, &old);
	if (d->rel != NULL)
		put_release(d, t, sk);
	if (d->kind == DEPLOY_ABORT)
		deploy_put_aborted(d, t, sk, d->cause != NULL ? d->cause : "by command");
	put_scale(d, t, sk);
	put_placed(d, t, sk);
	drain_put(s, t, sk, &old);
	inst_list_release(&old);
	d->writing = true;
	op_ref(&d->op);
	txn_commit(t, deploy_committed, d);
}

void deploy_route_look(struct deploy *d)
{
	if (router_reached(d->op.s, &d->mark, has_sites(d)) != ROUTE_DONE)
		return;
	const char *complaint = router_complaint(d->op.s, d->op.stack);
	if (complaint == NULL) {
		deploy_commit(d);
		return;
	}
	struct vk_err err = {0};
	vk_err_set(
		&err, VK_FAILED, "the router refuses the routes of %s: %s", d->op.stack, complaint);
	deploy_fail(d, &err);
}
