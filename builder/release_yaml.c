#include "release_yaml.h"

#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/yaml.h>

#include "procfile.h"

#define SOURCE   "release"
#define VARS_MAX 256

static bool is_nothing(const struct vk_yaml *y)
{
	return y->type == VK_YAML_SCALAR && y->plain &&
		(y->len == 0 || strcmp(y->text, "~") == 0 || strcmp(y->text, "null") == 0);
}

static int add_var(json_t *vars, const char *name, const char *value, struct vk_err *err)
{
	int rc = vk_env_name(name, err);
	if (rc != 0)
		return rc;
	if (json_object_size(vars) == VARS_MAX)
		return vk_err_set(err, VK_LIMIT, "more than %d config_vars", VARS_MAX);
	json_object_set_new(vars, name, vk_json_safe_string(value, strlen(value)));
	return 0;
}

typedef int add_fn(json_t *out, const char *name, const char *value, struct vk_err *err);

static int read_map(
	const struct vk_yaml *doc, const char *key, add_fn *add, json_t *out, struct vk_err *err)
{
	const struct vk_yaml *map = vk_yaml_get(doc, key);
	if (map == NULL || is_nothing(map))
		return 0;
	if (map->type != VK_YAML_MAP)
		return vk_yaml_error(err, SOURCE, map, "%s needs a map of names and values", key);
	for (size_t i = 0; i < map->n; i++) {
		const struct vk_yaml *value = map->items[i];
		if (value->type != VK_YAML_SCALAR)
			return vk_yaml_error(err, SOURCE, value, "%s: %.60s needs plain text", key,
				map->keys[i].name);
		if (add(out, map->keys[i].name, is_nothing(value) ? "" : value->text, err) != 0)
			return vk_err_wrap(
				err, "%s:%u:%u: %s", SOURCE, value->line, value->col, key);
	}
	return 0;
}

int release_yaml_parse(const char *text, size_t n, struct release_yaml *ret, struct vk_err *err)
{
	struct vk_err local = {0};
	struct release_yaml r = {json_object(), json_object()};
	struct vk_yaml *doc = NULL;
	if (err == NULL) /* places are put before its message */
		err = &local;
	int rc = vk_yaml_parse(text, n, SOURCE, &doc, err);
	if (rc == 0 && doc->type != VK_YAML_MAP && !is_nothing(doc))
		rc = vk_yaml_error(err, SOURCE, doc,
			"bin/release has to print a map (default_process_types: ...)");
	if (rc == 0 && doc->type == VK_YAML_MAP)
		rc = read_map(doc, "default_process_types", process_add, r.processes, err);
	if (rc == 0 && doc->type == VK_YAML_MAP)
		rc = read_map(doc, "config_vars", add_var, r.config_vars, err);
	vk_yaml_free(doc);
	if (rc != 0)
		release_yaml_release(&r);
	else
		*ret = r;
	return rc;
}

void release_yaml_release(struct release_yaml *r)
{
	json_decref(r->processes);
	json_decref(r->config_vars);
	*r = (struct release_yaml){NULL, NULL};
}
