#include "image_name.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <viking/host_name.h>
#include <viking/mem.h>
#include <viking/str.h>

static const char boat_prefix[] = "viking:";
static const char hex[] = "0123456789abcdefABCDEF";
static const char name_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

bool image_is_boat(const char *name)
{
	return vk_starts(name, boat_prefix) && strchr(name, '/') != NULL;
}

static int copy_part(const char *from, size_t n, char *to, const char *name, struct vk_err *err)
{
	if (n == 0 || n > VK_NAME_MAX)
		return vk_err_set(
			err, VK_INVALID, "\"%.100s\" is not of the form viking:STACK/BOAT", name);
	memcpy(to, from, n);
	to[n] = '\0';
	return 0;
}

int image_boat_ref(const char *name, struct boat_ref *ret, struct vk_err *err)
{
	struct boat_ref r;
	const char *stack = name + strlen(boat_prefix);
	size_t n = strcspn(stack, "/");
	const char *boat = stack + n + (stack[n] == '/');
	if (boat[strcspn(boat, ":@")] != '\0') {
		vk_err_set(err, VK_INVALID,
			"\"%.100s\" has a tag: a boat is always that of its stack's "
			"current release",
			name);
		return vk_err_hint(err, "write viking:STACK/BOAT");
	}
	int rc = copy_part(stack, n, r.stack, name, err);
	if (rc == 0)
		rc = copy_part(boat, strlen(boat), r.boat, name, err);
	if (rc == 0)
		rc = vk_stack_name(r.stack, err);
	if (rc == 0)
		rc = vk_node_name(r.boat, err);
	if (rc == 0)
		*ret = r;
	return rc;
}

/* The host of an image name is what stands before the first slash, if it looks like a host. */
static bool image_host(const char *name, char out[static 256])
{
	size_t n = strcspn(name, "/");
	if (name[n] == '\0' || n == 0 || n > 255)
		return false;
	memcpy(out, name, n);
	out[n] = '\0';
	return true;
}

/* "[::1]:5000" and "host:5000" -> the host alone, in place. */
static const char *strip_port(char *host)
{
	if (*host == '[') {
		host++;
		host[strcspn(host, "]")] = '\0';
	} else if (strchr(host, ':') == strrchr(host, ':')) {
		host[strcspn(host, ":")] = '\0';
	}
	return host;
}

int image_host_forbidden(const char *name, const char *registry, struct vk_err *err)
{
	char host[256];
	if (!image_host(name, host))
		return 0;
	bool is_registry = registry != NULL && strcasecmp(host, registry) == 0;
	if (is_registry || vk_host_is_loopback(strip_port(host))) {
		vk_err_set(err, VK_DENIED,
			"\"%.100s\" names an image on this machine: %s is not for "
			"builds to read",
			name, is_registry ? "the registry" : "loopback");
		return vk_err_hint(err, "for the image of another boat write viking:STACK/BOAT");
	}
	return 0;
}

/* The engine's store also finds "sha256:<id>" and any prefix of an id that is no name of its
 * own. */
static bool is_image_id(const char *name)
{
	if (strncasecmp(name, "sha256:", 7) == 0)
		return true;
	size_t n = strspn(name, hex);
	return n > 0 && name[n] == '\0';
}

int image_name_forbidden(const char *name, const char *registry, struct vk_err *err)
{
	if (is_image_id(name)) {
		vk_err_set(err, VK_DENIED,
			"\"%.100s\" is an image id: images are named by repository", name);
		return vk_err_hint(err, "if a repository has that name, write NAME:TAG");
	}
	return image_host_forbidden(name, registry, err);
}

/* One path component: [a-z0-9] with separators . _ - inside. */
static bool component_ok(const char *s, size_t n)
{
	return n > 0 && strspn(s, name_chars) >= n && isalnum((unsigned char)s[0]) &&
		isalnum((unsigned char)s[n - 1]);
}

static bool looks_like_host(const char *s, size_t n)
{
	return memchr(s, '.', n) != NULL || memchr(s, ':', n) != NULL ||
		memchr(s, '[', n) != NULL || (n == 9 && memcmp(s, "localhost", 9) == 0);
}

static bool host_ok(const char *s, size_t n)
{
	static const char chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]";
	return strspn(s, chars) >= n;
}

static bool path_ok(const char *p, size_t n)
{
	for (size_t at = 0; at <= n;) {
		const char *slash = memchr(p + at, '/', n - at);
		size_t len = slash != NULL ? (size_t)(slash - p) - at : n - at;
		if (!component_ok(p + at, len))
			return false;
		at += len + 1;
	}
	return true;
}

static bool tag_ok(const char *s, size_t n)
{
	if (n == 0 || n > 128 || *s == '.' || *s == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && strchr("._-", s[i]) == NULL)
			return false;
	return true;
}

static bool digest_ok(const char *s)
{
	return vk_starts(s, "sha256:") && strlen(s) == 7 + 64 && s[7 + strspn(s + 7, hex)] == '\0';
}

static bool well_formed(const char *name)
{
	size_t end = strlen(name);
	const char *at = strchr(name, '@');
	if (at != NULL) {
		if (!digest_ok(at + 1))
			return false;
		end = (size_t)(at - name);
	}
	size_t path = strcspn(name, "/");
	if (path < end && looks_like_host(name, path)) {
		if (!host_ok(name, path))
			return false;
		path++;
	} else {
		path = 0;
	}
	const char *colon = memchr(name + path, ':', end - path);
	if (colon != NULL) {
		size_t tag = (size_t)(colon - name) + 1;
		if (!tag_ok(name + tag, end - tag))
			return false;
		end = tag - 1;
	}
	return end > path && path_ok(name + path, end - path);
}

int image_name_check(const char *name, const char *registry, struct vk_err *err)
{
	int rc = image_name_forbidden(name, registry, err);
	if (rc != 0)
		return rc;
	if (strlen(name) > IMAGE_NAME_MAX || !well_formed(name))
		return vk_err_set(err, VK_INVALID,
			"\"%.100s\" is no name of an image: NAME, NAME:TAG or "
			"HOST/NAME@sha256:DIGEST in lower case",
			name);
	return 0;
}

/* The host in "scheme://user@host:port/..." or "user@host:path" (git); length 0 when there is
 * none. */
static size_t source_host(const char *source, const char **ret)
{
	const char *scheme = strstr(source, "://");
	if (scheme != NULL && scheme > source && isalnum((unsigned char)scheme[-1])) {
		const char *start = scheme + 3;
		size_t n = strcspn(start, "/\\?#");
		for (const char *at; (at = memchr(start, '@', n)) != NULL;) {
			n -= (size_t)(at + 1 - start);
			start = at + 1;
		}
		*ret = start;
		return n;
	}
	const char *start = source + strcspn(source, "/:@");
	if (*start != '@')
		return 0;
	*ret = ++start;
	return *start == '[' ? strcspn(start, "]") : strcspn(start, ":/");
}

int add_source_check(const char *source, struct vk_err *err)
{
	const char *start = NULL;
	size_t n = source_host(source, &start);
	if (n == 0)
		return 0;
	vk_autofree char *copy = vk_strndup(start, n);
	const char *host = strip_port(copy);
	if (!vk_host_is_private(host))
		return 0;
	vk_err_set(err, VK_DENIED, "ADD of \"%.100s\" reaches into this machine or its network",
		source);
	return vk_err_hint(
		err, "put the file into the repository, or fetch it from a public address");
}
