#include "bases.h"

#include <string.h>
#include <viking/crypt.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "dockerfile.h"

#define PULL_SILENCE_MS 120000

static bool in_registry(const struct job *j, const char *name)
{
	size_t n = strlen(j->registry.server);
	return strncmp(name, j->registry.server, n) == 0 && name[n] == '/';
}

static bool listed(json_t *refs, const char *name)
{
	const char *key;
	json_t *value;
	json_object_foreach(refs, key, value)
	{
		if (vk_streq(json_string_value(value), name))
			return true;
	}
	return false;
}

static int refuse_id(const char *name, struct vk_err *err)
{
	vk_err_set(err, VK_DENIED, "FROM %s: an image is given by name here, not by id", name);
	return vk_err_hint(err, "name it, as in FROM debian:12 or FROM viking:STACK/BOAT");
}

int bases_allowed(const struct job *j, const char *name, struct vk_err *err)
{
	if (vk_starts(name, "sha256:"))
		return refuse_id(name, err);
	if (in_registry(j, name) && !listed(j->refs, name)) {
		vk_err_set(err, VK_DENIED,
			"FROM %s: images of stacks are not reached by their place in the registry",
			name);
		return vk_err_hint(err, "FROM viking:STACK/BOAT");
	}
	return 0;
}

bool bases_is_id(const char *name, const char *id)
{
	size_t n = strlen(name);
	return strspn(name, "0123456789abcdef") == n && vk_starts(id, "sha256:") &&
		strncmp(id + 7, name, n) == 0;
}

static int inspect(struct job *j, const char *name, json_t **ret, struct vk_err *err)
{
	vk_autofree char *escaped = vk_engine_escape(name);
	vk_autofree char *path = vk_asprintf("/images/%s/json", escaped);
	return vk_engine_call(j->engine, "GET", path, NULL, 0, ret, err);
}

struct pull {
	char *error;
};

static int on_pull(void *arg, json_t *line, struct vk_err *err)
{
	struct pull *p = arg;
	const char *text = vk_json_str(line, "error", NULL);
	(void)err;
	if (text != NULL && p->error == NULL)
		p->error = vk_strdup(text);
	return 0;
}

/* Without a tag the engine would fetch every tag there is. */
static char *pull_path(const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *last = slash != NULL ? slash : name;
	vk_autofree char *escaped = vk_engine_escape(name);
	bool tagged = strchr(last, ':') != NULL || strchr(name, '@') != NULL;
	return vk_asprintf("/images/create?fromImage=%s%s", escaped, tagged ? "" : "&tag=latest");
}

static int pull(struct job *j, const char *name, struct vk_err *err)
{
	vk_autofree char *path = pull_path(name);
	vk_autofree char *auth = in_registry(j, name)
		? vk_engine_registry_auth(REGISTRY_USER, j->registry.password, j->registry.server)
		: NULL;
	struct pull p = {0};
	struct vk_err why = {0};
	buildlog_linef(&j->log, "Fetching %s", name);
	int code =
		vk_engine_stream(j->engine, "POST", path, auth, on_pull, &p, PULL_SILENCE_MS, &why);
	vk_autofree char *error = p.error;
	if (code == 0 && error == NULL)
		return 0;
	vk_err_set(err, VK_FAILED,
		"build failed: the base image %s is not on this host and cannot be fetched: %s",
		name, error != NULL ? error : why.msg);
	return vk_err_hint(err, "check the name, and on the host: docker pull %s", name);
}

int bases_get(struct job *j, const char *name, json_t **ret, struct vk_err *err)
{
	int code = inspect(j, name, ret, err);
	if (code != VK_NOTFOUND)
		return code;
	code = pull(j, name, err);
	return code != 0 ? code : inspect(j, name, ret, err);
}

/* What the base makes run in images built from it is as much in need of a look as the Dockerfile. */
static int check_triggers(const struct job *j, const json_t *image, struct vk_err *err)
{
	const json_t *triggers = json_object_get(json_object_get(image, "Config"), "OnBuild");
	for (size_t i = 0; i < json_array_size(triggers); i++) {
		const char *text = json_string_value(json_array_get(triggers, i));
		int code =
			text != NULL ? dockerfile_check_trigger(text, j->registry.server, err) : 0;
		if (code != 0)
			return code;
	}
	return 0;
}

static int base_id(struct job *j, const char *name, struct vk_sha256 *h, struct vk_err *err)
{
	vk_autojson *image = NULL;
	int code = bases_allowed(j, name, err);
	if (code == 0)
		code = bases_get(j, name, &image, err);
	if (code == 0)
		code = check_triggers(j, image, err);
	if (code != 0)
		return code;
	const char *id = vk_json_str(image, "Id", "");
	if (bases_is_id(name, id))
		return refuse_id(name, err);
	vk_sha256_add(h, "\n", 1);
	vk_sha256_add(h, id, strlen(id));
	return 0;
}

int bases_key(struct job *j, const json_t *header, char key[static 65], struct vk_err *err)
{
	const json_t *froms = json_object_get(header, "froms");
	const char *source = vk_json_str(header, "key", "");
	if (source[0] == '\0' || !json_is_array(froms))
		return vk_err_set(err, VK_INTERNAL, "the source's header has no key");
	struct vk_sha256 *h = vk_sha256_new();
	vk_sha256_add(h, source, strlen(source));
	int code = 0;
	for (size_t i = 0; i < json_array_size(froms) && code == 0; i++) {
		const char *name = json_string_value(json_array_get(froms, i));
		if (name != NULL && !vk_streq(name, "scratch"))
			code = base_id(j, name, h, err);
	}
	vk_sha256_end(h, key);
	return code;
}
