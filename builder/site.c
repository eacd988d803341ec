#include "site.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>

static int add_line(const char *line, size_t n, struct vk_buf *out, struct vk_err *err)
{
	if (n > 0 && line[n - 1] == '\r')
		n--;
	if (n == 0 || line[0] == '#')
		return 0;
	const char *eq = memchr(line, '=', n);
	if (eq == NULL || memchr(line, '\0', n) != NULL)
		return vk_err_set(err, VK_INVALID, "not of the form NAME=VALUE");
	vk_autofree char *name = vk_strndup(line, (size_t)(eq - line));
	int rc = vk_env_name(name, err);
	if (rc == 0 && (vk_buf_add(out, line, n) != 0 || vk_buf_addc(out, '\n') != 0))
		rc = vk_err_set(err, VK_LIMIT, "more than %d KiB", SITE_ENV_MAX / 1024);
	return rc;
}

int site_env(const char *text, size_t n, struct vk_buf *out, struct vk_err *err)
{
	struct vk_err why = {0};
	unsigned line = 1;
	for (size_t at = 0; at < n; line++) {
		const char *nl = memchr(text + at, '\n', n - at);
		size_t len = nl != NULL ? (size_t)(nl - text) - at : n - at;
		int rc = add_line(text + at, len, out, &why);
		if (rc != 0) /* the line itself may hold a password */
			return vk_err_set(err, rc, "line %u: %s", line, why.msg);
		at += len + 1;
	}
	return 0;
}

static int read_file(const char *setting, const char *path, struct vk_buf *out, struct vk_err *err)
{
	if (*path == '\0' || vk_fs_read(path, out, err) == 0)
		return 0;
	vk_err_wrap(err, "%s", setting);
	vk_err_hint(err,
		"make it readable for the user viking-build, or change %s in "
		"/etc/viking/viking.conf",
		setting);
	return err != NULL ? err->code : VK_INTERNAL;
}

int site_read(const struct vk_config *c, json_t **ret, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(SITE_ENV_MAX), env = VK_BUF_INIT(SITE_ENV_MAX);
	vk_autobuf ca = VK_BUF_INIT(SITE_CA_MAX);
	int rc = read_file("builder.build_env", c->build_env_file, &text, err);
	if (rc == 0) {
		rc = site_env(vk_buf_str(&text), text.len, &env, err);
		if (rc != 0)
			return vk_err_wrap(err, "builder.build_env: %s", c->build_env_file);
	}
	if (rc == 0)
		rc = read_file("builder.extra_ca", c->build_ca_file, &ca, err);
	if (rc == 0)
		*ret = json_pack("{s:o, s:o}", "env",
			vk_json_safe_string(vk_buf_str(&env), env.len), "ca",
			vk_json_safe_string(vk_buf_str(&ca), ca.len));
	return rc;
}
