#include "policy.h"

#include <viking/str.h>

#include "instance_fixture.h"

static struct vk_err why;

static int check(const struct vk_config *c, const char *text)
{
	struct desired_instance in = instance_of(text);
	why = (struct vk_err){0};
	int r = policy_check(c, &in, &why);
	desired_instance_release(&in);
	return r;
}

static void refused(
	const struct vk_config *c, const char *text, const char *reason, const char *setting)
{
	cr_expect_eq(check(c, text), VK_DENIED, "%s: %d", text, why.code);
	cr_expect_not_null(strstr(why.msg, reason), "%s: %s", text, why.msg);
	cr_expect_not_null(strstr(why.hint, setting), "%s: %s", text, why.hint);
}

Test(policy, the_plain_instance_is_allowed)
{
	struct vk_config c = config_of();
	cr_assert_eq(check(&c,
			     INSTANCE(",\"mounts\":[{\"volume\":\"v\",\"path\":\"/data\"}],"
				      "\"publish\":[{\"port\":80}],\"network_mode\":\"none\"")),
		0, "%s", why.msg);
}

Test(policy, wishes_beyond_the_container_are_refused_with_the_setting)
{
	struct vk_config c = config_of();
	refused(&c, INSTANCE(",\"privileged\":true"), "privileged", "policy.privileged");
	refused(&c, INSTANCE(",\"network_mode\":\"host\""), "network", "policy.host_network");
	refused(&c, INSTANCE(",\"pid_mode\":\"host\""), "process table", "policy.host_pid");
	refused(&c, INSTANCE(",\"network_mode\":\"container:abc\""), "container:abc", "");
	refused(&c, INSTANCE(",\"pid_mode\":\"container:abc\""), "container:abc", "");
	c.policy_privileged = c.policy_host_network = c.policy_host_pid = true;
	cr_assert_eq(check(&c,
			     INSTANCE(",\"privileged\":true,\"network_mode\":\"host\",\"pid_mode\":"
				      "\"host\"")),
		0);
	refused(&c, INSTANCE(",\"network_mode\":\"container:abc\""), "container:abc", "");
}

Test(policy, host_paths_go_by_whole_components)
{
	struct vk_config c = config_of();
	refused(&c, INSTANCE(",\"mounts\":[{\"host\":\"/etc\",\"path\":\"/x\"}]"), "/etc",
		"policy.host_paths");
	char prefixes[] = "/srv/data, /mnt/";
	c.policy_host_paths = prefixes;
	cr_expect_eq(
		check(&c, INSTANCE(",\"mounts\":[{\"host\":\"/srv/data\",\"path\":\"/x\"}]")), 0);
	cr_expect_eq(
		check(&c, INSTANCE(",\"mounts\":[{\"host\":\"/srv/data/a\",\"path\":\"/x\"}]")), 0);
	cr_expect_eq(check(&c, INSTANCE(",\"mounts\":[{\"host\":\"/mnt/a\",\"path\":\"/x\"}]")), 0);
	static const char *const bad[] = {"/srv/database", "/srv", "/srv/data/../../etc",
		"/srv/data/..", "/srv/data/./x", "/srv/data//x", "srv/data", "/", ""};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		vk_autofree char *text = vk_asprintf(
			INSTANCE(",\"mounts\":[{\"host\":\"%s\",\"path\":\"/x\"}]"), bad[i]);
		refused(&c, text, "mounting", "policy.host_paths");
	}
}

Test(policy, host_ports_lie_in_the_ranges)
{
	struct vk_config c = config_of();
	refused(&c, INSTANCE(",\"publish\":[{\"port\":80,\"host\":80}]"), "port 80",
		"policy.publish");
	refused(&c, INSTANCE(",\"publish\":[{\"port\":80,\"host\":1023}]"), "1024-65535",
		"policy.publish");
	cr_expect_eq(check(&c,
			     INSTANCE(",\"publish\":[{\"port\":80,\"host\":1024},{\"port\":1,"
				      "\"host\":65535}]")),
		0);
	char ranges[] = "80, 443,9000-9001";
	c.policy_publish = ranges;
	cr_expect_eq(
		check(&c,
			INSTANCE(",\"publish\":[{\"port\":1,\"host\":80},{\"port\":1,\"host\":443},"
				 "{\"port\":1,\"host\":9001}]")),
		0);
	refused(&c, INSTANCE(",\"publish\":[{\"port\":1,\"host\":80},{\"port\":1,\"host\":9002}]"),
		"9002", "policy.publish");
	c.web_port = 9001;
	refused(&c, INSTANCE(",\"publish\":[{\"port\":1,\"host\":9001}]"), "viking's own", "");
	char none[] = "";
	c.policy_publish = none;
	refused(&c, INSTANCE(",\"publish\":[{\"port\":1,\"host\":80}]"), "none", "policy.publish");
}

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(policy, images_of_this_host_are_named_by_digest_only)
{
	struct vk_config c = config_of();
	static const struct {
		const char *image;
		int code;
	} rows[] = {
		{"nginx", 0},
		{"docker.io/library/nginx@" DIGEST, 0},
		{"127.0.0.1:5000/ragnar/web@" DIGEST, 0},
		{"127.0.0.1:5000/ragnar/web:latest", VK_DENIED},
		{"localhost:5000/ragnar/web@" DIGEST, VK_DENIED},
		{DIGEST, VK_DENIED},
		{"0123456789ab", VK_DENIED},
		{"nginx@sha256:12", VK_INVALID},
		{"-x", VK_INVALID},
		{"a b", VK_INVALID},
	};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct desired_instance in = instance_of(INSTANCE());
		free(in.image);
		in.image = vk_strdup(rows[i].image);
		cr_expect_eq(policy_check(&c, &in, NULL), rows[i].code, "%s", rows[i].image);
		desired_instance_release(&in);
	}
}
