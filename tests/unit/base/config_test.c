#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/config.h>
#include <viking/str.h>

#include "tmpdir.h"

extern char **environ;

static void setup(void)
{
	char **v = environ;
	while (*v != NULL) {
		vk_autofree char *name = vk_strndup(*v, strcspn(*v, "="));
		if (!vk_starts(name, "VIKING_")) {
			v++;
			continue;
		}
		unsetenv(name);
		v = environ;
	}
}

TestSuite(config, .init = setup);

static void config_freep(struct vk_config **c)
{
	vk_config_free(*c);
}
#define autoconfig __attribute__((cleanup(config_freep))) struct vk_config *

static void put(const char *root, const char *name, const char *text)
{
	vk_autofree char *dir = vk_asprintf("%s/etc/viking/conf.d", root);
	vk_autofree char *path = vk_asprintf("%s/etc/viking/%s", root, name);
	cr_assert_eq(vk_fs_mkdir_p(dir, 0755, NULL), 0);
	cr_assert_eq(vk_fs_write_atomic(path, text, strlen(text), 0644, NULL), 0);
}

static struct vk_config *loaded(const char *file, const char *root)
{
	struct vk_config *c = NULL;
	struct vk_err e = {0};
	cr_assert_eq(vk_config_load(file, root, &c, &e), 0, "%s", e.msg);
	return c;
}

static void refused(const char *root, const char *text, const char *message, const char *hint)
{
	struct vk_config *c = NULL;
	struct vk_err e = {0};
	put(root, "viking.conf", text);
	vk_autofree char *want = vk_asprintf("%s/etc/viking/viking.conf:%s", root, message);
	cr_assert_eq(vk_config_load(NULL, root, &c, &e), VK_INVALID, "%s", text);
	cr_assert_null(c);
	cr_assert_str_eq(e.msg, want);
	if (hint != NULL)
		cr_assert_str_eq(e.hint, hint);
}

static char *printed(const struct vk_config *c, bool explain)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	vk_config_print(c, explain, out);
	fclose(out);
	return text;
}

Test(config, defaults)
{
	autotmp root = tmpdir_new();
	autoconfig c = loaded(NULL, root);
	vk_autofree char *state = vk_asprintf("%s/var/lib/viking", root);
	cr_assert_str_eq(c->root, root);
	cr_assert_str_eq(c->state_dir, state);
	cr_assert_eq(c->ssh_port, 2222);
	cr_assert_eq(c->pack_max, 512ull << 20);
	cr_assert_eq(c->ssh_grace_ms, 20000);
	cr_assert_str_eq(c->deploy_branches, "main,master");
	cr_assert_str_eq(c->engine_socket, "/var/run/docker.sock");
	cr_assert(c->create_on_push);
	cr_assert_not(c->policy_privileged);
	cr_assert_str_eq(c->sandbox, "auto");
	cr_assert_neq(c->host_name[0], '\0');
	cr_assert_null(strchr(c->host_name, '.'));
}

Test(config, later_layers_win)
{
	autotmp root = tmpdir_new();
	put(root, "auto.conf",
		"ssh: {port: 1001}\nhttp.port: 2001\nweb.port: 3001\nregistry.port: "
		"4001\nhttps.port: 5001\n");
	put(root, "viking.conf",
		"http.port: 2002\nweb.port: 3002\nregistry.port: 4002\nhttps.port: 5002\n");
	put(root, "conf.d/b.yml", "registry:\n  port: 4004\nhttps.port: 5004\n");
	put(root, "conf.d/a.yml", "web.port: 3003\nregistry.port: 4003\n");
	put(root, "conf.d/ignored.txt", "nonsense: [");
	put(root, "conf.d/.hidden.yml", "nonsense: [");
	setenv("VIKING_HTTPS_PORT", "5005", 1);
	autoconfig c = loaded(NULL, root);
	cr_assert_eq(c->ssh_port, 1001);
	cr_assert_eq(c->http_port, 2002);
	cr_assert_eq(c->web_port, 3003);
	cr_assert_eq(c->registry_port, 4004);
	cr_assert_eq(c->https_port, 5005);
	vk_autofree char *text = printed(c, false);
	static const char *const origins[] = {"auto.conf:1", "viking.conf:1", "a.yml:1", "b.yml:2",
		"VIKING_HTTPS_PORT", "default", "--root", NULL};
	for (int i = 0; origins[i] != NULL; i++)
		cr_assert_not_null(strstr(text, origins[i]), "%s", origins[i]);
}

