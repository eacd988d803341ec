#include "layout.h"

#include <crypt.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/str.h>

#define OWNED_MAX 65536 /* bytes of a file of ours */

static const char *const users[] = {
	"viking",
	"viking-build",
	"viking-agent",
	"viking-sched",
	"viking-route",
	"viking-web",
	"viking-dns",
	"viking-net",
	"viking-certs",
	"viking-front",
	"viking-etcd",
	NULL,
};

struct directory {
	bool run; /* below RUN, else below STATE */
	const char *name;
	const char *user, *group;
	mode_t mode;
};

static const struct directory directories[] = {
	{false, "", "root", "root", 0755},
	{false, "sched", "viking-sched", "viking-sched", 0700},
	{false, "sched/builds", "viking-sched", "viking-sched", 0700},
	{false, "ssh", "viking", "viking", 0700},
	{false, "repos", "viking", "viking", 0700},
	{false, "static", "viking", "viking-web", 02750},
	{false, "log", "viking-agent", "viking-agent", 0700},
	{false, "agent", "viking-agent", "viking-agent", 0700},
	{false, "route", "viking-route", "viking-route", 0700},
	{false, "registry", "viking-build", "docker", 0750},
	{false, "registry/data", "viking-build", "viking-build", 0700},
	/* written by the scheduler, read by those who show the host's certificate */
	{false, "tls", "viking-sched", "viking-tls", 02750},
	/* Every role binds its own socket here; sticky, so none can remove another's. */
	{true, "", "root", "viking-run", 01771},
	{true, "route", "viking-route", "viking-route", 0700},
	{true, "web", "viking-web", "viking-route", 0751}, /* viking-front passes */
	{true, "certs", "viking-certs", "viking-certs", 0700},
	{true, "hosts", "viking-front", "viking-front", 0755},
	{true, "helpers", "root", "root", 0700},
};

static const struct directory etcd_directories[] = {
	{false, "etcd", "viking-etcd", "viking-etcd", 0700},
	{false, "etcd/data", "viking-etcd", "viking-etcd", 0700},
};

int layout_users(const struct vk_config *c, struct vk_err *err)
{
	if (c->single_uid)
		return 0;
	for (size_t i = 0; users[i] != NULL; i++) {
		if (getpwnam(users[i]) != NULL)
			continue;
		vk_err_set(err, VK_NOTFOUND, "the system user %s does not exist", users[i]);
		return vk_err_hint(err, "sudo dpkg-reconfigure viking (or run with --root DIR)");
	}
	if (getgrnam("viking-run") == NULL) {
		vk_err_set(err, VK_NOTFOUND, "the group viking-run does not exist");
		return vk_err_hint(err, "sudo dpkg-reconfigure viking (or run with --root DIR)");
	}
	return 0;
}

static int own(const char *path, const char *user, const char *group, struct vk_err *err)
{
	const struct passwd *pw = getpwnam(user);
	uid_t uid = pw ? pw->pw_uid : 0;
	const struct group *gr = getgrnam(group);
	gid_t gid = gr ? gr->gr_gid : pw ? pw->pw_gid : 0;
	if (lchown(path, uid, gid) < 0)
		return vk_err_errno(err, errno, "%s: cannot give it to %s:%s", path, user, group);
	return 0;
}

static int make_directory(const struct vk_config *c, const struct directory *d, struct vk_err *err)
{
	vk_autofree char *path =
		d->run ? vk_run_path(c, "%s", d->name) : vk_state_path(c, "%s", d->name);
	int r = vk_fs_mkdir_p(path, 0755, err);
	if (r < 0)
		return r;
	if (c->single_uid) {
		if (chmod(path, d->name[0] == '\0' ? 0755 : 0700) < 0)
			return vk_err_errno(err, errno, "%s: chmod", path);
		return 0;
	}
	r = own(path, d->user, d->group, err);
	if (r < 0)
		return r;
	if (chmod(path, d->mode) < 0) /* after chown, which clears set-id bits */
		return vk_err_errno(err, errno, "%s: chmod", path);
	return 0;
}

static int make_directories(
	const struct vk_config *c, const struct directory *d, size_t n, struct vk_err *err)
{
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = make_directory(c, &d[i], err);
	return r;
}

int layout_directories(const struct vk_config *c, struct vk_err *err)
{
	return make_directories(c, directories, VK_COUNT(directories), err);
}

int layout_etcd(const struct vk_config *c, struct vk_err *err)
{
	return make_directories(c, etcd_directories, VK_COUNT(etcd_directories), err);
}

int layout_write_bytes(const struct vk_config *c, const char *path, const void *p, size_t n,
	mode_t mode, const char *user, const char *group, struct vk_err *err)
{
	/* what is there already needs no room on a full disk */
	vk_autobuf there = VK_BUF_INIT(OWNED_MAX);
	bool same = vk_fs_read(path, &there, NULL) == 0 && there.len == n &&
		memcmp(vk_buf_str(&there), p, n) == 0;
	int r = same ? 0 : vk_fs_write_atomic(path, p, n, mode, err);
	if (there.len > 0)
		explicit_bzero(there.data, there.len);
	if (r == 0 && !c->single_uid)
		r = own(path, user, group, err);
	return r;
}

