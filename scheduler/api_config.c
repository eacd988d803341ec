/* Configuration of a stack: values are sealed before they go anywhere. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "api.h"
#include "deploy.h"

#define VALUE_MAX_BYTES ((size_t)64 << 10)
#define NAMES_MAX       500

void api_config(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	if (sk == NULL) {
		call_error(c, &err);
		return;
	}
	const char *reveal = vk_req_query(c->r, "reveal");
	vk_autojson *sealed = hub_config(sk);
	json_t *values;
	if (reveal != NULL && strcmp(reveal, "0") != 0) {
		values = hub_unseal(c->s, sealed);
	} else {
		values = json_object();
		const char *name;
		json_t *unused;
		json_object_foreach(sealed, name, unused)
			json_object_set_new(values, name, json_null());
	}
	call_json(c, 200, json_pack("{s:o}", "config", values));
}

static int take_set(struct call *c, json_t *ret, struct vk_err *err)
{
	json_t *set = json_object_get(c->body, "set"), *value;
	const char *name;
	if (set != NULL && !json_is_object(set))
		return vk_err_set(err, VK_INVALID, "set must be an object of names and values");
	json_object_foreach(set, name, value)
	{
		int rc = vk_env_name(name, err);
		if (rc != 0)
			return rc;
		if (!json_is_string(value))
			return vk_err_set(err, VK_INVALID, "%s: the value must be a text", name);
		size_t n = json_string_length(value);
		if (n > VALUE_MAX_BYTES)
			return vk_err_set(err, VK_LIMIT, "%s: a value may have 64 KiB", name);
		if (memchr(json_string_value(value), '\0', n) != NULL)
			return vk_err_set(err, VK_INVALID, "%s: a value may not hold a NUL", name);
		vk_autofree char *sealed = vk_seal(&c->s->secret, json_string_value(value), n);
		json_object_set_new(ret, name, json_string(sealed));
	}
	return 0;
}

static int take_unset(struct call *c, const struct stack *sk, json_t *ret, struct vk_err *err)
{
	size_t i;
	json_t *name;
	json_array_foreach(json_object_get(c->body, "unset"), i, name)
	{
		const char *text = json_string_value(name);
		if (text == NULL || table_get(&sk->config, text) == NULL) {
			vk_err_set(err, VK_NOTFOUND, "%s has no config %.128s", c->stack,
				text != NULL ? text : "?");
			vk_err_hint(err, "viking config %s", c->stack);
			return VK_NOTFOUND;
		}
		json_object_set_new(ret, text, json_null());
	}
	return 0;
}

void api_config_change(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	vk_autojson *changes = json_object();
	int rc = sk == NULL ? err.code : take_set(c, changes, &err);
	if (rc == 0)
		rc = take_unset(c, sk, changes, &err);
	if (rc == 0 && json_object_size(changes) == 0)
		rc = vk_err_set(&err, VK_INVALID, "nothing to set or unset");
	if (rc == 0 && json_object_size(changes) + sk->config.n > NAMES_MAX)
		rc = vk_err_set(&err, VK_LIMIT, "a stack may have %d config names", NAMES_MAX);
	if (rc != 0) {
		call_error(c, &err);
		return;
	}
	struct deploy_spec spec = {.kind = DEPLOY_CONFIG,
		.set = json_incref(changes),
		.rows_only = !vk_json_bool(c->body, "restart", true)};
	call_submit(c, deploy_new(c->s, c->stack, c->who.name, &spec), OP_REFUSE);
}