Test(config, every_kind_of_value_is_read)
{
	autotmp root = tmpdir_new();
	put(root, "viking.conf",
		"deploy: {branches: [main, release/1], create_on_push: no, drain: 1500ms}\n"
		"receive: {max_pack: 1G}\nbase_domain: apps.example.com\nhost: {name: one}\n"
		"policy: {host_paths: [/srv, /data], publish: '80,8000-9000'}\n"
		"paths: {state: data, run: /run/elsewhere}\nnetworks: {range: 10.0.0.0/8}\n");
	autoconfig c = loaded(NULL, root);
	vk_autofree char *state = vk_asprintf("%s/data", root);
	cr_assert_str_eq(c->deploy_branches, "main,release/1");
	cr_assert_not(c->create_on_push);
	cr_assert_eq(c->drain_ms, 1500);
	cr_assert_eq(c->pack_max, 1ull << 30);
	cr_assert_str_eq(c->host_name, "one");
	cr_assert_str_eq(c->policy_host_paths, "/srv,/data");
	cr_assert_str_eq(c->state_dir, state);
	cr_assert_str_eq(c->run_dir, "/run/elsewhere");
}

Test(config, the_first_vikings_name_of_the_host)
{
	autotmp root = tmpdir_new();
	put(root, "viking.conf", "network: {hostname: old}\n");
	autoconfig c = loaded(NULL, root);
	cr_assert_str_eq(c->host_name, "old");
	setenv("VIKING_NETWORK_HOSTNAME", "env", 1);
	autoconfig d = loaded(NULL, root);
	cr_assert_str_eq(d->host_name, "env");
	setenv("VIKING_HOST_NAME", "newer", 1);
	autoconfig f = loaded(NULL, root);
	cr_assert_str_eq(f->host_name, "newer");
	refused(root, "network: {public: 1.2.3.4}\n",
		"1:11: network.public is a setting of several hosts, which this version does not "
		"have",
		NULL);
}

Test(config, mistakes_have_a_place_and_a_suggestion)
{
	autotmp root = tmpdir_new();
	refused(root, "ssh:\n  prot: 22\n", "2:3: unknown setting \"ssh.prot\"",
		"did you mean ssh.port?");
	refused(root, "zzzzzz: 1\n", "1:1: unknown setting \"zzzzzz\"",
		"all settings: viking config --explain");
	refused(root, "ssh: {port: abc}\n",
		"1:13: ssh.port: \"abc\" is not a number from 1 to 65535", NULL);
	refused(root, "ssh: {port: 65536}\n",
		"1:13: ssh.port: \"65536\" is not a number from 1 to 65535", NULL);
	refused(root, "ssh: {port: 0}\n", "1:13: ssh.port: \"0\" is not a number from 1 to 65535",
		NULL);
	refused(root, "ssh.grace: 2d\n",
		"1:12: ssh.grace: \"2d\" is not a time (like 30s) from 1s to 24h", NULL);
	refused(root, "receive.max_pack: 1K\n",
		"1:19: receive.max_pack: \"1K\" is not a size (like 512MiB) from 1MiB to "
		"1048576GiB",
		NULL);
	refused(root, "deploy.create_on_push: maybe\n",
		"1:24: deploy.create_on_push: \"maybe\" is not true or false", NULL);
	refused(root, "builds.backend: kaniko\n",
		"1:17: builds.backend: \"kaniko\" is not one of: buildkit, classic", NULL);
	refused(root, "ssh.address: here\n",
		"1:14: ssh.address: \"here\" is not an IPv4 or IPv6 address", NULL);
	refused(root, "networks.range: 10.0.0.1/16\n",
		"1:17: networks.range: \"10.0.0.1/16\" is not an IPv4 "
		"range like 10.210.0.0/16, /8 to /24",
		NULL);
	refused(root, "ssh: {port: 1, port: 2}\n",
		"1:16: the key \"port\" is here twice (first in line 1)", NULL);
	refused(root, "ssh: {port: [1]}\n", "1:13: ssh.port is one value, not a list", NULL);
	refused(root, "ssh: {port: {x: 1}}\n", "1:13: ssh.port is one value, not a map", NULL);
	refused(root, "ssh: 22\n", "1:1: unknown setting \"ssh\"", NULL);
	refused(root, "[a]\n", "1:1: a map of settings is wanted, like \"ssh: {port: 2222}\"",
		NULL);
	refused(root, "deploy.branches: [[a]]\n", "1:19: a word is wanted here", NULL);
	refused(root, "paths.state: ''\n", "1:14: paths.state: \"\" is not a path", NULL);
}