int layout_write(const struct vk_config *c, const char *path, const char *text, mode_t mode,
	const char *user, const char *group, struct vk_err *err)
{
	return layout_write_bytes(c, path, text, strlen(text), mode, user, group, err);
}

int layout_registry_password(const struct vk_config *c, const char *password, struct vk_err *err)
{
	vk_autofree char *file = vk_state_path(c, "registry/password"),
			 *copy = vk_state_path(c, "sched/registry-password");
	int r = layout_write(c, file, password, 0640, "viking-build", "docker", err);
	return r == 0 ? layout_write(c, copy, password, 0600, "viking-sched", "viking-sched", err)
		      : r;
}

bool layout_registry_here(const struct vk_config *c)
{
	vk_autofree char *file = vk_state_path(c, LAYOUT_REGISTRY_HOST);
	vk_autobuf host = VK_BUF_INIT(256);
	if (vk_streq(c->store, "etcd") && vk_fs_read(file, &host, NULL) == 0)
		return vk_streq(vk_buf_str(&host), c->host_name);
	return c->run_registry;
}

/* As docker-registry reads it (htpasswd, bcrypt), or NULL. The salt of the line that is there is kept, so that the same password
 * makes the same line. A random password needs no slow hash: the lowest cost keeps the registry, which checks it on every
 * request, fast. */
static char *registry_login(const char *htpasswd, const char *password)
{
	static const char user[] = "viking:";
	vk_autobuf there = VK_BUF_INIT(256);
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	struct crypt_data *data = vk_alloc(sizeof(*data));
	const char *hash = NULL;
	if (vk_fs_read(htpasswd, &there, NULL) == 0 && vk_starts(vk_buf_str(&there), user)) {
		there.data[strcspn(there.data, "\n")] = '\0';
		hash = crypt_r(password, there.data + strlen(user), data);
	}
	if ((hash == NULL || hash[0] == '*') &&
		crypt_gensalt_rn("$2y$", 4, NULL, 0, salt, sizeof(salt)) != NULL)
		hash = crypt_r(password, salt, data);
	char *line = hash && hash[0] != '*' ? vk_asprintf("%s%s\n", user, hash) : NULL;
	free(data);
	return line;
}

/* At each start: a host that joined a cluster has got the cluster's password since. */
static int registry_password(const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *file = vk_state_path(c, "registry/password");
	vk_autofree char *htpasswd = vk_state_path(c, "registry/htpasswd");
	vk_autobuf there = VK_BUF_INIT(256);
	char random[49];
	vk_random_hex(24, random);
	const char *password = vk_fs_read(file, &there, NULL) == 0 ? vk_buf_str(&there) : random;
	vk_autofree char *line = registry_login(htpasswd, password);
	if (line == NULL)
		return vk_err_set(err, VK_INTERNAL, "crypt(3) cannot make a bcrypt hash");
	int r = layout_write(c, htpasswd, line, 0600, "viking-build", "viking-build", err);
	return r == 0 ? layout_registry_password(c, password, err) : r;
}

int layout_registry(const struct vk_config *c, struct vk_err *err)
{
	int r = registry_password(c, err);
	if (r < 0)
		return r;
	vk_autofree char *secret_file = vk_state_path(c, "registry/http-secret");
	vk_autobuf secret = VK_BUF_INIT(256);
	if (!vk_fs_exists(secret_file)) {
		char hex[65];
		vk_random_hex(32, hex);
		r = layout_write(c, secret_file, hex, 0600, "viking-build", "viking-build", err);
	}
	if (r == 0)
		r = vk_fs_read(secret_file, &secret, err);
	if (r < 0)
		return r;
	vk_autofree char *data = vk_state_path(c, "registry/data");
	vk_autofree char *htpasswd = vk_state_path(c, "registry/htpasswd");
	vk_autofree char *file = vk_state_path(c, "registry/config.yml");
	/* No blobdescriptor cache: with it, garbage collection under a running registry corrupts. */
	vk_autofree char *text = vk_asprintf(
		"version: 0.1\n"
		"log: {level: warn, accesslog: {disabled: true}}\n"
		"storage:\n  filesystem: {rootdirectory: \"%s\"}\n  delete: {enabled: true}\n"
		"http: {addr: \"%s:%llu\", secret: \"%s\"}\n"
		"auth:\n  htpasswd: {realm: viking, path: \"%s\"}\n",
		data, c->registry_address, (unsigned long long)c->registry_port,
		vk_buf_str(&secret), htpasswd);
	return layout_write(c, file, text, 0600, "viking-build", "viking-build", err);
}
