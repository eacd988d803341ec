#include "repo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/proc.h>
#include <viking/repo.h>
#include <viking/str.h>

#define GIT_MS 30000
#define TRASH  ".old-"

const char *const repo_git_env[] = {
	"PATH=/usr/local/bin:/usr/bin:/bin",
	"HOME=/nonexistent",
	"LANG=C.UTF-8",
	"GIT_CONFIG_NOSYSTEM=1",
	"GIT_CONFIG_GLOBAL=/dev/null",
	"GIT_TERMINAL_PROMPT=0",
	NULL,
};

static int run_git(const struct vk_config *c, const char *cwd, const char *const *argv,
	struct vk_buf *out, struct vk_err *err)
{
	const struct vk_proc_opts o = {.path = c->git_path,
		.argv = argv,
		.env = repo_git_env,
		.cwd = cwd,
		.die_with_parent = true};
	return vk_proc_run(&o, NULL, 0, out, NULL, GIT_MS, err);
}

static void first_branch(const struct vk_config *c, char *name, size_t size)
{
	const char *p = c->deploy_branches + strspn(c->deploy_branches, ", ");
	size_t n = strcspn(p, ", ");
	snprintf(name, size, "%.*s", n > 0 ? (int)n : 4, n > 0 ? p : "main");
}

/* In a directory of its own first, then in place by one rename: a half-made repository is never seen. */
static int make(const struct vk_config *c, const char *path, const char *id, struct vk_err *err)
{
	char random[17], branch[300];
	vk_random_hex(8, random);
	vk_autofree char *temp = vk_state_path(c, "repos/.new-%s", random);
	first_branch(c, branch, sizeof(branch) - 20);
	vk_autofree char *initial = vk_asprintf("--initial-branch=%s", branch);
	const char *const argv[] = {
		"git", "init", "--bare", "--quiet", "--template=", initial, "--", temp, NULL};
	int rc = run_git(c, "/", argv, NULL, err);
	if (rc == 0 && *id != '\0') {
		vk_autofree char *file = vk_asprintf("%s/viking-id", temp);
		rc = vk_fs_write_atomic(file, id, strlen(id), 0600, err);
	}
	if (rc == 0 && rename(temp, path) != 0 && errno != EEXIST && errno != ENOTEMPTY)
		rc = vk_err_errno(err, errno, "%s", path);
	(void)vk_fs_remove_tree(temp, NULL); /* another connection was first, or it failed */
	return rc;
}

/* Out of the way by one rename, then removed. */
static int discard(const struct vk_config *c, const char *path, struct vk_err *err)
{
	char random[17];
	vk_random_hex(8, random);
	vk_autofree char *trash = vk_state_path(c, "repos/" TRASH "%s", random);
	if (rename(path, trash) != 0)
		return errno == ENOENT ? 0 : vk_err_errno(err, errno, "%s", path);
	return vk_fs_remove_tree(trash, err);
}

/* A stack that was renamed brings its repository along, however often that was since it was last used. */
static bool take_renamed(const char *dir, const char *stack, const char *path, const char *id)
{
	vk_autofree char *old = *id != '\0' ? vk_repo_find(dir, stack, id) : NULL;
	return old != NULL && rename(old, path) == 0;
}

int repo_open(const struct vk_config *c, const char *stack, const char *id, struct repo *ret,
	struct vk_err *err)
{
	vk_autofree char *dir = vk_state_path(c, "repos");
	vk_autofree char *path = vk_state_path(c, "repos/%s.git", stack);
	int rc = vk_fs_mkdir_p(dir, 0700, err);
	if (rc == 0 && vk_fs_exists(path) && !vk_repo_has_id(path, id))
		rc = discard(c, path, err);
	if (rc == 0 && !vk_fs_exists(path) && !take_renamed(dir, stack, path, id))
		rc = make(c, path, id, err);
	if (rc == 0)
		*ret = (struct repo){.path = VK_TAKE(path), .lock = -1};
	return rc;
}

/* Removes the entries of dir whose name matches one of the patterns. */
static void remove_matching(const char *dir, const char *const *patterns)
{
	DIR *d = opendir(dir);
	if (d == NULL)
		return;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		for (size_t i = 0; patterns[i] != NULL; i++)
			if (vk_glob(patterns[i], e->d_name)) {
				vk_autofree char *path = vk_asprintf("%s/%s", dir, e->d_name);
				(void)vk_fs_remove_tree(
					path, NULL); /* the next cleaning tries again */
				break;
			}
	closedir(d);
}

int repo_remove(const struct vk_config *c, const char *id, struct vk_err *err)
{
	vk_autofree char *dir = vk_state_path(c, "repos");
	vk_autofree char *path = *id != '\0' ? vk_repo_find(dir, "", id) : NULL;
	return path != NULL ? discard(c, path, err) : 0;
}

void repos_sweep(const struct vk_config *c)
{
	static const char *const old[] = {TRASH "*", NULL};
	vk_autofree char *dir = vk_state_path(c, "repos");
	remove_matching(dir, old);
}

void repo_close(struct repo *r)
{
	vk_closep(&r->lock);
	free(r->path);
	*r = (struct repo){.lock = -1};
}

int repo_lock(struct repo *r, struct vk_err *err)
{
	vk_autofree char *file = vk_asprintf("%s/viking-push.lock", r->path);
	r->lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (r->lock < 0)
		return vk_err_errno(err, errno, "%s", file);
	repo_clean(r);
	/* waits only for another connection's cleaning */
	while (flock(r->lock, LOCK_SH) != 0)
		if (errno != EINTR)
			return vk_err_errno(err, errno, "%s", file);
	return 0;
}

void repo_clean(struct repo *r)
{
	static const char *const top[] = {"shallow_*", "HEAD.lock", "packed-refs.lock", NULL};
	static const char *const objects[] = {"tmp_objdir-incoming-*", NULL};
	static const char *const packs[] = {"tmp_pack_*", "tmp_idx_*", "tmp_rev_*", NULL};
	static const char *const refs[] = {"*.lock", NULL};
	if (r->lock < 0 || flock(r->lock, LOCK_EX | LOCK_NB) != 0)
		return;
	vk_autofree char *objects_dir = vk_asprintf("%s/objects", r->path);
	vk_autofree char *packs_dir = vk_asprintf("%s/objects/pack", r->path);
	vk_autofree char *heads = vk_asprintf("%s/refs/heads", r->path);
	vk_autofree char *tags = vk_asprintf("%s/refs/tags", r->path);
	remove_matching(r->path, top);
	remove_matching(objects_dir, objects);
	remove_matching(packs_dir, packs);
	remove_matching(heads, refs);
	remove_matching(tags, refs);
}

int repo_move_ref(const struct vk_config *c, const struct repo *r, const char *ref, const char *old,
	const char *new, struct vk_err *err)
{
	const struct vk_proc_opts git = {
		.path = c->git_path, .env = repo_git_env, .cwd = r->path, .die_with_parent = true};
	if (!vk_starts(ref, "refs/heads/") || !vk_is_commit(old) || !vk_is_commit(new))
		return vk_err_set(err, VK_INTERNAL, "the ref to move is not one");
	return vk_repo_move_ref(&git, ref, old, new, err);
}

unsigned repo_packs(const char *path)
{
	vk_autofree char *dir = vk_asprintf("%s/objects/pack", path);
	DIR *d = opendir(dir);
	unsigned n = 0;
	if (d == NULL)
		return 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += vk_ends(e->d_name, ".pack");
	closedir(d);
	return n;
}
