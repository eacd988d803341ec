#include "policy.h"
#include "scene.h"

static int check(struct vk_config *cfg, const char *node, struct vk_err *ret)
{
	struct vk_err own = {0}, *err = ret != NULL ? ret : &own;
	vk_autofree char *text = vk_asprintf("{'nodes':{'web':%s}}", node);
	vk_autojson *doc = scene_json(text);
	return policy_check(cfg, doc, err);
}

#define CONFIG(paths_, ports_) \
	{ \
		.policy_host_paths = (char *)paths_, .policy_publish = (char *)ports_ \
	}

Test(policy, nothing_dangerous_is_allowed_by_default)
{
	static const char *const bad[] = {
		"{'privileged':true}",
		"{'network_mode':'host'}",
		"{'pid_mode':'host'}",
		"{'volumes':[{'path':'/d','host':'/srv'}]}",
		"{'publish':[{'host':80,'port':80}]}",
		"{'publish':[{'host':0,'port':80}]}",
	};
	char none[] = "", ports[] = "1024-65535";
	struct vk_config cfg = CONFIG(none, ports);
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		struct vk_err err = {0};
		cr_expect_eq(check(&cfg, bad[i], &err), VK_DENIED, "%s", bad[i]);
		cr_expect(strstr(err.msg, "web") != NULL, "the node is named: %s", err.msg);
		cr_expect(strstr(err.msg, "policy.") != NULL || strstr(err.hint, "policy.") != NULL,
			"%s", bad[i]);
	}
	cr_expect_eq(check(&cfg,
			     "{'publish':[{'host':5000,'port':80}],'network_mode':'default','pid_"
			     "mode':''}",
			     NULL),
		0);
}

Test(policy, each_setting_allows_its_own_only)
{
	char none[] = "", ports[] = "80,5000-5010";
	struct vk_config cfg = CONFIG(none, ports);
	cfg.policy_privileged = true;
	cr_expect_eq(check(&cfg, "{'privileged':true}", NULL), 0);
	cr_expect_eq(check(&cfg, "{'network_mode':'host'}", NULL), VK_DENIED);
	cr_expect_eq(check(&cfg, "{'publish':[{'host':80},{'host':5010}]}", NULL), 0);
	cr_expect_eq(check(&cfg, "{'publish':[{'host':5011}]}", NULL), VK_DENIED);
}

Test(policy, a_host_path_lies_under_an_allowed_one_and_goes_nowhere_else)
{
	char paths[] = "/srv/data,/opt", ports[] = "";
	struct vk_config cfg = CONFIG(paths, ports);
	cr_expect_eq(check(&cfg, "{'volumes':[{'path':'/d','host':'/srv/data'}]}", NULL), 0);
	cr_expect_eq(check(&cfg, "{'volumes':[{'path':'/d','host':'/srv/data/a'}]}", NULL), 0);
	static const char *const bad[] = {
		"/srv/database", "/srv/data/../../etc", "/srv", "srv/data", "/opt/..", "/etc"};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		vk_autofree char *node =
			vk_asprintf("{'volumes':[{'path':'/d','host':'%s'}]}", bad[i]);
		cr_expect_eq(check(&cfg, node, NULL), VK_DENIED, "%s", bad[i]);
	}
}

Test(policy, vikings_own_ports_are_never_published)
{
	char none[] = "", all[] = "1-65535";
	struct vk_config cfg = CONFIG(none, all);
	struct vk_err err = {0};
	cfg.registry_port = 5000;
	cfg.https_port = 0;
	cr_expect_eq(check(&cfg, "{'publish':[{'host':5000,'port':80}]}", &err), VK_DENIED);
	cr_expect_not_null(strstr(err.msg, "registry.port"), "%s", err.msg);
	cr_expect_eq(check(&cfg, "{'publish':[{'host':5001,'port':80}]}", NULL), 0);

	char range[] = "20000-29999", address[] = "10.0.0.1", etcd[] = "etcd";
	cfg.cluster_ports = range;
	cfg.cluster_address = address;
	cr_expect_eq(check(&cfg, "{'publish':[{'host':20000,'port':80}]}", NULL), 0);
	cfg.store = etcd; /* where only the other hosts get in */
	cr_expect_eq(check(&cfg, "{'publish':[{'host':20000,'port':80}]}", &err), VK_DENIED);
	cr_expect_not_null(strstr(err.msg, "cluster.ports"), "%s", err.msg);
	cr_expect_eq(check(&cfg, "{'publish':[{'host':29999,'port':80}]}", NULL), VK_DENIED);
	cr_expect_eq(check(&cfg, "{'publish':[{'host':30000,'port':80}]}", NULL), 0);
}

Test(policy, says_where_packs_come_from)
{
	static const char *const outside[] = {"/etc/packs", "file:///etc/passwd", "/srv/packsx/y"};
	char prefixes[] = "https://,http://,git://", paths[] = "/srv/packs";
	const struct vk_config host = {.policy_pack_urls = prefixes, .policy_pack_paths = paths};
	char only[] = "https://github.com,https://packs.example.org/ok-", none[] = "";
	struct vk_config strict = {.policy_pack_urls = only, .policy_pack_paths = none};
	struct vk_err err = {0};
	char *have = NULL;
	for (size_t i = 0; i < VK_COUNT(outside); i++)
		cr_expect_eq(
			policy_pack(&host, outside[i], &have, &err), VK_DENIED, "%s", outside[i]);
	cr_expect(strstr(err.hint, "policy.pack_paths") != NULL);
	cr_expect_eq(policy_pack(&strict, "/srv/packs/x", &have, &err), VK_DENIED);
	cr_expect_eq(policy_pack(&strict, "https://gitlab.com/x", &have, &err), VK_DENIED);
	cr_expect(strstr(err.hint, "policy.pack_urls") != NULL);
	cr_expect_eq(policy_pack(&strict, "https://github.com.evil.org/x", &have, &err), VK_DENIED);
	cr_expect_eq(policy_pack(&strict, "https://packs.example.org/x", &have, &err), VK_DENIED);
	cr_expect_eq(policy_pack(&strict, "https://packs.example.org/ok-1", &have, NULL), 0);
	free(have);
	cr_expect_eq(policy_pack(&strict, "https://github.com/x/y", &have, NULL), 0);
	free(have);
}
