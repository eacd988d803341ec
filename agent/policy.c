#include "policy.h"

#include <viking/json.h>
#include <viking/str.h>

static int deny(struct vk_err *err, const char *setting, const char *what)
{
	vk_err_set(err, VK_DENIED, "%s is not allowed on this host", what);
	return vk_err_hint(err, "%s in /etc/viking/viking.conf", setting);
}

static bool in_ranges(const char *ranges, uint64_t port)
{
	vk_autofree char *copy = vk_strdup(ranges);
	char *save = NULL;
	for (char *r = strtok_r(copy, ", ", &save); r != NULL; r = strtok_r(NULL, ", ", &save)) {
		char *dash = strchr(r, '-');
		uint64_t lo, hi;
		if (dash != NULL)
			*dash = '\0';
		if (vk_parse_u64(r, 1, 65535, &lo) < 0)
			continue;
		hi = lo;
		if (dash != NULL && vk_parse_u64(dash + 1, 1, 65535, &hi) < 0)
			continue;
		if (port >= lo && port <= hi)
			return true;
	}
	return false;
}

static int check_publish(const struct vk_config *c, const json_t *publish, struct vk_err *err)
{
	size_t i;
	json_t *p;
	json_array_foreach(publish, i, p)
	{
		int64_t host = vk_json_int(p, "host", 0);
		const char *own = vk_config_own_port(c, (uint64_t)host);
		if (own != NULL)
			return vk_err_set(err, VK_DENIED, "host port %lld is viking's own (%s)",
				(long long)host, own);
		if (host == 0 || in_ranges(c->policy_publish, (uint64_t)host))
			continue;
		vk_err_set(err, VK_DENIED, "publishing host port %lld is not allowed (allowed: %s)",
			(long long)host, c->policy_publish[0] ? c->policy_publish : "none");
		return vk_err_hint(err, "policy.publish in /etc/viking/viking.conf");
	}
	return 0;
}

/* Under the prefix as whole components, without any way up. */
static bool path_under(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);
	while (n > 1 && prefix[n - 1] == '/')
		n--;
	if (n == 0 || prefix[0] != '/' || strncmp(path, prefix, n) != 0)
		return false;
	return path[n] == '\0' || path[n] == '/' || (n == 1 && prefix[0] == '/');
}

static bool path_plain(const char *path)
{
	if (path[0] != '/')
		return false;
	return strstr(path, "/../") == NULL && strstr(path, "/./") == NULL &&
		!vk_ends(path, "/..") && !vk_ends(path, "/.") && strstr(path, "//") == NULL;
}

static bool path_allowed(const char *prefixes, const char *path)
{
	vk_autofree char *copy = vk_strdup(prefixes);
	char *save = NULL;
	if (!path_plain(path))
		return false;
	for (char *p = strtok_r(copy, ", ", &save); p != NULL; p = strtok_r(NULL, ", ", &save))
		if (path_under(path, p))
			return true;
	return false;
}

static int check_mounts(const struct vk_config *c, const json_t *mounts, struct vk_err *err)
{
	size_t i;
	json_t *m;
	json_array_foreach(mounts, i, m)
	{
		const char *host = vk_json_str(m, "host", NULL);
		if (host == NULL || path_allowed(c->policy_host_paths, host))
			continue;
		vk_err_set(err, VK_DENIED, "mounting the host's %s is not allowed", host);
		return vk_err_hint(err, "policy.host_paths in /etc/viking/viking.conf");
	}
	return 0;
}

static bool is_digest(const char *s)
{
	if (!vk_starts(s, "sha256:") || strlen(s) != 7 + 64)
		return false;
	return strspn(s + 7, "0123456789abcdef") == 64;
}

static bool is_loopback(const char *image)
{
	return vk_starts(image, "127.") || vk_starts(image, "localhost:") ||
		vk_starts(image, "localhost/") || vk_starts(image, "[::");
}

/* Our registry by digest only: a tag there could be moved, another repository there could be read. An
 * image id would reach whatever lies on the host. */
static int check_image(
	const struct vk_config *c, const struct desired_instance *in, struct vk_err *err)
{
	static const char chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-/:@[]";
	const char *image = in->image;
	const char *at = strchr(image, '@');
	vk_autofree char *ours =
		vk_asprintf("%s:%llu/", c->registry_address, (unsigned long long)c->registry_port);
	if (image[0] == '\0' || image[0] == '-' || image[strspn(image, chars)] != '\0')
		return vk_err_set(err, VK_INVALID, "'%s' is not an image name", image);
	if (at != NULL && !is_digest(at + 1))
		return vk_err_set(err, VK_INVALID, "'%s' has a malformed digest", image);
	if (vk_starts(image, "sha256:") ||
		(strlen(image) >= 12 && strspn(image, "0123456789abcdef") == strlen(image)))
		return vk_err_set(
			err, VK_DENIED, "an image may not be named by its id (%s)", image);
	if (vk_starts(image, ours) && at != NULL)
		return 0;
	if (vk_starts(image, ours) || is_loopback(image))
		return vk_err_set(
			err, VK_DENIED, "image %s is not a digest of this host's registry", image);
	return 0;
}

static int check_modes(
	const struct vk_config *c, const struct desired_instance *in, struct vk_err *err)
{
	const char *net = in->network_mode, *pid = in->pid_mode;
	if (vk_streq(net, "host") && !c->policy_host_network)
		return deny(err, "policy.host_network", "the host's network");
	if (!vk_streq(net, "host") && !vk_streq(net, "default") && !vk_streq(net, "none") &&
		net[0] != '\0')
		return vk_err_set(err, VK_DENIED, "network mode '%s' is not allowed", net);
	if (vk_streq(pid, "host") && !c->policy_host_pid)
		return deny(err, "policy.host_pid", "the host's process table");
	if (!vk_streq(pid, "host") && pid[0] != '\0')
		return vk_err_set(err, VK_DENIED, "pid mode '%s' is not allowed", pid);
	return 0;
}

int policy_check(const struct vk_config *c, const struct desired_instance *in, struct vk_err *err)
{
	if (in->privileged && !c->policy_privileged)
		return deny(err, "policy.privileged", "a privileged container");
	int r = check_modes(c, in, err);
	if (r == 0)
		r = check_image(c, in, err);
	if (r == 0)
		r = check_publish(c, in->publish, err);
	return r == 0 ? check_mounts(c, in->mounts, err) : r;
}
