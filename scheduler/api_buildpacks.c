/* Buildpacks of a stack, in order: list, add, set, remove, clear. They count from the next build on. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/pack_name.h>

#include "api.h"
#include "packs.h"
#include "policy.h"

static json_t *list_of(const struct stack *sk)
{
	const json_t *list = json_object_get(sk->packs, "list");
	return list != NULL ? json_deep_copy(list) : json_array();
}

void api_buildpacks(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	if (sk == NULL) {
		call_error(c, &err);
		return;
	}
	bool url = table_get(&sk->config, "BUILDPACK_URL") != NULL;
	call_json(c, 200, json_pack("{s:o,s:b}", "buildpacks", list_of(sk), "overridden", url));
}

/* ---- changes ---- */

static size_t position(const json_t *list, const char *pack)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) if (strcmp(json_string_value(item), pack) == 0) return i;
	return json_array_size(list);
}

/* The place that "index" (from 1) names; dflt when it is absent. max: places there are. */
static int take_index(
	const struct call *c, size_t dflt, size_t max, size_t *ret, struct vk_err *err)
{
	const json_t *index = json_object_get(c->body, "index");
	json_int_t n = json_integer_value(index);
	if (index == NULL || json_is_null(index)) {
		*ret = dflt;
		return 0;
	}
	if (!json_is_integer(index) || n < 1 || (size_t)n > max) {
		vk_err_set(err, VK_INVALID, "index must be a number from 1 to %zu", max);
		return vk_err_hint(err, "viking buildpacks %s", c->stack);
	}
	*ret = (size_t)n - 1;
	return 0;
}

static int take_pack(const struct call *c, const json_t *list, char **ret, struct vk_err *err)
{
	const char *text = call_text(c, "buildpack");
	int rc = policy_pack(c->s->cfg, text != NULL ? text : "", ret, err);
	if (rc == 0 && position(list, *ret) < json_array_size(list))
		rc = vk_err_set(
			err, VK_EXISTS, "%s has the buildpack %.200s already", c->stack, *ret);
	return rc;
}

static int list_add(struct call *c, json_t *list, struct vk_err *err)
{
	size_t n = json_array_size(list), at;
	vk_autofree char *pack = NULL;
	int rc = take_pack(c, list, &pack, err);
	if (rc == 0)
		rc = take_index(c, n, n + 1, &at, err);
	if (rc == 0 && n == VK_PACKS_MAX)
		rc = vk_err_set(err, VK_LIMIT, "a stack may have %d buildpacks", VK_PACKS_MAX);
	if (rc == 0)
		json_array_insert_new(list, at, json_string(pack));
	return rc;
}

/* Without an index the first is replaced. */
static int list_set(struct call *c, json_t *list, struct vk_err *err)
{
	size_t n = json_array_size(list), at;
	vk_autofree char *pack = NULL;
	int rc = take_index(c, 0, n > 0 ? n : 1, &at, err);
	if (rc == 0 && at < n)
		json_array_remove(list, at);
	if (rc == 0)
		rc = take_pack(c, list, &pack, err);
	if (rc == 0)
		json_array_insert_new(list, at, json_string(pack));
	return rc;
}

static int list_remove(struct call *c, json_t *list, struct vk_err *err)
{
	const char *text = call_text(c, "buildpack");
	size_t n = json_array_size(list), at = n;
	int rc = take_index(c, n, n, &at, err);
	if (rc != 0)
		return rc;
	if (text != NULL) { /* as it was given, or as it is kept */
		vk_autofree char *pack = NULL;
		at = position(list, text);
		if (at == n && policy_pack(c->s->cfg, text, &pack, NULL) == 0)
			at = position(list, pack);
	}
	if (at == n) {
		vk_err_set(err, VK_NOTFOUND, "%s has no such buildpack", c->stack);
		vk_err_hint(err, "viking buildpacks %s", c->stack);
		return VK_NOTFOUND;
	}
	json_array_remove(list, at);
	return 0;
}

static int list_clear(struct call *c, json_t *list, struct vk_err *err)
{
	(void)c;
	(void)err;
	json_array_clear(list);
	return 0;
}

static void change(struct call *c, int (*edit)(struct call *c, json_t *list, struct vk_err *err),
	const char *what)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	vk_autojson *list = sk != NULL ? list_of(sk) : NULL;
	if (sk == NULL || edit(c, list, &err) != 0) {
		call_error(c, &err);
		return;
	}
	struct txn *t = txn_new(c->s);
	if (json_array_size(list) > 0)
		txn_put(t, json_pack("{s:i,s:O}", "v", MODEL_VERSION, "list", list), "/packs/%s",
			c->stack);
	else
		txn_del(t, "/packs/%s", c->stack);
	hub_event(c->s, "buildpacks", c->stack, what, c->who.name);
	call_commit(c, t, json_pack("{s:O}", "buildpacks", list));
}

void api_buildpacks_add(struct call *c)
{
	change(c, list_add, "added");
}

void api_buildpacks_set(struct call *c)
{
	change(c, list_set, "set");
}

void api_buildpacks_remove(struct call *c)
{
	change(c, list_remove, "removed");
}

void api_buildpacks_clear(struct call *c)
{
	change(c, list_clear, "cleared");
}
