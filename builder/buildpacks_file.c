#include "buildpacks_file.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/pack_name.h>

static int add_line(json_t *list, const char *line, size_t n, struct vk_err *err)
{
	static const char blanks[] = " \t\r";
	if (memchr(line, '\0', n) != NULL)
		return vk_err_set(err, VK_INVALID, "a NUL byte");
	vk_autofree char *copy = vk_strndup(line, n);
	vk_autofree char *name = NULL;
	enum vk_pack_kind kind;
	char *s = copy + strspn(copy, blanks);
	for (size_t len = strlen(s); len > 0 && strchr(blanks, s[len - 1]) != NULL;)
		s[--len] = '\0';
	if (*s == '\0' || *s == '#')
		return 0;
	if (json_array_size(list) == VK_PACKS_MAX)
		return vk_err_set(err, VK_LIMIT, "more than %d buildpacks", VK_PACKS_MAX);
	int rc = vk_pack_name(s, &name, &kind, err);
	if (rc == 0)
		json_array_append_new(list, json_string(name));
	return rc;
}

int buildpacks_parse(const char *text, size_t n, json_t **ret, struct vk_err *err)
{
	struct vk_err local = {0};
	vk_autojson *list = json_array();
	if (err == NULL) /* the line is put before its message */
		err = &local;
	if (n > BUILDPACKS_BYTES)
		return vk_err_set(err, VK_LIMIT, ".buildpacks is larger than %d KiB",
			BUILDPACKS_BYTES / 1024);
	unsigned line = 1;
	for (size_t at = 0; at < n; line++) {
		const char *nl = memchr(text + at, '\n', n - at);
		size_t len = nl != NULL ? (size_t)(nl - text) - at : n - at;
		if (add_line(list, text + at, len, err) != 0)
			return vk_err_wrap(err, ".buildpacks:%u", line);
		at += len + 1;
	}
	*ret = VK_TAKE(list);
	return 0;
}
