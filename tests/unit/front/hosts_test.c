#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <viking/json.h>

#include "hosts.h"

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int parse(const char *text, struct hosts *ret, struct vk_err *err)
{
	vk_autojson *j = NULL;
	cr_assert_eq(vk_json_parse(text, strlen(text), &j, NULL), 0, "%s", text);
	return hosts_parse(j, ret, err);
}

Test(hosts, are_found_by_name_with_address_and_key)
{
	struct hosts h = {0};
	struct vk_err err = {0};
	cr_assert_eq(
		parse("{\"rev\":1,\"hosts\":{\"h3\":{\"addr\":\"::1\",\"port\":2},\"h2\":{\"addr\":"
		      "\"10.0.0.2\",\"port\":8792,\"key\":\"" KEY "\"}}}",
			&h, &err),
		0, "%s", err.msg);
	cr_assert(h.clustered);
	const struct host *h2 = hosts_find(&h, "h2"), *h3 = hosts_find(&h, "h3");
	cr_assert_null(hosts_find(&h, "h1"));
	cr_assert_null(hosts_find(&h, ""));
	cr_assert_eq(((const struct sockaddr_in *)&h2->addr)->sin_port, htons(8792));
	cr_assert_eq(h3->addr.ss_family, AF_INET6);
	cr_assert(host_has_key(h2, KEY));
	cr_assert_not(host_has_key(h2, "other"));
	cr_assert(host_has_key(h3, "other"));
	cr_assert(host_same(h2, h2));
	cr_assert_not(host_same(h2, h3));
	hosts_release(&h);
}

Test(hosts, null_is_no_cluster_and_none_is_one_of_its_own)
{
	struct hosts h = {.clustered = true};
	cr_assert_eq(parse("{\"hosts\":null}", &h, NULL), 0);
	cr_assert_not(h.clustered);
	cr_assert_null(hosts_find(&h, "h1"));
	cr_assert_eq(parse("{\"hosts\":{}}", &h, NULL), 0);
	cr_assert(h.clustered);
	hosts_release(&h);
}

Test(hosts, what_is_wrong_is_refused_whole)
{
	static const char *const bad[] = {
		"{}",
		"{\"hosts\":[]}",
		"{\"hosts\":{\"../x\":{\"addr\":\"10.0.0.2\",\"port\":1}}}",
		"{\"hosts\":{\"\":{\"addr\":\"10.0.0.2\",\"port\":1}}}",
		"{\"hosts\":{\"h2\":{\"addr\":\"example.org\",\"port\":1}}}",
		"{\"hosts\":{\"h2\":{\"addr\":\"10.0.0.2\",\"port\":0}}}",
		"{\"hosts\":{\"h2\":{\"addr\":\"10.0.0.2\",\"port\":65536}}}",
		"{\"hosts\":{\"h2\":{\"addr\":\"10.0.0.2\"}}}",
		"{\"hosts\":{\"h2\":{\"addr\":\"10.0.0.2\",\"port\":1,\"key\":\"ab\"}}}",
		"{\"hosts\":{\"h2\":{\"addr\":\"10.0.0.2\",\"port\":1,\"key\":\"Z" KEY "\"}}}",
		"{\"hosts\":{\"h2\":null}}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct hosts h = {.n = 77};
		struct vk_err err = {0};
		cr_assert_eq(parse(bad[i], &h, &err), VK_INVALID, "%s", bad[i]);
		cr_assert_eq(h.n, 77);
	}
}
