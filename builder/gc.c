#include "gc.h"

#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/str.h>

#include "stack_image.h"

#define REPOSITORIES "docker/registry/v2/repositories"
#define REVISIONS    "_manifests/revisions/sha256"

void gc_used_images(const json_t *containers, struct vk_strv *ret)
{
	for (size_t i = 0; i < json_array_size(containers); i++)
		vk_strv_add(ret, vk_json_str(json_array_get(containers, i), "ImageID", ""));
}

bool gc_kept(const json_t *keep, const char *ref)
{
	for (size_t i = 0; i < json_array_size(keep); i++) {
		if (vk_streq(json_string_value(json_array_get(keep, i)), ref))
			return true;
	}
	return false;
}

/* "REPO:TAG", with a server before it or not */
static bool is_stack_tag(const char *name)
{
	const char *last = strrchr(name, '/');
	last = last != NULL ? last + 1 : name;
	return vk_starts(last, STACK_IMAGE ":") && (last == name || strchr(name, '/') == last - 1);
}

bool gc_image_ours(const json_t *image, const char *server, const char *root_label)
{
	vk_autostrv names = {0};
	size_t n = strlen(server);
	gc_image_names(image, &names);
	for (size_t i = 0; i < names.n; i++)
		if (is_stack_tag(names.v[i]))
			return false;
	for (size_t i = 0; i < names.n; i++) {
		if (strncmp(names.v[i], server, n) == 0 && names.v[i][n] == '/')
			return true;
	}
	return vk_streq(
		vk_json_str(json_object_get(image, "Labels"), "viking.root", NULL), root_label);
}

bool gc_image_unused(const json_t *image, const json_t *keep, const struct vk_strv *used)
{
	const json_t *digests = json_object_get(image, "RepoDigests");
	if (vk_strv_has(used, vk_json_str(image, "Id", "")))
		return false;
	for (size_t i = 0; i < json_array_size(digests); i++) {
		const char *ref = json_string_value(json_array_get(digests, i));
		if (ref != NULL && gc_kept(keep, ref))
			return false;
	}
	return true;
}

void gc_image_names(const json_t *image, struct vk_strv *ret)
{
	static const char *const lists[] = {"RepoTags", "RepoDigests"};
	for (size_t k = 0; k < VK_COUNT(lists); k++) {
		const json_t *names = json_object_get(image, lists[k]);
		for (size_t i = 0; i < json_array_size(names); i++) {
			const char *name = json_string_value(json_array_get(names, i));
			if (name != NULL && !vk_starts(name, "<none>"))
				vk_strv_add(ret, name);
		}
	}
}

/* Calls fn with each entry of a directory but dot files and the registry's own "_" ones; missing is fine. */
typedef int entry_fn(void *arg, const char *dir, const char *name, struct vk_err *err);

static int each_entry(const char *dir, entry_fn *fn, void *arg, struct vk_err *err)
{
	DIR *d = opendir(dir);
	if (d == NULL)
		return errno == ENOENT || errno == ENOTDIR ? 0
							   : vk_err_errno(err, errno, "%s", dir);
	int code = 0;
	for (struct dirent *e; code == 0 && (e = readdir(d)) != NULL;) {
		if (e->d_name[0] != '.' && e->d_name[0] != '_')
			code = fn(arg, dir, e->d_name, err);
	}
	closedir(d);
	return code;
}

struct walk {
	const char *server;
	const char *stack; /* while inside one */
	char *repo;        /* "ragnar/web", while inside one */
	struct vk_strv *refs;
	entry_fn *boat;
};

static int walk_stack(void *arg, const char *dir, const char *name, struct vk_err *err)
{
	struct walk *w = arg;
	vk_autofree char *sub = vk_asprintf("%s/%s", dir, name);
	w->stack = name;
	return each_entry(sub, w->boat, w, err);
}

static int walk_repositories(const char *data_dir, struct walk *w, struct vk_err *err)
{
	vk_autofree char *dir = vk_asprintf("%s/" REPOSITORIES, data_dir);
	return each_entry(dir, walk_stack, w, err);
}

static int take_revision(void *arg, const char *dir, const char *name, struct vk_err *err)
{
	struct walk *w = arg;
	(void)err;
	/* a deleted manifest leaves its directory, without the link */
	vk_autofree char *link = vk_asprintf("%s/%s/link", dir, name);
	if (vk_fs_exists(link))
		vk_strv_addf(w->refs, "%s/%s@sha256:%s", w->server, w->repo, name);
	return 0;
}

static int list_boat(void *arg, const char *dir, const char *name, struct vk_err *err)
{
	struct walk *w = arg;
	vk_autofree char *revisions = vk_asprintf("%s/%s/" REVISIONS, dir, name);
	w->repo = vk_asprintf("%s/%s", w->stack, name);
	int code = each_entry(revisions, take_revision, w, err);
	vk_freep(&w->repo);
	return code;
}

int gc_manifests(const char *data_dir, const char *server, struct vk_strv *ret, struct vk_err *err)
{
	struct walk w = {.server = server, .refs = ret, .boat = list_boat};
	return walk_repositories(data_dir, &w, err);
}

static int drop_empty_boat(void *arg, const char *dir, const char *name, struct vk_err *err)
{
	struct walk *outer = arg;
	vk_autofree char *repo = vk_asprintf("%s/%s", dir, name);
	vk_autofree char *revisions = vk_asprintf("%s/" REVISIONS, repo);
	vk_autostrv left = {0};
	struct walk w = {.server = "", .stack = outer->stack, .repo = repo, .refs = &left};
	int code = each_entry(revisions, take_revision, &w, err);
	if (code != 0 || left.n > 0)
		return code;
	return vk_fs_remove_tree(repo, err);
}

int gc_empty_repositories(const char *data_dir, struct vk_err *err)
{
	struct walk w = {.server = "", .boat = drop_empty_boat};
	return walk_repositories(data_dir, &w, err);
}

uint64_t gc_disk_usage(const char *path)
{
	char *roots[] = {vk_strdup(path), NULL};
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	uint64_t bytes = 0;
	for (FTSENT *e; walk != NULL && (e = fts_read(walk)) != NULL;) {
		if (e->fts_info == FTS_F || e->fts_info == FTS_D)
			bytes += (uint64_t)e->fts_statp->st_blocks * 512;
	}
	if (walk != NULL)
		fts_close(walk);
	vk_freep(&roots[0]);
	return bytes;
}

uint64_t gc_cache_budget(uint64_t budget, uint64_t images)
{
	return budget > images ? budget - images : 0;
}
