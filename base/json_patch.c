/* RFC 7396: JSON merge patch. */
#include <viking/json.h>

static void diff_member(const char *key, const json_t *was, json_t *is, json_t *patch)
{
	if (was == NULL || !json_is_object(was) || !json_is_object(is)) {
		if (was == NULL || !json_equal(was, is))
			json_object_set(patch, key, is);
		return;
	}
	json_t *inner = vk_json_diff(was, is);
	if (inner != NULL)
		json_object_set_new(patch, key, inner);
}

json_t *vk_json_diff(const json_t *from, const json_t *to)
{
	const char *key;
	json_t *value;
	if (from == to)
		return NULL;
	json_t *patch = json_object();
	json_object_foreach((json_t *)(uintptr_t)from, key, value) if (json_object_get(to, key) ==
		NULL) json_object_set_new(patch, key, json_null());
	json_object_foreach((json_t *)(uintptr_t)to, key, value)
		diff_member(key, json_object_get(from, key), value, patch);
	if (json_object_size(patch) > 0)
		return patch;
	json_decref(patch);
	return NULL;
}

void vk_json_merge(json_t *target, const json_t *patch)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)patch, key, value)
	{
		if (json_is_null(value)) {
			json_object_del(target, key);
		} else if (!json_is_object(value)) {
			json_object_set(target, key, value);
		} else {
			if (!json_is_object(json_object_get(target, key)))
				json_object_set_new(target, key, json_object());
			vk_json_merge(json_object_get(target, key), value);
		}
	}
}
