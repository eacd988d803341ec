#include "spec.h"

#include <viking/str.h>

#include "instance_fixture.h"

static json_t *make(const char *text, const struct spec_run *run)
{
	struct vk_config c = config_of();
	struct desired_instance in = instance_of(text);
	json_t *j = spec_create(&c, "0123456789abcdef", &in, in.env, run);
	desired_instance_release(&in);
	return j;
}

/* The value at a path of keys with '/' between equals a text of JSON ("" = absent). */
static void has(const json_t *j, const char *path, const char *want)
{
	vk_autofree char *copy = vk_strdup(path);
	char *save = NULL;
	for (char *k = strtok_r(copy, "|", &save); k != NULL; k = strtok_r(NULL, "|", &save))
		j = json_object_get(j, k);
	vk_autofree char *text = j == NULL
		? vk_strdup("")
		: json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
	cr_expect_str_eq(text, want, "%s: %s, not %s", path, text, want);
}

Test(spec, a_container_keeps_the_resolver_it_was_made_with)
{
	struct desired_instance in =
		instance_of(INSTANCE(",\"network\":\"n\",\"dns\":[\"10.1.0.1\"]"));
	struct desired_instance none = instance_of(INSTANCE(",\"network\":\"n\""));
	struct desired_instance host = instance_of(
		INSTANCE(",\"network\":\"n\",\"network_mode\":\"host\",\"dns\":[\"10.1.0.1\"]"));
	vk_autojson *same = json_of("[\"10.1.0.1\"]"), *other = json_of("[]");
	cr_expect(spec_same_resolver(same, &in));
	cr_expect_not(spec_same_resolver(other, &in));
	cr_expect_not(spec_same_resolver(same, &none));
	cr_expect(spec_same_resolver(other, &none));
	cr_expect(spec_same_resolver(NULL, &none));
	cr_expect(spec_same_resolver(other, &host), "it has the host's");
	desired_instance_release(&in);
	desired_instance_release(&none);
	desired_instance_release(&host);
}

Test(spec, every_container_is_confined_and_bounded)
{
	vk_autojson *j = make(INSTANCE(), NULL);
	has(j, "Image", "\"docker.io/library/nginx:1\"");
	has(j, "HostConfig|Init", "true");
	has(j, "HostConfig|SecurityOpt", "[\"no-new-privileges\"]");
	has(j, "HostConfig|CapDrop",
		"[\"NET_RAW\",\"MKNOD\",\"AUDIT_WRITE\",\"SYS_CHROOT\",\"SETFCAP\"]");
	has(j, "HostConfig|CapAdd", "");
	has(j, "HostConfig|Privileged", "");
	has(j, "HostConfig|PidMode", "");
	has(j, "HostConfig|RestartPolicy", "{\"Name\":\"no\"}");
	has(j, "HostConfig|LogConfig",
		"{\"Config\":{\"max-file\":\"3\",\"max-size\":\"10m\"},\"Type\":\"json-file\"}");
	has(j, "HostConfig|Memory", "536870912");
	has(j, "HostConfig|MemorySwap", "536870912");
	has(j, "HostConfig|PidsLimit", "512");
	has(j, "HostConfig|NanoCpus", "");
	has(j, "HostConfig|PortBindings", "{}");
	has(j, "HostConfig|Mounts", "[]");
	has(j, "HostConfig|NetworkMode", "");
	has(j, "Cmd", "");
	has(j, "Hostname", "\"ragnar-web-3-1\"");
	has(j, "StopTimeout", "10");
}

Test(spec, limits_of_the_manifest_win)
{
	vk_autojson *j = make(
		INSTANCE(",\"memory\":67108864,\"cpus_milli\":250,\"pids\":20,\"stop_ms\":1500"),
		NULL);
	has(j, "HostConfig|Memory", "67108864");
	has(j, "HostConfig|MemorySwap", "67108864");
	has(j, "HostConfig|NanoCpus", "250000000");
	has(j, "HostConfig|PidsLimit", "20");
	has(j, "StopTimeout", "2");
}

Test(spec, labels_say_whose_it_is)
{
	vk_autojson *j = make(INSTANCE(",\"gen\":4"), NULL);
	static const char *const rows[][2] = {{"root", "0123456789abcdef"},
		{"instance", "ragnar-web-3-1"}, {"stack", "ragnar"}, {"node", "web"},
		{"version", "3"}, {"n", "1"}, {"release", "7"}, {"gen", "4"}};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		vk_autofree char *path = vk_asprintf("Labels|viking.%s", rows[i][0]);
		vk_autofree char *want = vk_asprintf("\"%s\"", rows[i][1]);
		has(j, path, want);
	}
	has(j, "Labels|viking.run", "");
	cr_assert_eq(strlen(json_string_value(
			     json_object_get(json_object_get(j, "Labels"), "viking.hash"))),
		64);
}

