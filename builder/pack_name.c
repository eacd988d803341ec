#include "pack_name.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "image_name.h"

const char *const own_packs[] = {"node", "python", "php", "go", "static", "procfile", NULL};

bool pack_is_own(const char *name)
{
	for (size_t i = 0; own_packs[i] != NULL; i++)
		if (strcmp(own_packs[i], name) == 0)
			return true;
	return false;
}

static int refuse(struct vk_err *err, const char *text, const char *why)
{
	vk_err_set(err, VK_INVALID, "\"%.200s\" is no buildpack: %s", text, why);
	return vk_err_hint(err,
		"https://HOST/PATH[#REF], a tarball's URL, or one of node python "
		"php go static procfile inline");
}

static bool is_clean(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f ||
			strchr("\"'\\`$;|<>(){}*!", *s) != NULL)
			return false;
	return true;
}

/* A branch, tag or commit, as git check-ref-format would take it and no option. */
static bool is_ref(const char *s)
{
	static const char chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/+-";
	size_t n = strlen(s);
	return n > 0 && n <= 200 && strspn(s, chars) == n && *s != '-' && *s != '/' &&
		strstr(s, "..") == NULL && s[n - 1] != '/' && !vk_ends(s, ".lock");
}

/* The authority of a URL: no credentials, a host, no address of this machine. */
static int check_host(const char *text, const char *authority, size_t n, struct vk_err *err)
{
	vk_autofree char *host = vk_strndup(authority, n);
	if (strchr(host, '@') != NULL)
		return refuse(err, "...",
			"a URL with a user name or password in it would be seen "
			"by everyone who sees the build");
	char *name = host;
	if (*host == '[') {
		name = host + 1;
		name[strcspn(name, "]")] = '\0';
	} else {
		host[strcspn(host, ":")] = '\0';
	}
	if (*name == '\0' || *name == '-')
		return refuse(err, text, "it names no host");
	if (host_is_loopback(name) || host_is_link_local(name))
		return refuse(err, text, "that host is this machine itself");
	return 0;
}

static bool is_tar(const char *url)
{
	static const char *const ends[] = {".tgz", ".tar.gz", ".tbz", ".tar.bz2", ".tar"};
	size_t n = strcspn(url, "?#");
	for (size_t i = 0; i < VK_COUNT(ends); i++) {
		size_t m = strlen(ends[i]);
		if (n > m && strncmp(url + n - m, ends[i], m) == 0)
			return true;
	}
	return false;
}

static int url_name(const char *text, char **ret, enum pack_kind *ret_kind, struct vk_err *err)
{
	static const char *const schemes[] = {"https://", "http://", "git://"};
	const char *rest = NULL;
	for (size_t i = 0; rest == NULL && i < VK_COUNT(schemes); i++)
		if (strncasecmp(text, schemes[i], strlen(schemes[i])) == 0)
			rest = text + strlen(schemes[i]);
	if (rest == NULL)
		return refuse(err, text, "only https, http and git URLs are fetched");
	int rc = check_host(text, rest, strcspn(rest, "/?#"), err);
	if (rc != 0)
		return rc;
	const char *ref = strchr(rest, '#');
	bool tar = is_tar(rest);
	if (tar && ref != NULL)
		return refuse(err, text, "a tarball has no #ref");
	if (ref != NULL && !is_ref(ref + 1))
		return refuse(err, text, "what stands behind # is no branch, tag or commit");
	*ret_kind = tar ? PACK_TAR : PACK_GIT;
	*ret = vk_strdup(text);
	return 0;
}

static int dir_name(const char *text, char **ret, enum pack_kind *ret_kind, struct vk_err *err)
{
	const char *path = vk_starts(text, "file://") ? text + 7 : text;
	if (*path != '/' || path[1] == '\0' || strstr(path, "//") != NULL ||
		strchr(path, '#') != NULL)
		return refuse(err, text, "it is no absolute path");
	for (const char *p = path; *p != '\0'; p += strcspn(p, "/")) {
		p++;
		size_t n = strcspn(p, "/");
		if ((n == 1 && *p == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return refuse(err, text, "a path with . or .. in it");
	}
	*ret_kind = PACK_DIR;
	*ret = vk_strdup(path);
	return 0;
}

/* "heroku/nodejs": the short names of that platform's own packs. */
static bool is_short(const char *s)
{
	return vk_starts(s, "heroku/") && s[7] != '\0' &&
		s[7 + strspn(s + 7, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

int pack_name(const char *text, char **ret, enum pack_kind *ret_kind, struct vk_err *err)
{
	const char *own = vk_starts(text, "own:") ? text + 4 : text;
	if (*text == '\0' || strlen(text) > PACK_NAME_MAX || *text == '-' || !is_clean(text))
		return refuse(err, is_clean(text) ? text : "...",
			"it is empty, too long, an option, or has blanks or quotes in it");
	if (pack_is_own(own)) {
		*ret_kind = PACK_OWN;
		*ret = vk_asprintf("own:%s", own);
		return 0;
	}
	if (strcmp(text, "inline") == 0) {
		*ret_kind = PACK_INLINE;
		*ret = vk_strdup(text);
		return 0;
	}
	if (is_short(text)) {
		*ret_kind = PACK_GIT;
		*ret = vk_asprintf("https://github.com/heroku/heroku-buildpack-%s", text + 7);
		return 0;
	}
	if (*text == '/' || vk_starts(text, "file://"))
		return dir_name(text, ret, ret_kind, err);
	if (strstr(text, "::") != NULL && strstr(text, "://[") == NULL)
		return refuse(err, text, "remote helpers are not run");
	if (strstr(text, "://") != NULL)
		return url_name(text, ret, ret_kind, err);
	if (strchr(text, '@') != NULL && strchr(text, ':') != NULL)
		return refuse(err, text, "there is no ssh key here; write https://HOST/PATH");
	const char *near = vk_suggest(own, own_packs);
	if (near == NULL)
		return refuse(err, text, "neither a URL nor one of ours");
	vk_err_set(err, VK_INVALID, "\"%.60s\" is no buildpack, did you mean \"%s\"?", text, near);
	return VK_INVALID;
}

static int add_line(json_t *list, const char *line, size_t n, struct vk_err *err)
{
	static const char blanks[] = " \t\r";
	if (memchr(line, '\0', n) != NULL)
		return vk_err_set(err, VK_INVALID, "a NUL byte");
	vk_autofree char *copy = vk_strndup(line, n);
	vk_autofree char *name = NULL;
	enum pack_kind kind;
	char *s = copy + strspn(copy, blanks);
	for (size_t len = strlen(s); len > 0 && strchr(blanks, s[len - 1]) != NULL;)
		s[--len] = '\0';
	if (*s == '\0' || *s == '#')
		return 0;
	if (json_array_size(list) == PACKS_MAX)
		return vk_err_set(err, VK_LIMIT, "more than %d buildpacks", PACKS_MAX);
	int rc = pack_name(s, &name, &kind, err);
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
