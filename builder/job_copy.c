/*
 * Images of the registry's host, copied into this host's storage, on which no registry runs: so this host can have the registry
 * when that one is lost. They come over this host's registry address, as pulls do. The storage is that of docker-registry:
 *
 *	blobs/sha256/AB/ABCD.../data                             manifests, configurations and layers, by content
 *	repositories/REPO/_layers/sha256/ABCD.../link            "sha256:ABCD..."
 *	repositories/REPO/_manifests/revisions/sha256/.../link   the last: what it names is whole
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <viking/crypt.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/str.h>

#include "gc.h"
#include "job.h"

#define STORAGE      "docker/registry/v2"
#define MANIFEST_MAX ((size_t)4 << 20)
#define DEPTH_MAX    2  /* a list of manifests, and those */
#define COLLECT_AT   20 /* dropped manifests: then the storage is swept */

static char *link_path(const struct job *j, const char *repo, const char *kind, const char *digest)
{
	return vk_asprintf("%s/" STORAGE "/repositories/%s/%s/sha256/%s/link", j->registry.data_dir,
		repo, kind, digest + strlen("sha256:"));
}

static char *blob_path(const struct job *j, const char *digest)
{
	const char *hex = digest + strlen("sha256:");
	return vk_asprintf(
		"%s/" STORAGE "/blobs/sha256/%.2s/%s/data", j->registry.data_dir, hex, hex);
}

static int put(const char *path, const void *p, size_t n, struct vk_err *err)
{
	vk_autofree char *dir = vk_strndup(path, (size_t)(strrchr(path, '/') - path));
	int code = vk_fs_mkdir_p(dir, 0700, err);
	return code == 0 ? vk_fs_write_atomic(path, p, n, 0600, err) : code;
}

static int put_link(const struct job *j, const char *repo, const char *kind, const char *digest,
	struct vk_err *err)
{
	vk_autofree char *path = link_path(j, repo, kind, digest);
	return put(path, digest, strlen(digest), err);
}

/* ---- one blob ---- */

struct incoming {
	int fd;
	struct vk_sha256 *hash;
};

static int take(void *arg, const void *p, size_t n)
{
	struct incoming *in = arg;
	vk_sha256_add(in->hash, p, n);
	return vk_write_all(in->fd, p, n, NULL);
}

static int receive(struct job *j, const char *repo, const char *digest, int fd, struct vk_err *err)
{
	struct incoming in = {.fd = fd, .hash = vk_sha256_new()};
	char hex[65];
	int code = registry_blob(&j->registry, repo, digest, take, &in, err);
	vk_sha256_end(in.hash, hex);
	if (code == 0 && strcmp(hex, digest + strlen("sha256:")) != 0)
		code = vk_err_set(err, VK_FAILED, "%s of %s came as something else", digest, repo);
	if (code == 0 && fsync(fd) != 0)
		code = vk_err_errno(err, errno, "fsync");
	return code;
}

/* One file at a time, always of one name: what a killed job left is written over. */
static int fetch_blob(struct job *j, const char *repo, const char *digest, struct vk_err *err)
{
	vk_autofree char *temp = vk_asprintf("%s/.copy", j->registry.data_dir);
	vk_autofree char *path = blob_path(j, digest);
	vk_autofree char *dir = vk_strndup(path, (size_t)(strrchr(path, '/') - path));
	if (vk_fs_exists(path))
		return 0;
	int code = vk_fs_mkdir_p(dir, 0700, err);
	if (code == 0)
		code = registry_room(&j->registry, j->config->free_bytes_min, err);
	if (code != 0)
		return code;
	vk_autoclose int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return vk_err_errno(err, errno, "%s", temp);
	code = receive(j, repo, digest, fd, err);
	if (code == 0 && rename(temp, path) != 0)
		code = vk_err_errno(err, errno, "%s", path);
	return code;
}

static int copy_blob(struct job *j, const char *repo, const json_t *descriptor, struct vk_err *err)
{
	const char *digest = vk_json_str(descriptor, "digest", "");
	if (!registry_is_digest(digest))
		return vk_err_set(err, VK_INVALID, "a manifest of %s names no digest", repo);
	int code = fetch_blob(j, repo, digest, err);
	return code == 0 ? put_link(j, repo, "_layers", digest, err) : code;
}

/* ---- one image ---- */

