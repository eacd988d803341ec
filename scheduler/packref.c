/* What may be fetched as a buildpack. */
#include "packref.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "policy.h"

#define HEROKU  "https://github.com/heroku/heroku-buildpack-"
#define REF_MAX 200

static const char *const own_packs[] = {"node", "python", "php", "go", "static", "procfile", NULL};

bool packref_own(const char *name)
{
	for (size_t i = 0; own_packs[i] != NULL; i++)
		if (strcmp(own_packs[i], name) == 0)
			return true;
	return false;
}

#define SHOWN_MAX 120

/* As it may be shown: without the user and password it may have. */
static void show(const char *text, char shown[static SHOWN_MAX])
{
	const char *scheme = strstr(text, "://");
	const char *host = scheme != NULL ? scheme + 3 : text;
	const char *at = memrchr(host, '@', strcspn(host, "/?#"));
	vk_autofree char *clean = at == NULL
		? vk_strdup(text)
		: vk_asprintf("%.*s***%s", (int)(host - text), text, at);
	vk_str_printable(clean, strlen(clean), shown, SHOWN_MAX);
}

static int refuse(struct vk_err *err, const char *text, const char *why)
{
	char shown[SHOWN_MAX];
	show(text, shown);
	vk_err_set(err, VK_INVALID, "buildpack \"%s\": %s", shown, why);
	vk_err_hint(err,
		"an https:// URL of a git repository or tarball, or one of ours: "
		"node python php go static procfile");
	return VK_INVALID;
}

static int forbid(struct vk_err *err, const char *text, const char *setting)
{
	char shown[SHOWN_MAX];
	show(text, shown);
	vk_err_set(err, VK_DENIED, "buildpack \"%s\": this host does not allow it", shown);
	vk_err_hint(err, "the host's administrator can set %s", setting);
	return VK_DENIED;
}

/* ---- hosts ---- */

static bool v4_local(uint32_t a)
{
	return a >> 24 == 127 || a >> 24 == 0 || a >> 16 == 0xa9fe || a >> 28 >= 0xe;
}

/* Loopback, link-local, unspecified and multicast, also as IPv4 in IPv6. */
static bool v6_local(const struct in6_addr *a)
{
	static const unsigned char zero[15] = {0};
	const unsigned char *b = a->s6_addr;
	if (IN6_IS_ADDR_V4MAPPED(a) || memcmp(b, zero, 12) == 0)
		return v4_local((uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 |
			(uint32_t)b[14] << 8 | b[15]);
	return b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

/* Every resolver reads 2130706433, 0x7f.1 and 127.1 as addresses: only the plain form is taken. */
static bool numeric(const char *host)
{
	const char *last = strrchr(host, '.');
	last = last != NULL ? last + 1 : host;
	bool hex = last[0] == '0' && (last[1] == 'x' || last[1] == 'X');
	return hex || (*last != '\0' && last[strspn(last, "0123456789")] == '\0');
}

static const char *host_name_wrong(const char *host)
{
	size_t n = strlen(host);
	for (const char *p = host; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.')
			return "its host name has a character that no host name has";
	if (n == 0 || n > 253 || host[0] == '-' || host[0] == '.' || strstr(host, "..") != NULL)
		return "it names no host";
	if (strcasecmp(host, "localhost") == 0 ||
		(n > 10 && strcasecmp(host + n - 10, ".localhost") == 0))
		return "it points to loopback";
	return NULL;
}

static const char *host_wrong(char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	size_t n = strlen(host);
	if (host[0] == '[' && n > 2 && host[n - 1] == ']') {
		host[n - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &v6) != 1)
			return "its address is malformed";
		return v6_local(&v6) ? "it points to a loopback or link-local address" : NULL;
	}
	if (n > 0 && host[n - 1] == '.')
		host[--n] = '\0';
	const char *wrong = host_name_wrong(host);
	if (wrong != NULL || !numeric(host))
		return wrong;
	if (inet_pton(AF_INET, host, &v4) != 1)
		return "its address is malformed";
	return v4_local(ntohl(v4.s_addr)) ? "it points to a loopback or link-local address" : NULL;
}

/* "host", "host:port", "[v6]:port" */
static const char *authority_wrong(const char *p, size_t n)
{
	vk_autofree char *host = vk_strndup(p, n);
	if (strchr(host, '@') != NULL)
		return "a user or password in it would be kept and shown";
	char *bracket = strrchr(host, ']');
	char *colon = strchr(bracket != NULL ? bracket : host, ':');
	uint64_t port;
	if (colon != NULL && vk_parse_u64(colon + 1, 1, 65535, &port) != 0)
		return "its port is malformed";
	if (colon != NULL)
		*colon = '\0';
	return host_wrong(host);
}

/* ---- the rest of a URL ---- */

static int hex_digit(char c)
{
	return isdigit((unsigned char)c)     ? c - '0'
		: isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					     : -1;
}

static const char *path_wrong(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '%') {
			int high = i + 2 < n ? hex_digit(p[i + 1]) : -1;
			int low = i + 2 < n ? hex_digit(p[i + 2]) : -1;
			if (high < 0 || low < 0 || high * 16 + low <= ' ' ||
				high * 16 + low == 0x7f)
				return "it has a malformed or hidden control character";
		} else if (!isalnum((unsigned char)p[i]) &&
			strchr("/._~-+:,@=&?!()*;", p[i]) == NULL) {
			return "it has a character that must not stand in a URL";
		}
	}
	return NULL;
}

