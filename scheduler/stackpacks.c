/* A stack's settings for its builds. */
#include "stackpacks.h"

#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#define ENV_MAX ((size_t)256 << 10) /* names and values: a job is one line of the builder's watch */

static char *pack_url(struct sched *s, const json_t *config)
{
	vk_autojson *one = json_object();
	json_t *sealed = json_object_get(config, "BUILDPACK_URL");
	if (sealed == NULL)
		return NULL;
	json_object_set(one, "BUILDPACK_URL", sealed);
	vk_autojson *plain = hub_unseal(s, one);
	return vk_strdup(vk_json_str(plain, "BUILDPACK_URL", NULL));
}

int stackpacks_choose(struct sched *s, const char *name, const struct stack *sk,
	const json_t *config, const json_t *doc, const char *boat, struct packs_choice *ret,
	struct vk_err *err)
{
	vk_autofree char *url = pack_url(s, config);
	struct packs_in in = {
		.cfg = s->cfg,
		.stack = name,
		.doc = doc,
		.list = sk != NULL ? json_object_get(sk->packs, "list") : NULL,
		.url = url,
	};
	return packs_choose(&in, boat, ret, err);
}

int stackpacks_check(struct sched *s, const char *name, const json_t *doc, struct vk_err *err)
{
	const struct stack *sk = state_stack(&s->st, name);
	vk_autojson *config = sk != NULL ? hub_config(sk) : NULL;
	const char *boat;
	json_t *recipe;
	json_object_foreach(json_object_get(doc, "boats"), boat, recipe)
	{
		struct packs_choice choice = {0};
		int rc = stackpacks_choose(s, name, sk, config, doc, boat, &choice, err);
		packs_choice_release(&choice);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int stackpacks_env(struct sched *s, const json_t *config, json_t **ret, struct vk_err *err)
{
	vk_autojson *env = hub_unseal(s, config);
	size_t bytes = 0;
	const char *name;
	json_t *value;
	json_object_foreach(env, name, value) bytes += strlen(name) + json_string_length(value);
	if (bytes > ENV_MAX)
		return vk_err_set(err, VK_LIMIT,
			"the configuration has %zu KiB: packs can be given %zu KiB", bytes >> 10,
			ENV_MAX >> 10);
	*ret = VK_TAKE(env);
	return 0;
}

char *stackpacks_cache(const struct stack *sk, const char *boat)
{
	return vk_asprintf("viking-cache-%s-%s", sk->row.id, boat);
}

size_t stackpacks_outdated(const struct sched *s, const struct stack *sk)
{
	const struct release *r = stack_current(sk);
	size_t n = 0;
	const char *boat;
	json_t *image;
	json_object_foreach(r != NULL ? r->boats : NULL, boat, image)
	{
		const char *on = vk_json_str(json_object_get(image, "launch"), "stack_image", "");
		n += strchr(boat, '/') == NULL && on[0] != '\0' && s->stack_image[0] != '\0' &&
			strcmp(on, s->stack_image) != 0;
	}
	return n;
}