Test(config, bad_texts)
{
	static const char *const bad[] = {"base_domain: com", "base_domain: 127.0.0.1",
		"deploy.branches: ''", "deploy.branches: 'a,'", "deploy.branches: 'a,,b'",
		"deploy.branches: 'a b'", "deploy.branches: '-x'", "deploy.branches: 'a..b'",
		"policy.publish: '0'", "policy.publish: '9-8'", "policy.publish: '1-65536'",
		"policy.publish: 'x'", "policy.host_paths: relative", "policy.host_paths: /a/../b",
		"networks.range: 10.0.0.0/25", "networks.range: 10.0.0.0", "networks.range: ::/16",
		"host.name: UP", "host.name: a.b", "host.name: -a", "sandbox: maybe",
		"engine.socket: \"a\\nb\"", NULL};
	autotmp root = tmpdir_new();
	for (int i = 0; bad[i] != NULL; i++) {
		struct vk_config *c = NULL;
		put(root, "viking.conf", bad[i]);
		cr_assert_eq(vk_config_load(NULL, root, &c, NULL), VK_INVALID, "%s", bad[i]);
	}
}

Test(config, a_bad_variable_is_named)
{
	autotmp root = tmpdir_new();
	struct vk_config *c = NULL;
	struct vk_err e = {0};
	setenv("VIKING_SSH_STARTUPS_PER_SOURCE", "many", 1);
	cr_assert_eq(vk_config_load(NULL, root, &c, &e), VK_INVALID);
	cr_assert(vk_starts(e.msg, "VIKING_SSH_STARTUPS_PER_SOURCE: ssh.startups_per_source"), "%s",
		e.msg);
}

Test(config, a_file_that_was_named_has_to_be_there)
{
	autotmp root = tmpdir_new();
	vk_autofree char *file = vk_asprintf("%s/my.conf", root);
	struct vk_config *c = NULL;
	struct vk_err e = {0};
	cr_assert_eq(vk_config_load(file, root, &c, &e), VK_NOTFOUND);
	cr_assert_not_null(strstr(e.msg, file));
	put(root, "viking.conf", "ssh.port: 1\nhttp.port: 1\n");
	cr_assert_eq(vk_fs_write_atomic(file, "ssh.port: 2\n", 12, 0644, NULL), 0);
	c = loaded(file, root);
	cr_assert_eq(c->ssh_port, 2);
	cr_assert_eq(c->http_port, 80); /* it stands in for viking.conf */
	vk_config_free(c);
}

/* What is printed, with or without help, loads to the same values. */
Test(config, print_round_trips)
{
	autotmp root = tmpdir_new();
	put(root, "viking.conf",
		"engine.socket: '/a \"b\\c'\nbuilds.timeout: 90s\nssh.grace: 1500ms\n"
		"images.budget: 1000000001\nhttps.port: 0\nbase_domain: x.example\n");
	autoconfig c = loaded(NULL, root);
	vk_autofree char *first = printed(c, false), *explained = printed(c, true);
	vk_autofree char *file = vk_asprintf("%s/printed.conf", root);
	const char *const texts[] = {first, explained};
	put(root, "viking.conf", "");
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(vk_fs_write_atomic(file, texts[i], strlen(texts[i]), 0644, NULL), 0);
		autoconfig d = loaded(file, root);
		cr_assert_str_eq(d->engine_socket, "/a \"b\\c");
		cr_assert_eq(d->images_budget, 1000000001);
		vk_autofree char *again = printed(d, false);
		/* the same but for the origins behind the # */
		const char *a = first, *b = again;
		for (; *a != '\0'; a += strcspn(a, "\n") + 1, b += strcspn(b, "\n") + 1) {
			size_t n = strcspn(a, "#");
			cr_assert_eq(strncmp(a, b, n), 0, "%.*s", (int)n, a);
		}
		cr_assert_eq(*b, '\0');
	}
	cr_assert_not_null(strstr(explained, "# largest push\nreceive.max_pack: 512MiB"));
}

