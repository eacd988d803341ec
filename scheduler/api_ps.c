/* Instances: list, scale, restart, stop, start, rebuild, redeploy. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "api.h"
#include "control.h"
#include "deploy.h"
#include "pick.h"
#include "summary.h"

void api_ps(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	if (sk == NULL) {
		call_error(c, &err);
		return;
	}
	bool all = vk_req_query(c->r, "all") != NULL;
	call_json(c, 200, json_pack("{s:o}", "instances", summary_instances(c->s, sk, all)));
}

/* The entry of a node of the serving release that has instances; NULL: err. */
static const json_t *app_entry(
	const struct call *c, const struct stack *sk, const char *node, struct vk_err *err)
{
	const struct release *r = pick_release(sk, err);
	const json_t *entry = r != NULL ? json_object_get(r->nodes, node) : NULL;
	if (r == NULL)
		return NULL;
	if (entry == NULL) {
		vk_err_set(err, VK_NOTFOUND, "%s has no node %.64s", c->stack, node);
		vk_err_hint(err, "viking ps %s", c->stack);
	} else if (strcmp(vk_json_str(entry, "type", "app"), "app") != 0) {
		vk_err_set(err, VK_INVALID, "%s is a website: it has no instances", node);
		return NULL;
	}
	return entry;
}

static int check_scale(const struct call *c, const struct stack *sk, const char *node,
	const json_t *count, struct vk_err *err)
{
	const json_t *entry = app_entry(c, sk, node, err);
	if (entry == NULL)
		return err->code;
	json_int_t n = json_integer_value(count);
	if (!json_is_integer(count) || n < 0 || n > 100)
		return vk_err_set(
			err, VK_INVALID, "%s: scale must be a number from 0 to 100", node);
	if (n > 1 && vk_json_bool(entry, "exclusive", false))
		return vk_err_set(err, VK_INVALID,
			"node %s has a volume or a published port: only one instance can hold it",
			node);
	return 0;
}

void api_scale(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	const char *node;
	json_t *count;
	int rc = sk == NULL ? err.code : 0;
	if (rc == 0 && json_object_size(c->body) == 0)
		rc = vk_err_set(&err, VK_INVALID, "no node is named");
	json_object_foreach(rc == 0 ? c->body : NULL, node, count) if (rc == 0) rc =
		check_scale(c, sk, node, count, &err);
	if (rc != 0) {
		call_error(c, &err);
		return;
	}
	struct deploy_spec spec = {.kind = DEPLOY_SCALE, .scale = json_incref(c->body)};
	call_submit(c, deploy_new(c->s, c->stack, c->who.name, &spec), OP_REFUSE);
}

/* The node named in the body, NULL = all; false = answered with an error. */
static bool named_node(struct call *c, bool apps, const char **ret)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	const char *node = call_text(c, "node");
	const struct release *r = sk != NULL ? pick_release(sk, &err) : NULL;
	if (r != NULL && node != NULL && apps) {
		(void)app_entry(c, sk, node, &err);
	} else if (r != NULL && node != NULL && json_object_get(r->nodes, node) == NULL) {
		vk_err_set(&err, VK_NOTFOUND, "%s has no node %.64s", c->stack, node);
	}
	*ret = node;
	if (err.code == 0)
		return true;
	call_error(c, &err);
	return false;
}

static void control(struct call *c, enum control_kind kind)
{
	const char *node;
	if (named_node(c, true, &node))
		call_submit(c, control_new(c->s, c->stack, c->who.name, kind, node), OP_REFUSE);
}

void api_restart(struct call *c)
{
	control(c, CONTROL_RESTART);
}

void api_stop(struct call *c)
{
	control(c, CONTROL_STOP);
}

void api_start(struct call *c)
{
	control(c, CONTROL_START);
}

void api_rebuild(struct call *c)
{
	const char *node;
	struct deploy_spec spec = {.kind = DEPLOY_REBUILD};
	if (named_node(c, false, &node))
		call_submit(c, deploy_new(c->s, c->stack, c->who.name, &spec), OP_REFUSE);
}

void api_redeploy(struct call *c)
{
	struct deploy_spec spec = {.kind = DEPLOY_REDEPLOY};
	if (named_node(c, false, &spec.node))
		call_submit(c, deploy_new(c->s, c->stack, c->who.name, &spec), OP_REFUSE);
}
