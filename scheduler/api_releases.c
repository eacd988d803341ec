/* Releases: the history, one in full, going back. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "deploy.h"
#include "receipts.h"

static json_t *release_row(const struct stack *sk, const struct release *r)
{
	json_t *row = json_pack("{s:i,s:s?,s:s?,s:s?,s:I,s:s?,s:s?,s:I,s:s,s:s?,s:b}", "n",
		(int)r->n, "kind", r->kind, "commit", r->commit, "who", r->who, "when_ms",
		(json_int_t)r->when_ms, "why", r->why, "note", r->note, "ms", (json_int_t)r->ms,
		"outcome", release_outcome(sk, r), "cause", r->cause, "current",
		r->n == sk->current);
	if (r == stack_canary(sk))
		json_object_set(row, "percent", json_object_get(sk->canary, "percent"));
	return row;
}

void api_releases(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	if (sk == NULL) {
		call_error(c, &err);
		return;
	}
	json_t *list = json_array();
	for (size_t i = sk->n_releases; i-- > 0;)
		json_array_append_new(list, release_row(sk, sk->release[i]));
	call_json(c, 200, json_pack("{s:o}", "releases", list));
}

/* Only the names: values are for those who may read the configuration. */
static json_t *config_names(const struct release *r)
{
	json_t *names = json_array(), *value;
	const char *name;
	json_object_foreach(r->config, name, value) json_array_append_new(names, json_string(name));
	return names;
}

static json_t *release_boats(const struct release *r)
{
	json_t *boats = json_object(), *boat;
	const char *name;
	json_object_foreach(r->boats, name, boat) json_object_set_new(boats, name,
		json_pack("{s:s,s:s,s:s}", "ref", vk_json_str(boat, "ref", ""), "digest",
			vk_json_str(boat, "digest", ""), "image", vk_json_str(boat, "image", "")));
	return boats;
}

static json_t *release_nodes(const struct release *r)
{
	static const char *const shown[] = {"version", "born", "type", "service", "scale", "port",
		"domains", "publish", "tcp", "host"};
	json_t *nodes = json_object(), *entry;
	const char *name;
	json_object_foreach(r->nodes, name, entry)
	{
		json_t *node = json_object();
		for (size_t i = 0; i < VK_COUNT(shown); i++)
			json_object_set(node, shown[i], json_object_get(entry, shown[i]));
		json_object_set_new(nodes, name, node);
	}
	return nodes;
}

void api_release_info(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	const struct release *r = NULL;
	uint64_t n;
	const char *text = c->part[1][0] == 'v' ? c->part[1] + 1 : c->part[1];
	if (sk != NULL && vk_parse_u64(text, 1, UINT32_MAX, &n) == 0)
		r = stack_release(sk, (unsigned)n);
	if (r == NULL) {
		if (sk != NULL) {
			vk_err_set(
				&err, VK_NOTFOUND, "%s has no release %.20s", c->stack, c->part[1]);
			vk_err_hint(&err, "viking releases %s", c->stack);
		}
		call_error(c, &err);
		return;
	}
	json_t *row = release_row(sk, r);
	json_object_set_new(row, "tree", r->tree != NULL ? json_string(r->tree) : json_null());
	json_object_set_new(row, "boats", release_boats(r));
	json_object_set_new(row, "nodes", release_nodes(r));
	json_object_set_new(row, "config", config_names(r));
	json_object_set_new(row, "kept", json_boolean(r->doc != NULL));
	json_t *receipt = receipts_show(c->s, sk, r);
	if (receipt != NULL)
		json_object_set_new(row, "receipt", receipt);
	call_json(c, 200, row);
}

static void end_trial(struct call *c, enum deploy_kind kind)
{
	struct vk_err err = {0};
	struct deploy_spec spec = {.kind = kind};
	if (call_stack(c, &err) != NULL)
		call_submit(c, deploy_new(c->s, c->stack, c->who.name, &spec), OP_REFUSE);
	else
		call_error(c, &err);
}

void api_promote(struct call *c)
{
	end_trial(c, DEPLOY_PROMOTE);
}

void api_abort(struct call *c)
{
	end_trial(c, DEPLOY_ABORT);
}

/* Without a number it takes back what came last, which may be a canary. */
void api_rollback(struct call *c)
{
	struct vk_err err = {0};
	json_t *to = json_object_get(c->body, "to");
	json_int_t n = json_integer_value(to);
	if (call_stack(c, &err) != NULL && to != NULL && !json_is_null(to) &&
		(!json_is_integer(to) || n < 1 || n > INT32_MAX))
		vk_err_set(&err, VK_INVALID, "to must be the number of a release");
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	struct deploy_spec spec = {.kind = DEPLOY_ROLLBACK, .to = (unsigned)n};
	if (n == 0 && state_stack(&c->s->st, c->stack)->canary != NULL)
		spec.kind = DEPLOY_ABORT;
	call_submit(c, deploy_new(c->s, c->stack, c->who.name, &spec), OP_REFUSE);
}

/* The text of {"503": id} of a release that serves or is on trial. */
static bool find_page(const struct release *r, const char *id, json_t **ret)
{
	const char *node, *status;
	json_t *entry, *value;
	json_object_foreach(r != NULL ? r->nodes : NULL, node, entry)
		json_object_foreach(json_object_get(entry, "pages"), status, value)
	{
		if (strcmp(json_string_value(value), id) != 0)
			continue;
		vk_autojson *doc = release_doc(r);
		json_t *page = json_object_get(
			json_object_get(json_object_get(json_object_get(doc, "nodes"), node),
				"error_pages"),
			status);
		*ret = json_pack(
			"{s:s,s:s}", "status", status, "text", vk_json_str(page, "text", ""));
		return true;
	}
	return false;
}

void api_router_page(struct call *c)
{
	struct vk_err err = {0};
	json_t *page = NULL;
	struct stack *sk;
	table_each(&c->s->st.stacks, i, sk)
	{
		const struct overlay *o = stack_overlay(sk);
		if (page == NULL && sk->exists &&
			(find_page(stack_current(sk), c->part[0], &page) ||
				find_page(o != NULL ? o->release : NULL, c->part[0], &page)))
			break;
	}
	if (page != NULL) {
		call_json(c, 200, page);
		return;
	}
	vk_err_set(&err, VK_NOTFOUND, "there is no page of that id now");
	call_error(c, &err);
}