Test(config, argv)
{
	autotmp root = tmpdir_new();
	vk_autofree char *file = vk_asprintf("%s/f", root);
	vk_autofree char *assigned = vk_asprintf("--config=%s", file);
	cr_assert_eq(vk_fs_write_atomic(file, "ssh.port: 7\n", 12, 0644, NULL), 0);
	char root_option[] = "--root", check[] = "--check", word[] = "run", dashes[] = "--",
	     prog[] = "p";
	char *argv[] = {prog, root_option, root, check, assigned, word, root_option, dashes, NULL};
	int argc = 8;
	autoconfig c = NULL;
	cr_assert_eq(vk_config_from_argv(&argc, argv, &c, NULL), 0);
	cr_assert_eq(c->ssh_port, 7);
	cr_assert_str_eq(c->root, root);
	cr_assert_eq(argc, 5);
	cr_assert_str_eq(argv[1], "--check");
	cr_assert_str_eq(argv[2], "run");
	cr_assert_str_eq(argv[3], "--root"); /* a word of the command, not ours */
	cr_assert_str_eq(argv[4], "--");
	cr_assert_null(argv[5]);
}

Test(config, argv_mistakes)
{
	static const char *const bad[] = {"--root", "--config", "--root=", NULL};
	for (int i = 0; bad[i] != NULL; i++) {
		vk_autofree char *option = vk_strdup(bad[i]);
		char prog[] = "p";
		char *argv[] = {prog, option, NULL};
		int argc = 2;
		struct vk_config *c = NULL;
		cr_assert_eq(vk_config_from_argv(&argc, argv, &c, NULL), VK_USAGE, "%s", bad[i]);
	}
}

Test(config, argv_falls_back_to_the_environment)
{
	autotmp root = tmpdir_new();
	char prog[] = "p";
	char *argv[] = {prog, NULL};
	int argc = 1;
	autoconfig c = NULL;
	put(root, "viking.conf", "ssh.port: 9\n");
	setenv("VIKING_ROOT", root, 1);
	cr_assert_eq(vk_config_from_argv(&argc, argv, &c, NULL), 0);
	cr_assert_eq(c->ssh_port, 9);
}

Test(config, root_is_made_absolute)
{
	autotmp root = tmpdir_new();
	cr_assert_eq(chdir(root), 0);
	autoconfig c = loaded(NULL, "sub//");
	vk_autofree char *want = vk_asprintf("%s/sub", root);
	cr_assert_str_eq(c->root, want);
	autoconfig none = loaded(NULL, "/");
	cr_assert_null(none->root);
	cr_assert_str_eq(none->run_dir, "/run/viking");
	cr_assert_not(none->single_uid);
	cr_assert_eq(chdir("/"), 0);
}

Test(config, single_uid)
{
	autotmp root = tmpdir_new();
	setenv("VIKING_SINGLE_UID", "1", 1);
	autoconfig c = loaded(NULL, root);
	cr_assert(c->single_uid);
	autoconfig without_root = loaded(NULL, NULL);
	cr_assert_not(without_root->single_uid);
}

Test(config, a_run_directory_too_long_for_sockets)
{
	autotmp root = tmpdir_new();
	struct vk_config *c = NULL;
	struct vk_err e = {0};
	vk_autofree char *deep = vk_asprintf("%s/%090d", root, 0);
	cr_assert_eq(vk_config_load(NULL, deep, &c, &e), VK_INVALID);
	cr_assert_not_null(strstr(e.msg, "too long for unix sockets"));
}

Test(config, paths)
{
	autotmp root = tmpdir_new();
	autoconfig c = loaded(NULL, root);
	vk_autofree char *a = vk_state_path(c, "repos/%s.git", "x"),
			 *b = vk_run_path(c, "api.sock");
	vk_autofree char *d = vk_libexec_path(c, "viking-agent");
	cr_assert(vk_starts(a, root) && vk_ends(a, "/var/lib/viking/repos/x.git"));
	cr_assert(vk_starts(b, root) && vk_ends(b, "/run/viking/api.sock"));
	cr_assert(vk_ends(d, "/viking-agent"));
}

Test(config, an_address_of_the_cluster_is_one_hosts)
{
	static const char *const none[] = {"0.0.0.0", "::", "127.0.0.1", ""};
	struct vk_config c = {0};
	for (size_t i = 0; i < VK_COUNT(none); i++) {
		c.cluster_address = (char *)(uintptr_t)none[i];
		cr_assert_null(vk_config_cluster_address(&c), "%s", none[i]);
	}
	c.cluster_address = (char *)(uintptr_t) "10.0.0.1";
	cr_assert_str_eq(vk_config_cluster_address(&c), "10.0.0.1");
}
