/* What a join makes of the cluster's answer: the settings, and the files in their places. */
#include "joined.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/str.h>

#define SECRET "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static char dir[] = "/tmp/viking-joined-XXXXXX";

static void begin(struct vk_config **ret)
{
	struct vk_err err = {0};
	cr_assert_not_null(mkdtemp(dir));
	setenv("VIKING_SINGLE_UID", "1", 1);
	cr_assert_eq(vk_config_load(NULL, dir, ret, &err), 0, "%s", err.msg);
	static const char *const made[] = {"sched", "tls", "registry", "join"};
	for (size_t i = 0; i < VK_COUNT(made); i++) {
		vk_autofree char *path = vk_state_path(*ret, "%s", made[i]);
		cr_assert_eq(vk_fs_mkdir_p(path, 0700, &err), 0, "%s", err.msg);
	}
}

static json_t *answer(const char *endpoints)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:{s:s,s:s,s:s,s:s}}", "cert", "CERT", "ca",
		"CA", "ca_key", "CAKEY", "secret_key", SECRET, "registry", "h1",
		"registry_password", "pass", "etcd", "endpoints", endpoints, "prefix", "/viking",
		"ca", "ECA", "ca_key", "ECAKEY");
}

static void write_state(const struct vk_config *c, const char *path, const char *text)
{
	vk_autofree char *full = vk_state_path(c, "%s", path);
	struct vk_err err = {0};
	cr_assert_eq(vk_fs_write_atomic(full, text, strlen(text), 0600, &err), 0, "%s", err.msg);
}

static void has(const struct vk_config *c, const char *path, const char *text)
{
	vk_autofree char *full = vk_state_path(c, "%s", path);
	vk_autobuf b = VK_BUF_INIT(4096);
	struct vk_err err = {0};
	cr_assert_eq(vk_fs_read(full, &b, &err), 0, "%s", err.msg);
	cr_assert_str_eq(vk_buf_str(&b), text);
}

Test(joined, its_settings_name_the_store_and_nothing_else_can_be_in_them)
{
	struct vk_config *c;
	vk_autofree char *text = NULL;
	struct vk_err err = {0};
	begin(&c);
	vk_autojson *good = answer("https://10.0.0.1:2379,https://[fd00::1]:2379");
	cr_assert_eq(joined_settings(c, good, "10.0.0.2", &text, &err), 0, "%s", err.msg);
	cr_assert_not_null(
		strstr(text, "etcd.endpoints: \"https://10.0.0.1:2379,https://[fd00::1]:2379\"\n"));
	cr_assert_not_null(strstr(text, "cluster.address: \"10.0.0.2\"\n"));
	cr_assert_not_null(strstr(text, "helpers.run_registry: false\n"));
	static const char *const bad[] = {"", "https://a\"\nsandbox: off\n#", "a b", "${HOME}"};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		vk_autojson *other = answer(bad[i]);
		cr_assert_eq(joined_settings(c, other, "10.0.0.2", &text, &err), VK_INVALID);
	}
	vk_config_free(c);
	cr_assert_eq(vk_fs_remove_tree(dir, NULL), 0);
}

Test(joined, files_come_into_place_only_when_the_settings_are_those_of_the_answer)
{
	struct vk_config *c;
	vk_autojson *good = answer("https://10.0.0.1:2379");
	vk_autofree char *text = vk_json_text(good);
	struct vk_err err = {0};
	bool any = true;
	begin(&c);
	write_state(c, JOINED_KEY, "KEY");
	write_state(c, JOINED_ANSWER, text);
	cr_assert(joined_install(c, &any, &err) == 0 && !any); /* sqlite still */
	free(c->store);
	c->store = vk_strdup("etcd");
	cr_assert(joined_install(c, &any, &err) == 0 && !any); /* an etcd of its own */
	free(c->etcd_endpoints);
	c->etcd_endpoints = vk_strdup("https://10.0.0.1:2379");
	cr_assert_eq(joined_install(c, &any, &err), 0, "%s", err.msg);
	cr_assert(any);
	has(c, "tls/host.key", "KEY");
	has(c, "tls/host.pem", "CERT");
	has(c, "tls/ca.pem", "CA");
	has(c, "sched/hosts-ca.key", "CAKEY");
	has(c, "sched/etcd-ca.key", "ECAKEY");
	has(c, "registry/password", "pass");
	has(c, "sched/registry-password", "pass");
	vk_autofree char *secret = vk_state_path(c, "sched/secret.key"),
			 *waits = vk_state_path(c, "join");
	struct stat st;
	cr_assert_eq(stat(secret, &st), 0);
	cr_assert_eq(st.st_size, 32);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_not(vk_fs_exists(waits));
	cr_assert(joined_install(c, &any, &err) == 0 && !any);
	vk_config_free(c);
	cr_assert_eq(vk_fs_remove_tree(dir, NULL), 0);
}

Test(joined, what_cannot_be_put_into_place_stays_until_it_can)
{
	struct vk_config *c;
	struct vk_err err = {0};
	bool any = true;
	begin(&c);
	free(c->store);
	c->store = vk_strdup("etcd");
	write_state(c, JOINED_ANSWER, "{\"etcd\":{\"endpoints\":\"\"},\"secret_key\":\"AAAA\"}");
	cr_assert_lt(joined_install(c, &any, &err), 0); /* no key */
	write_state(c, JOINED_KEY, "KEY");
	cr_assert_lt(joined_install(c, &any, &err), 0); /* no secret of 32 bytes */
	vk_autofree char *waits = vk_state_path(c, JOINED_ANSWER);
	cr_assert(vk_fs_exists(waits) && !any);
	vk_config_free(c);
	cr_assert_eq(vk_fs_remove_tree(dir, NULL), 0);
}
