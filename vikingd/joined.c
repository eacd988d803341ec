#include "joined.h"

#include <string.h>
#include <viking/crypt.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "layout.h"

#define ANSWER_MAX ((size_t)256 << 10)
#define SCHED_USER "viking-sched"

static const char *etcd_text(const json_t *answer, const char *key)
{
	return vk_json_str(json_object_get(answer, "etcd"), key, NULL);
}

/* Outside text that goes into a YAML string. */
static bool is_plain(const char *s)
{
	return s != NULL && s[0] != '\0' &&
		s[strspn(s,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/"
			",[]")] == '\0';
}

static void add_file(
	struct vk_buf *b, const struct vk_config *c, const char *setting, const char *name)
{
	vk_autofree char *path = vk_state_path(c, "sched/%s", name);
	vk_buf_addf(b, "%s: \"%s\"\n", setting, path);
}

int joined_settings(const struct vk_config *c, const json_t *answer, const char *address,
	char **ret, struct vk_err *err)
{
	const char *endpoints = etcd_text(answer, "endpoints"),
		   *prefix = etcd_text(answer, "prefix");
	vk_autobuf b = VK_BUF_INIT(8192);
	if (!is_plain(endpoints) || !is_plain(prefix) || !is_plain(address))
		return vk_err_set(err, VK_INVALID, "the answer names no store");
	vk_buf_addf(&b,
		"# made by viking join\nstore: etcd\netcd.endpoints: \"%s\"\netcd.prefix: \"%s\"\n",
		endpoints, prefix);
	vk_buf_addf(&b, "etcd.lease: %lldms\ncluster.address: \"%s\"\n",
		(long long)vk_json_int(json_object_get(answer, "etcd"), "lease_ms", 10000),
		address);
	if (etcd_text(answer, "ca") != NULL)
		add_file(&b, c, "etcd.ca", "etcd-ca.pem");
	if (etcd_text(answer, "ca_key") != NULL || etcd_text(answer, "key") != NULL) {
		add_file(&b, c, "etcd.cert", "etcd-cert.pem");
		add_file(&b, c, "etcd.key", "etcd.key");
	}
	if (vk_json_str(answer, "registry", NULL) != NULL)
		vk_buf_adds(&b, "helpers.run_registry: false\n");
	*ret = vk_buf_take(&b);
	return 0;
}

/* ---- into place ---- */

static int put(const struct vk_config *c, const char *path, const char *text, struct vk_err *err)
{
	bool tls = vk_starts(path, "tls/");
	vk_autofree char *full = vk_state_path(c, "%s", path);
	if (text == NULL)
		return 0;
	return layout_write(
		c, full, text, tls ? 0640 : 0600, SCHED_USER, tls ? "viking-tls" : SCHED_USER, err);
}

static int put_secret(const struct vk_config *c, const json_t *answer, struct vk_err *err)
{
	vk_autofree char *path = vk_state_path(c, "sched/secret.key");
	const char *text = vk_json_str(answer, "secret_key", "");
	vk_autobuf key = VK_BUF_INIT(sizeof(struct vk_secret_key));
	int rc = vk_unbase64(text, strlen(text), &key, err);
	if (rc == 0 && key.len != sizeof(struct vk_secret_key))
		rc = vk_err_set(err, VK_INVALID, "the secret key has %zu bytes", key.len);
	if (rc == 0)
		rc = layout_write_bytes(
			c, path, key.data, key.len, 0600, SCHED_USER, SCHED_USER, err);
	if (key.len > 0)
		explicit_bzero(key.data, key.len);
	return rc;
}

/* host.pem is the last of its directory: viking-front takes it for all of them. */
static int put_all(
	const struct vk_config *c, const json_t *answer, const char *key, struct vk_err *err)
{
	const struct {
		const char *path, *text;
	} files[] = {
		{"sched/hosts-ca.pem", vk_json_str(answer, "ca", NULL)},
		{"sched/hosts-ca.key", vk_json_str(answer, "ca_key", NULL)},
		{"sched/etcd-ca.pem", etcd_text(answer, "ca")},
		{"sched/etcd-ca.key", etcd_text(answer, "ca_key")},
		{"sched/etcd-cert.pem", etcd_text(answer, "cert")},
		{"sched/etcd.key", etcd_text(answer, "key")},
		{"tls/host.key", key},
		{"tls/ca.pem", vk_json_str(answer, "ca", NULL)},
		{"tls/host.pem", vk_json_str(answer, "cert", NULL)},
	};
	const char *password = vk_json_str(answer, "registry_password", NULL);
	int rc = put_secret(c, answer, err);
	for (size_t i = 0; i < VK_COUNT(files) && rc == 0; i++)
		rc = put(c, files[i].path, files[i].text, err);
	if (rc == 0 && password != NULL)
		rc = layout_registry_password(c, password, err);
	return rc;
}

static int read_answer(const char *path, json_t **ret, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(ANSWER_MAX);
	int rc = vk_fs_read(path, &text, err);
	if (rc == 0)
		rc = vk_json_parse(vk_buf_str(&text), text.len, ret, err);
	if (text.len > 0)
		explicit_bzero(text.data, text.len);
	return rc;
}

static int install(const struct vk_config *c, const json_t *answer, struct vk_err *err)
{
	vk_autofree char *path = vk_state_path(c, JOINED_KEY), *dir = vk_state_path(c, "join");
	vk_autobuf key = VK_BUF_INIT(4096);
	int rc = vk_fs_read(path, &key, err);
	if (rc == 0)
		rc = put_all(c, answer, vk_buf_str(&key), err);
	if (key.len > 0)
		explicit_bzero(key.data, key.len);
	return rc == 0 ? vk_fs_remove_tree(dir, err) : rc;
}

int joined_install(const struct vk_config *c, bool *ret, struct vk_err *err)
{
	vk_autofree char *path = vk_state_path(c, JOINED_ANSWER);
	vk_autojson *answer = NULL;
	*ret = false;
	if (!vk_streq(c->store, "etcd") || !vk_fs_exists(path))
		return 0;
	int rc = read_answer(path, &answer, err);
	if (rc == 0 && !vk_streq(etcd_text(answer, "endpoints"), c->etcd_endpoints))
		return 0; /* of an attempt that came to nothing */
	if (rc == 0)
		rc = install(c, answer, err);
	*ret = rc == 0;
	return rc == 0 ? 0 : vk_err_wrap(err, "joining the cluster");
}