Test(spec, networks_ports_mounts_and_commands)
{
	vk_autojson *j =
		make(INSTANCE(",\"network\":\"viking-ragnar\",\"aliases\":[\"web\",\"api\"],"
			      "\"expose\":[{\"port\":8080}],\"publish\":[{\"port\":53,\"proto\":"
			      "\"udp\",\"host\":5353},{\"port\":80}],"
			      "\"mounts\":[{\"volume\":\"v1\",\"path\":\"/data\"},{\"host\":\"/"
			      "srv\",\"path\":\"/srv\"}],"
			      "\"cmd\":[\"a\",\"b "
			      "c\"],\"entrypoint\":[],\"cwd\":\"/w\",\"env\":{\"A\":\"x=y z\"}"),
			NULL);
	has(j, "HostConfig|NetworkMode", "\"viking-ragnar\"");
	has(j, "NetworkingConfig",
		"{\"EndpointsConfig\":{\"viking-ragnar\":{\"Aliases\":[\"web\",\"api\"]}}}");
	has(j, "ExposedPorts", "{\"53/udp\":{},\"80/tcp\":{},\"8080/tcp\":{}}");
	has(j, "HostConfig|PortBindings",
		"{\"53/udp\":[{\"HostPort\":\"5353\"}],\"80/tcp\":[{\"HostPort\":\"\"}]}");
	has(j, "HostConfig|Mounts",
		"[{\"Source\":\"v1\",\"Target\":\"/data\",\"Type\":\"volume\"},"
		"{\"Source\":\"/srv\",\"Target\":\"/srv\",\"Type\":\"bind\"}]");
	has(j, "Cmd", "[\"a\",\"b c\"]");
	has(j, "Entrypoint", "[]");
	has(j, "WorkingDir", "\"/w\"");
	has(j, "Env", "[\"A=x=y z\"]");
}

Test(spec, host_modes_and_privilege_when_the_policy_let_them_pass)
{
	vk_autojson *j = make(INSTANCE(",\"network\":\"viking-ragnar\",\"network_mode\":\"host\","
				       "\"pid_mode\":\"host\","
				       "\"privileged\":true"),
		NULL);
	has(j, "HostConfig|NetworkMode", "\"host\"");
	has(j, "NetworkingConfig", "");
	has(j, "Hostname", "");
	has(j, "HostConfig|PidMode", "\"host\"");
	has(j, "HostConfig|Privileged", "true");
	has(j, "HostConfig|CapDrop", "");
}

Test(spec, a_run_container_is_attached_and_marked)
{
	const struct spec_run run = {.tty = true, .rows = 24, .cols = 80};
	vk_autojson *j = make(INSTANCE(",\"kind\":\"task\""), &run);
	has(j, "Labels|viking.run", "\"1\"");
	has(j, "Tty", "true");
	has(j, "OpenStdin", "true");
	has(j, "StdinOnce", "true");
	has(j, "HostConfig|ConsoleSize", "[24,80]");
	has(j, "HostConfig|SecurityOpt", "[\"no-new-privileges\"]");
}

Test(spec, host_names_are_dns_labels)
{
	vk_autojson *j = make("{\"name\":\"ragnar-a_b.c-"
			      "0123456789012345678901234567890123456789012345678901234567890\","
			      "\"stack\":\"ragnar\",\"node\":\"web\",\"image\":\"x\"}",
		NULL);
	has(j, "Hostname", "\"ragnar-a-b-c-01234567890123456789012345678901234567890123456789\"");
}

Test(spec, the_root_label_follows_the_state_directory)
{
	struct vk_config c = config_of();
	char one[17], two[17], again[17], other[] = "/srv/viking";
	spec_root(&c, one);
	spec_root(&c, again);
	c.state_dir = other;
	spec_root(&c, two);
	cr_assert_eq(strlen(one), 16);
	cr_assert_str_eq(one, again);
	cr_assert_str_neq(one, two);
}

static unsigned count_up(void *arg)
{
	return ++*(unsigned *)arg;
}

/* What spec_create and spec_reach bind, and what is understood of it when the engine says the same. */
static void reach(const char *more, const char *bindings, const char *reached)
{
	struct vk_config c = config_of();
	struct desired_instance in = instance_of(more);
	unsigned last = 20000;
	vk_autojson *j = spec_create(&c, "0123456789abcdef", &in, in.env, NULL);
	spec_reach(j, &in, count_up, &last);
	has(j, "HostConfig|PortBindings", bindings);
	vk_autojson *told = spec_reached(
		json_object_get(json_object_get(j, "HostConfig"), "PortBindings"), &in);
	vk_autofree char *text =
		told != NULL ? json_dumps(told, JSON_COMPACT | JSON_SORT_KEYS) : vk_strdup("");
	cr_expect_str_eq(text, reached, "%s", text);
	desired_instance_release(&in);
}

Test(spec, other_hosts_reach_it_at_one_address_only)
{
#define AT \
	",\"reach\":\"10.0.0.1\",\"expose\":[{\"port\":80,\"proto\":\"tcp\"},{\"port\":53," \
	"\"proto\":\"udp\"}]"
	reach(INSTANCE(AT), "{\"80/tcp\":[{\"HostIp\":\"10.0.0.1\",\"HostPort\":\"20001\"}]}",
		"{\"addr\":\"10.0.0.1\",\"ports\":{\"80\":20001}}");
	reach(INSTANCE(AT ",\"publish\":[{\"host\":8080,\"port\":80}]"),
		"{\"80/tcp\":[{\"HostPort\":\"8080\"},{\"HostIp\":\"10.0.0.1\",\"HostPort\":"
		"\"20001\"}]}",
		"{\"addr\":\"10.0.0.1\",\"ports\":{\"80\":20001}}");
	reach(INSTANCE(AT ",\"network_mode\":\"host\""), "{}",
		"{\"addr\":\"10.0.0.1\",\"ports\":{\"80\":80}}");
	reach(INSTANCE(AT ",\"network_mode\":\"none\""), "{}", "");
	reach(INSTANCE(AT ",\"kind\":\"task\""), "{}", "");
	reach(INSTANCE(",\"expose\":[{\"port\":80}]"), "{}", "");
}
