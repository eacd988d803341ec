/* The key space for reading: the view of view.h and our own keys, without secrets. */
#include <stdlib.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "view.h"

static int by_key(const void *a, const void *b)
{
	return strcmp(vk_json_str(*(json_t *const *)a, "key", ""),
		vk_json_str(*(json_t *const *)b, "key", ""));
}

static json_t *sorted(const json_t *keys)
{
	size_t n = json_array_size(keys);
	vk_autofree json_t **v = vk_calloc(n + 1, sizeof(json_t *));
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		v[i] = json_array_get(keys, i);
	qsort(v, n, sizeof(json_t *), by_key);
	for (size_t i = 0; i < n; i++)
		json_array_append(list, v[i]);
	return list;
}

static void stored(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct call *c = arg;
	(void)rev;
	if (err->code != 0) {
		call_error(c, err);
		return;
	}
	vk_autojson *keys = json_array();
	view_add(c->s, json_string_value(c->state), keys);
	for (size_t i = 0; i < n; i++) {
		vk_autojson *value = NULL;
		if (vk_starts(kvs[i].key, "/host/")) /* the view's has more */
			continue;
		if (vk_json_parse_max(kvs[i].value, kvs[i].len, kvs[i].len + 1, &value, NULL) != 0)
			continue;
		json_array_append_new(keys,
			json_pack("{s:s,s:o,s:I}", "key", kvs[i].key, "value",
				view_public(kvs[i].key, value), "rev", (json_int_t)kvs[i].mod_rev));
	}
	call_json(c, 200, json_pack("{s:o}", "keys", sorted(keys)));
}

void api_state(struct call *c)
{
	struct vk_err err = {0};
	const char *prefix = vk_req_query(c->r, "prefix");
	if (prefix == NULL || prefix[0] == '\0')
		prefix = "/";
	if (prefix[0] != '/') {
		vk_err_set(&err, VK_INVALID, "a prefix begins with /");
		vk_err_hint(&err, "viking state --keys /ports/");
		call_error(c, &err);
		return;
	}
	c->state = vk_json_safe_string(prefix, strlen(prefix));
	call_outlive(c);
	c->s->store->ops->range(c->s->store, prefix, stored, c);
}
