#include <viking/pack_name.h>

#include <ctype.h>
#include <string.h>
#include <viking/host_name.h>
#include <viking/mem.h>
#include <viking/str.h>

#define HEROKU    "https://github.com/heroku/heroku-buildpack-"
#define REF_MAX   200
#define SHOWN_MAX 120

const char *const vk_own_packs[] = {"node", "python", "php", "go", "static", "procfile", NULL};

bool vk_pack_is_own(const char *name)
{
	for (size_t i = 0; vk_own_packs[i] != NULL; i++)
		if (strcmp(vk_own_packs[i], name) == 0)
			return true;
	return false;
}

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

int vk_pack_refuse(const char *text, int code, const char *why, struct vk_err *err)
{
	char shown[SHOWN_MAX];
	show(text, shown);
	return vk_err_set(err, code, "buildpack \"%s\": %s", shown, why);
}

/* -- hosts ----------------------------------------------------------------------------------- */

static const char *host_wrong(const char *host, bool bracketed)
{
	static const char v6[] = "0123456789abcdefABCDEF:.";
	size_t n = strlen(host);
	if (n == 0 || n > 253 || host[0] == '-' || host[0] == '.' || strstr(host, "..") != NULL)
		return "it names no host";
	for (const char *p = host; *p != '\0'; p++)
		if (bracketed ? strchr(v6, *p) == NULL
			      : !isalnum((unsigned char)*p) && *p != '-' && *p != '.')
			return "its host is malformed";
	if (vk_host_is_loopback(host) || vk_host_is_link_local(host))
		return "it points to a loopback or link-local address";
	return NULL;
}

/* "host", "host:port", "[v6]:port" */
static const char *authority_wrong(const char *p, size_t n)
{
	vk_autofree char *text = vk_strndup(p, n);
	char *host = text, *port = NULL;
	bool bracketed = *text == '[';
	uint64_t number;
	if (strchr(text, '@') != NULL)
		return "a user or password in it would be kept and shown";
	if (bracketed) {
		char *end = strchr(++host, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return "its host is malformed";
		*end = '\0';
		port = end[1] == ':' ? end + 2 : NULL;
	} else if ((port = strchr(host, ':')) != NULL) {
		*port++ = '\0';
	}
	if (port != NULL && vk_parse_u64(port, 1, 65535, &number) != 0)
		return "its port is malformed";
	return host_wrong(host, bracketed);
}

/* -- the rest of a URL ----------------------------------------------------------------------- */

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
		} else if (!isalnum((unsigned char)p[i]) && strchr("/._~-+:,@=&?", p[i]) == NULL) {
			return "it has a character that must not stand in a URL";
		}
	}
	return NULL;
}

static bool is_tarball(const char *url)
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

/* A branch, tag or commit, as git check-ref-format would take it and no option. */
static const char *ref_wrong(const char *ref)
{
	size_t n = strlen(ref);
	bool right = n > 0 && n <= REF_MAX && *ref != '-' && *ref != '/' && ref[n - 1] != '/' &&
		strstr(ref, "..") == NULL && strstr(ref, "//") == NULL && !vk_ends(ref, ".lock");
	for (const char *p = ref; *p != '\0'; p++)
		right = right && (isalnum((unsigned char)*p) || strchr("._/+-", *p) != NULL);
	return right ? NULL : "its #REF is no branch, tag or commit";
}

static const char *url_wrong(const char *url)
{
	if (!vk_starts(url, "https://") && !vk_starts(url, "http://") && !vk_starts(url, "git://"))
		return "only https://, http:// and git:// URLs are fetched";
	const char *host = strstr(url, "://") + 3, *hash = strchrnul(url, '#');
	size_t n = strcspn(host, "/?#");
	const char *wrong = authority_wrong(host, n);
	if (wrong == NULL && host + n >= hash)
		wrong = "it has no path";
	if (wrong == NULL)
		wrong = path_wrong(host + n, (size_t)(hash - host) - n);
	if (wrong == NULL && *hash == '#')
		wrong = is_tarball(url) ? "a tarball has no #REF" : ref_wrong(hash + 1);
	return wrong;
}

/* -- forms ----------------------------------------------------------------------------------- */

static const char *dir_wrong(const char *path)
{
	if (path[0] != '/' || path[1] == '\0' || strpbrk(path, "%#?") != NULL ||
		strstr(path, "//") != NULL)
		return "it is no absolute path of a directory";
	for (const char *p = path; *p != '\0'; p += strcspn(p, "/")) {
		p++;
		size_t n = strcspn(p, "/");
		if ((n == 1 && *p == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return "it is a path with . or .. in it";
	}
	return path_wrong(path, strlen(path));
}

/* What holds for every form. */
static const char *text_wrong(const char *text)
{
	if (*text == '\0')
		return "nothing is named";
	if (strlen(text) > VK_PACK_NAME_MAX)
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

static int refuse(const char *text, const char *why, struct vk_err *err)
{
	vk_pack_refuse(text, VK_INVALID, why, err);
	return vk_err_hint(err,
		"an https:// URL of a git repository or tarball, or one of ours: "
		"node python php go static procfile inline");
}

/* heroku/NAME[#REF]: a URL then. */
static bool is_short(const char *text)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	if (!vk_starts(text, "heroku/"))
		return false;
	size_t n = strspn(text + 7, chars);
	return n > 0 && (text[7 + n] == '\0' || text[7 + n] == '#');
}

static int neither(const char *text, const char *own, struct vk_err *err)
{
	const char *near = vk_suggest(own, vk_own_packs);
	int rc = refuse(text, "it is no URL and no pack of ours", err);
	return near != NULL ? vk_err_hint(err, "did you mean %s?", near) : rc;
}

int vk_pack_name(const char *text, char **ret, enum vk_pack_kind *ret_kind, struct vk_err *err)
{
	const char *own = vk_starts(text, "own:") ? text + 4 : text;
	const char *dir = vk_starts(text, "file:///") ? text + strlen("file://") : text;
	const char *wrong = text_wrong(text);
	if (wrong != NULL)
		return refuse(text, wrong, err);
	if (vk_pack_is_own(own)) {
		*ret_kind = VK_PACK_OWN;
		*ret = vk_asprintf("own:%s", own);
		return 0;
	}
	if (strcmp(text, "inline") == 0) {
		*ret_kind = VK_PACK_INLINE;
		*ret = vk_strdup(text);
		return 0;
	}
	vk_autofree char *name =
		is_short(text) ? vk_asprintf(HEROKU "%s", text + 7) : vk_strdup(dir);
	if (*name != '/' && strstr(name, "://") == NULL)
		return neither(text, own, err);
	wrong = strlen(name) > VK_PACK_NAME_MAX ? "it is too long"
		: *name == '/'                  ? dir_wrong(name)
						: url_wrong(name);
	if (wrong != NULL)
		return refuse(text, wrong, err);
	*ret_kind = *name == '/' ? VK_PACK_DIR : is_tarball(name) ? VK_PACK_TAR : VK_PACK_GIT;
	*ret = VK_TAKE(name);
	return 0;
}
