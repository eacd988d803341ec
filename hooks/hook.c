#include "hook.h"

#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

int hook_open(struct hook *h, const char *program, struct vk_err *err)
{
	*h = (struct hook){.stack = getenv("VIKING_STACK")};
	vk_log_init(program);
	const char *socket = getenv("VIKING_API"), *token = getenv("VIKING_TOKEN");
	if (h->stack == NULL || socket == NULL || token == NULL) {
		vk_err_set(
			err, VK_DENIED, "this repository takes pushes only through viking's SSH");
		return vk_err_hint(err, "git push ssh://viking@HOST:PORT/STACK");
	}
	h->api = (struct vk_api_opts){.socket = socket,
		.token = token,
		.role = "hook",
		.patience_ms = VK_API_PATIENCE_MS};
	return vk_config_load(getenv("VIKING_CONFIG_FILE"), getenv("VIKING_ROOT"), &h->config, err);
}

void hook_close(struct hook *h)
{
	vk_config_free(h->config);
	h->config = NULL;
}

void hook_preferred_branch(const struct hook *h, char *name)
{
	static const char prefix[] = "ref: refs/heads/";
	vk_autobuf head = VK_BUF_INIT(REF_NAME_MAX + sizeof(prefix) + 1);
	const char *branches = h->config->deploy_branches;
	refs_first_branch(branches, name);
	if (refs_is_branch(branches, "master"))
		snprintf(name, REF_NAME_MAX + 1, "master");
	if (vk_fs_read("HEAD", &head, NULL) != 0 || !vk_starts(vk_buf_str(&head), prefix))
		return;
	char *branch = head.data + strlen(prefix);
	branch[strcspn(branch, "\n")] = '\0';
	vk_autofree char *file = vk_asprintf("refs/heads/%s", branch);
	if (refs_is_branch(branches, branch) && vk_fs_exists(file))
		snprintf(name, REF_NAME_MAX + 1, "%s", branch);
}

char *hook_stack_path(const struct hook *h, const char *action)
{
	return vk_asprintf("/v1/stacks/%s/%s", h->stack, action);
}

json_t *hook_push_body(const struct ref_update *r, json_t *options)
{
	json_t *body = json_object();
	json_object_set_new(body, "ref", vk_json_safe_string(r->ref, strlen(r->ref)));
	json_object_set_new(body, "old", json_string(r->old));
	json_object_set_new(body, "new", json_string(r->new));
	json_object_set_new(body, "options", options);
	return body;
}
