/* One instance out of a text, for the tests of what is made of it. */
#ifndef TEST_INSTANCE_FIXTURE_H
#define TEST_INSTANCE_FIXTURE_H

#include <criterion/criterion.h>
#include <viking/config.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "desired.h"

#define INSTANCE(more) \
	"{\"name\":\"ragnar-web-3-1\",\"stack\":\"ragnar\",\"node\":\"web\",\"version\":3,\"n\":" \
	"1,\"release\":7," \
	"\"image\":\"docker.io/library/nginx:1\"" more "}"

static inline json_t *json_of(const char *text)
{
	json_t *j = NULL;
	cr_assert_eq(vk_json_parse(text, strlen(text), &j, NULL), 0, "%s", text);
	return j;
}

static inline struct desired_instance instance_of(const char *text)
{
	struct vk_err err = {0};
	struct desired_instance in = {0};
	vk_autojson *j = json_of(text);
	cr_assert_eq(desired_instance_parse(j, &in, &err), 0, "%s: %s", text, err.msg);
	return in;
}

/* Every setting that these modules read. */
static inline struct vk_config config_of(void)
{
	static char state[] = "/var/lib/viking", registry[] = "127.0.0.1", none[] = "",
		    ports[] = "1024-65535";
	return (struct vk_config){.state_dir = state,
		.registry_address = registry,
		.registry_port = 5000,
		.default_memory = 512u << 20,
		.default_pids = 512,
		.policy_host_paths = none,
		.policy_publish = ports};
}

#endif