static bool tarball(const char *url, size_t n)
{
	static const char *const ends[] = {".tgz", ".tar.gz", ".tbz", ".tar"};
	n = (size_t)(strchrnul(url, '?') - url) < n ? (size_t)(strchrnul(url, '?') - url) : n;
	for (size_t i = 0; i < VK_COUNT(ends); i++) {
		size_t k = strlen(ends[i]);
		if (n > k && strncmp(url + n - k, ends[i], k) == 0)
			return true;
	}
	return false;
}

static const char *ref_wrong(const char *ref)
{
	size_t n = strlen(ref);
	if (n == 0 || n > REF_MAX || ref[0] == '-' || ref[0] == '/' || ref[n - 1] == '/')
		return "its #REF is no branch, tag or commit";
	for (const char *p = ref; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("._/+-", *p) == NULL)
			return "its #REF is no branch, tag or commit";
	return strstr(ref, "..") != NULL || strstr(ref, "//") != NULL
		? "its #REF is no branch, tag or commit"
		: NULL;
}

static const char *url_wrong(const char *url)
{
	const char *host = strstr(url, "://") + 3, *hash = strchrnul(url, '#');
	size_t n = strcspn(host, "/?#");
	const char *wrong = authority_wrong(host, n);
	if (wrong == NULL && host + n >= hash)
		wrong = "it has no path";
	if (wrong == NULL)
		wrong = path_wrong(host + n, (size_t)(hash - host) - n);
	if (wrong == NULL && *hash == '#')
		wrong = tarball(url, (size_t)(hash - url)) ? "a tarball has no #REF"
							   : ref_wrong(hash + 1);
	return wrong;
}

/* "https://github.com" must not allow https://github.com.example.org/. */
static bool begins(const char *url, const char *prefix, size_t n)
{
	if (strncmp(url, prefix, n) != 0)
		return false;
	const char *host = memmem(prefix, n, "://", 3);
	bool whole = host != NULL && host + 3 < prefix + n &&
		memchr(host + 3, '/', n - (size_t)(host + 3 - prefix)) == NULL;
	return !whole || url[n] == '/' || url[n] == ':';
}

static bool url_allowed(const char *prefixes, const char *url)
{
	for (const char *p = prefixes; *p != '\0';) {
		const char *end = strchrnul(p, ',');
		while (*p == ' ')
			p++;
		if (end > p && begins(url, p, (size_t)(end - p)))
			return true;
		p = *end == ',' ? end + 1 : end;
	}
	return false;
}

/* ---- forms ---- */

static int parse_url(const struct vk_config *cfg, const char *text, char **ret, struct vk_err *err)
{
	size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz");
	if (scheme == 0 || strncmp(text + scheme, "://", 3) != 0)
		return refuse(err, text, "its scheme is unknown");
	const char *wrong = url_wrong(text);
	if (wrong != NULL)
		return refuse(err, text, wrong);
	bool known = vk_starts(text, "https://") || vk_starts(text, "http://") ||
		vk_starts(text, "git://");
	if (!known)
		return refuse(err, text, "only https://, http:// and git:// can be fetched");
	if (!url_allowed(cfg->policy_pack_urls, text))
		return forbid(err, text, "policy.pack_urls");
	*ret = vk_strdup(text);
	return 0;
}

static int parse_path(const struct vk_config *cfg, const char *text, const char *path, char **ret,
	struct vk_err *err)
{
	const char *wrong = path_wrong(path, strlen(path));
	if (wrong != NULL || strchr(path, '%') != NULL)
		return refuse(err, text, wrong != NULL ? wrong : "a directory is written as it is");
	if (!policy_path_allowed(cfg->policy_pack_paths, path))
		return forbid(err, text, "policy.pack_paths");
	*ret = vk_strdup(path);
	return 0;
}

static int parse_heroku(
	const struct vk_config *cfg, const char *text, char **ret, struct vk_err *err)
{
	vk_autofree char *url = vk_asprintf(HEROKU "%s", text + strlen("heroku/"));
	return parse_url(cfg, url, ret, err);
}

static const char *text_wrong(const char *text)
{
	if (*text == '\0')
		return "nothing is named";
	if (strlen(text) > PACKREF_MAX)
		return "it is too long";
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			return "it has a blank or a control character";
	if (text[0] == '-')
		return "it begins with a dash, as an option does";
	const char *helper = strstr(text, "::"), *scheme = strstr(text, "://");
	if (helper != NULL && (scheme == NULL || helper < scheme))
		return "a transport that runs a program is not allowed";
	return NULL;
}

int packref_parse(const struct vk_config *cfg, const char *text, char **ret, struct vk_err *err)
{
	const char *wrong = text_wrong(text);
	if (wrong != NULL)
		return refuse(err, text, wrong);
	const char *name = vk_starts(text, "own:") ? text + 4 : text;
	if (packref_own(name)) {
		*ret = vk_asprintf("own:%s", name);
		return 0;
	}
	if (strcmp(text, "inline") == 0) {
		*ret = vk_strdup(text);
		return 0;
	}
	if (vk_starts(text, "heroku/") && strchr(text + 7, '/') == NULL)
		return parse_heroku(cfg, text, ret, err);
	if (text[0] == '/')
		return parse_path(cfg, text, text, ret, err);
	if (vk_starts(text, "file:///"))
		return parse_path(cfg, text, text + strlen("file://"), ret, err);
	if (strstr(text, "://") != NULL)
		return parse_url(cfg, text, ret, err);
	int rc = refuse(err, text, "it is no URL and no pack of ours");
	const char *near = vk_suggest(name, own_packs);
	if (near != NULL)
		vk_err_hint(err, "did you mean %s?", near);
	return rc;
}
