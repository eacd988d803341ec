#include "registry.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/http.h>
#include <viking/str.h>

#define CALL_MS      20000
#define BLOB_MS      600000
#define PASSWORD_MAX 256
#define ACCEPT \
	"application/vnd.docker.distribution.manifest.v2+json, " \
	"application/vnd.docker.distribution.manifest.list.v2+json, " \
	"application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"

static int read_password(const char *path, char **ret, struct vk_err *err)
{
	vk_autobuf b = VK_BUF_INIT(PASSWORD_MAX);
	if (vk_fs_read(path, &b, err) != 0) {
		vk_err_wrap(err, "the registry's password cannot be read");
		return vk_err_hint(err, "sudo viking doctor");
	}
	vk_autofree char *text = vk_buf_take(&b);
	text[strcspn(text, "\r\n")] = '\0';
	*ret = VK_TAKE(text);
	return 0;
}

int registry_init(struct registry *r, const struct vk_config *c, struct vk_err *err)
{
	*r = (struct registry){0};
	vk_autofree char *path = vk_state_path(c, "registry/password");
	int code = read_password(path, &r->password, err);
	if (code != 0)
		return code;
	r->server =
		vk_asprintf("%s:%llu", c->registry_address, (unsigned long long)c->registry_port);
	r->data_dir = vk_state_path(c, "registry/data");
	r->config = vk_state_path(c, "registry/config.yml");
	return 0;
}

void registry_release(struct registry *r)
{
	if (r->password != NULL)
		explicit_bzero(r->password, strlen(r->password));
	vk_freep(&r->password);
	vk_freep(&r->server);
	vk_freep(&r->data_dir);
	vk_freep(&r->config);
}

int registry_lock(const struct registry *r, int *ret_fd, struct vk_err *err)
{
	vk_autofree char *path = vk_asprintf("%s.lock", r->data_dir);
	int code = vk_fs_lock(path, ret_fd, err);
	if (code != VK_CONFLICT)
		return code;
	vk_err_set(err, code, "the registry is at work on its storage");
	return vk_err_hint(err, "again in a minute");
}

static int ask(const struct registry *r, struct vk_http_request *q, const char *path,
	struct vk_http_answer *ret, struct vk_err *err)
{
	struct vk_err why = {0};
	vk_autofree char *url = vk_asprintf("http://%s/v2/%s", r->server, path);
	q->url = url;
	q->user = REGISTRY_USER;
	q->password = r->password;
	q->accept = ACCEPT;
	int code = vk_http(q, ret, &why);
	q->url = NULL;
	if (code == 0)
		return 0;
	vk_err_set(err, code, "the registry at %s does not answer: %s", r->server, why.msg);
	vk_err_hint(err, "sudo viking doctor");
	return code;
}

static int call(const struct registry *r, const char *method, const char *path,
	struct vk_http_answer *ret, struct vk_err *err)
{
	struct vk_http_request q = {
		.method = method, .want_header = "Docker-Content-Digest", .timeout_ms = CALL_MS};
	return ask(r, &q, path, ret, err);
}

/* Anything but success as an error. */
static int check(const struct registry *r, const struct vk_http_answer *a, const char *what,
	struct vk_err *err)
{
	if (a->status >= 200 && a->status < 300)
		return 0;
	if (a->status == 404)
		return vk_err_set(err, VK_NOTFOUND, "%s is not in the registry", what);
	if (a->status == 401 || a->status == 403)
		vk_err_set(
			err, VK_DENIED, "the registry at %s refuses viking's password", r->server);
	else
		vk_err_set(err, VK_UNAVAILABLE, "the registry at %s answers %d for %s", r->server,
			a->status, what);
	return vk_err_hint(err, "sudo viking doctor");
}

int registry_ping(const struct registry *r, struct vk_err *err)
{
	struct vk_http_answer a;
	int code = call(r, "GET", "", &a, err);
	return code != 0 ? code : check(r, &a, "/v2/", err);
}

int registry_room(const struct registry *r, uint64_t bytes, struct vk_err *err)
{
	vk_autofree char *parent =
		vk_strndup(r->data_dir, (size_t)(strrchr(r->data_dir, '/') - r->data_dir));
	const char *dir =
		vk_fs_exists(r->data_dir) ? r->data_dir : parent; /* made by the first push */
	int rc = vk_fs_room(dir, bytes, err);
	return rc == VK_LIMIT ? vk_err_hint(err, VK_ROOM_HINT) : rc;
}

int registry_digest(const struct registry *r, const char *repo, const char *reference,
	char ret[static DIGEST_MAX], struct vk_err *err)
{
	struct vk_http_answer a;
	vk_autofree char *path = vk_asprintf("%s/manifests/%s", repo, reference);
	int code = call(r, "HEAD", path, &a, err);
	if (code == 0)
		code = check(r, &a, path, err);
	if (code != 0)
		return code;
	if (!registry_is_digest(a.header))
		return vk_err_set(err, VK_UNAVAILABLE, "the registry at %s gives no digest for %s",
			r->server, path);
	memcpy(ret, a.header, DIGEST_MAX);
	return 0;
}

static int get(
	const struct registry *r, const char *path, struct vk_http_request *q, struct vk_err *err)
{
	struct vk_http_answer a;
	q->method = "GET";
	int code = ask(r, q, path, &a, err);
	return code != 0 ? code : check(r, &a, path, err);
}

int registry_manifest(const struct registry *r, const char *repo, const char *digest,
	struct vk_buf *into, struct vk_err *err)
{
	vk_autofree char *path = vk_asprintf("%s/manifests/%s", repo, digest);
	return get(r, path, &(struct vk_http_request){.into = into, .timeout_ms = CALL_MS}, err);
}

int registry_blob(const struct registry *r, const char *repo, const char *digest,
	int (*sink)(void *arg, const void *p, size_t n), void *arg, struct vk_err *err)
{
	vk_autofree char *path = vk_asprintf("%s/blobs/%s", repo, digest);
	return get(r, path,
		&(struct vk_http_request){.sink = sink, .sink_arg = arg, .timeout_ms = BLOB_MS},
		err);
}

int registry_delete(
	const struct registry *r, const char *repo, const char *digest, struct vk_err *err)
{
	struct vk_http_answer a;
	vk_autofree char *path = vk_asprintf("%s/manifests/%s", repo, digest);
	int code = call(r, "DELETE", path, &a, err);
	return code != 0 ? code : check(r, &a, path, err);
}

bool registry_is_digest(const char *s)
{
	return vk_starts(s, "sha256:") && strlen(s) == DIGEST_MAX - 1 &&
		strspn(s + 7, "0123456789abcdef") == 64;
}

bool registry_split(const struct registry *r, const char *ref, char **ret_repo, char **ret_digest)
{
	size_t n = strlen(r->server);
	if (strncmp(ref, r->server, n) != 0 || ref[n] != '/')
		return false;
	const char *repo = ref + n + 1, *at = strchr(repo, '@');
	if (at == NULL || at == repo || !registry_is_digest(at + 1))
		return false;
	*ret_repo = vk_strndup(repo, (size_t)(at - repo));
	*ret_digest = vk_strdup(at + 1);
	return true;
}

bool registry_is_name(const char *s)
{
	static const char word[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	for (;;) {
		size_t n = strspn(s, word);
		if (n == 0)
			return false;
		s += n;
		if (*s == '\0')
			return true;
		size_t dashes = strspn(s, "-"), lines = strspn(s, "_");
		if (dashes == 0 && (lines == 0 || lines > 2))
			return false;
		s += dashes + lines;
	}
}