static int copy_manifest(
	struct job *j, const char *repo, const char *digest, unsigned depth, struct vk_err *err);

static int copy_parts(
	struct job *j, const char *repo, const json_t *manifest, unsigned depth, struct vk_err *err)
{
	const json_t *config = json_object_get(manifest, "config"), *part;
	size_t i;
	int code = config != NULL ? copy_blob(j, repo, config, err) : 0;
	json_array_foreach(json_object_get(manifest, "layers"), i, part) if (code == 0) code =
		copy_blob(j, repo, part, err);
	json_array_foreach(json_object_get(manifest, "manifests"), i, part) if (code == 0) code =
		copy_manifest(j, repo, vk_json_str(part, "digest", ""), depth + 1, err);
	return code;
}

static int copy_manifest(
	struct job *j, const char *repo, const char *digest, unsigned depth, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(MANIFEST_MAX);
	vk_autojson *manifest = NULL;
	char hex[65];
	if (depth >= DEPTH_MAX || !registry_is_digest(digest))
		return vk_err_set(err, VK_INVALID, "a manifest of %s is not one", repo);
	vk_autofree char *link = link_path(j, repo, "_manifests/revisions", digest);
	if (vk_fs_exists(link))
		return 0;
	int code = registry_manifest(&j->registry, repo, digest, &text, err);
	if (code != 0)
		return code;
	vk_sha256_hex(vk_buf_str(&text), text.len, hex);
	if (strcmp(hex, digest + strlen("sha256:")) != 0)
		return vk_err_set(err, VK_FAILED, "%s of %s came as something else", digest, repo);
	vk_autofree char *path = blob_path(j, digest);
	code = vk_json_parse_max(vk_buf_str(&text), text.len, MANIFEST_MAX, &manifest, err);
	if (code == 0)
		code = copy_parts(j, repo, manifest, depth, err);
	if (code == 0)
		code = put(path, vk_buf_str(&text), text.len, err);
	return code == 0 ? put(link, digest, strlen(digest), err) : code;
}

/* ---- what no release names any more ---- */

static int drop_others(struct job *j, const json_t *images, struct vk_err *err)
{
	vk_autostrv refs = {0};
	size_t dropped = 0, i;
	int code = gc_manifests(j->registry.data_dir, j->registry.server, &refs, err);
	for (i = 0; i < refs.n && code == 0; i++)
		dropped += !gc_kept(images, refs.v[i]);
	if (code != 0 || dropped < COLLECT_AT)
		return code;
	for (i = 0; i < refs.n && code == 0; i++) {
		vk_autofree char *repo = NULL, *digest = NULL;
		if (gc_kept(images, refs.v[i]) ||
			!registry_split(&j->registry, refs.v[i], &repo, &digest))
			continue;
		vk_autofree char *link = link_path(j, repo, "_manifests/revisions", digest);
		if (unlink(link) != 0)
			code = vk_err_errno(err, errno, "%s", link);
	}
	return code == 0 ? gc_collect_blobs(j, err) : code;
}

/* Each image that can be had; the first failure is that of the job. */
int job_copy(struct job *j, json_t *done, struct vk_err *err)
{
	const json_t *images = json_object_get(j->doc, "images"), *ref;
	struct vk_err first = {0};
	size_t i, missing = 0;
	vk_autoclose int lock = -1;
	int code = registry_init(&j->registry, j->config, err);
	if (code == 0)
		code = vk_fs_mkdir_p(j->registry.data_dir, 0700, err);
	if (code == 0)
		code = registry_lock(&j->registry, &lock, err);
	if (code != 0)
		return code;
	json_array_foreach(images, i, ref)
	{
		vk_autofree char *repo = NULL, *digest = NULL;
		struct vk_err why = {0};
		if (!registry_split(&j->registry, json_string_value(ref), &repo, &digest) ||
			repo[0] == '/' || strstr(repo, "..") != NULL)
			vk_err_set(&why, VK_INVALID, "an image to copy has no digest");
		else
			(void)copy_manifest(j, repo, digest, 0, &why);
		if (why.code != 0 && missing++ == 0)
			first = why;
	}
	if (missing > 0) {
		*err = first;
		return vk_err_wrap(
			err, "%zu of %zu images are not copied", missing, json_array_size(images));
	}
	(void)done;
	return drop_others(j, images, err);
}
