/*
 * A desired document of any shape: parsed or refused with a reason, and what an accepted instance says goes through
 * the policy and into a create request that is valid JSON with the limits every container has.
 */
#undef NDEBUG /* the checks are the test */
#include <assert.h>
#include <string.h>
#include <viking/config.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "desired.h"
#include "policy.h"
#include "spec.h"

static char state[] = "/var/lib/viking", registry[] = "127.0.0.1", paths[] = "/srv",
	    ports[] = "1024-65535";
static const struct vk_config config = {.state_dir = state,
	.registry_address = registry,
	.registry_port = 5000,
	.default_memory = 512u << 20,
	.default_pids = 512,
	.policy_host_paths = paths,
	.policy_publish = ports};

static void check(const struct desired_instance *in)
{
	struct vk_err err = {0};
	assert(in->name != NULL && in->want != NULL && in->kind != NULL);
	assert(strpbrk(in->name, "/?&% \n") == NULL); /* it becomes part of a path on the engine */
	if (in->refused.code != 0) {
		assert(in->refused.msg[0] != '\0' && strchr(in->refused.msg, '\n') == NULL);
		return;
	}
	if (policy_check(&config, in, &err) != 0) {
		assert(err.msg[0] != '\0');
		return;
	}
	vk_autojson *j = spec_create(&config, "0123456789abcdef", in, in->env, NULL);
	const json_t *host = json_object_get(j, "HostConfig");
	assert(vk_json_int(host, "Memory", 0) != 0 && vk_json_int(host, "PidsLimit", 0) > 0);
	assert(json_array_size(json_object_get(host, "SecurityOpt")) == 1);
	assert(json_object_get(host, "Privileged") == NULL &&
		json_object_get(host, "PidMode") == NULL);
	vk_autofree char *text = vk_json_text(j);
	assert(text != NULL && text[0] == '{');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	vk_autojson *doc = NULL;
	struct desired *d = NULL;
	struct vk_err err = {0};
	if (vk_json_parse((const char *)data, n, &doc, NULL) < 0)
		return 0;
	if (desired_parse(doc, &d, &err) < 0) {
		assert(d == NULL && err.msg[0] != '\0');
		return 0;
	}
	for (size_t i = 0; i < d->n_instances; i++)
		check(&d->instances[i]);
	desired_free(d);
	return 0;
}
