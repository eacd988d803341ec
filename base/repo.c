#include <viking/repo.h>

#include <dirent.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#define ID_MAX 128
#define GIT_MS 60000

bool vk_repo_has_id(const char *path, const char *id)
{
	vk_autofree char *file = vk_asprintf("%s/viking-id", path);
	vk_autobuf text = VK_BUF_INIT(ID_MAX);
	if (*id == '\0')
		return true;
	if (vk_fs_read(file, &text, NULL) != 0)
		return false;
	while (text.len > 0 && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	return vk_streq(vk_buf_str(&text), id);
}

char *vk_repo_find(const char *repos, const char *stack, const char *id)
{
	vk_autofree char *path = vk_asprintf("%s/%s.git", repos, stack);
	if (vk_fs_exists(path) && vk_repo_has_id(path, id))
		return VK_TAKE(path);
	DIR *d = *id != '\0' ? opendir(repos) : NULL;
	char *found = NULL;
	for (struct dirent *e; found == NULL && d != NULL && (e = readdir(d)) != NULL;) {
		vk_autofree char *other = vk_asprintf("%s/%s", repos, e->d_name);
		if (e->d_name[0] != '.' && vk_ends(e->d_name, ".git") && vk_repo_has_id(other, id))
			found = VK_TAKE(other);
	}
	if (d != NULL)
		closedir(d);
	return found;
}

static int run_git(const struct vk_proc_opts *git, const char *const *argv, struct vk_buf *out,
	struct vk_err *err)
{
	struct vk_proc_opts o = *git;
	o.argv = argv;
	return vk_proc_run(&o, NULL, 0, out, NULL, GIT_MS, err);
}

static int update_ref(const struct vk_proc_opts *git, const char *ref, const char *old,
	const char *new, struct vk_err *err)
{
	const char *const argv[] = {"git", "-c", "core.fsync=all", "update-ref", "--end-of-options",
		ref, new, old, NULL};
	return run_git(git, argv, NULL, err);
}

/* The commit that ref has: false = none. */
static bool branch_at(const struct vk_proc_opts *git, const char *ref, struct vk_buf *ret)
{
	const char *const ask[] = {
		"git", "rev-parse", "--verify", "--quiet", "--end-of-options", ref, NULL};
	if (run_git(git, ask, ret, NULL) != 0 || ret->len == 0)
		return false;
	ret->data[--ret->len] = '\0'; /* the line's end */
	return true;
}

static bool is_part_of(const struct vk_proc_opts *git, const char *commit, const char *of)
{
	const char *const contains[] = {"git", "merge-base", "--is-ancestor", commit, of, NULL};
	return vk_streq(commit, of) || run_git(git, contains, NULL, NULL) == 0;
}

int vk_repo_may_move(const struct vk_proc_opts *git, const char *ref, const char *coming,
	const char *old, const char *new, struct vk_err *err)
{
	vk_autobuf now = VK_BUF_INIT(256);
	const char *at = coming;
	if (at == NULL)
		at = branch_at(git, ref, &now) ? now.data : old;
	if (strcmp(at, old) == 0 || is_part_of(git, at, new))
		return 0;
	vk_err_set(
		err, VK_CONFLICT, "while this push waited %s got commits that are not in it", ref);
	return vk_err_hint(err, "git pull, then git push again");
}

int vk_repo_move_ref(const struct vk_proc_opts *git, const char *ref, const char *old,
	const char *new, struct vk_err *err)
{
	vk_autobuf at = VK_BUF_INIT(256);
	int rc = update_ref(git, ref, old, new, err);
	if (rc == 0 || !branch_at(git, ref, &at) || strcmp(at.data, old) == 0)
		return rc;
	if (strcmp(at.data, new) == 0)
		return 0;
	if (is_part_of(git, at.data, new))
		return update_ref(git, ref, at.data, new, err);
	vk_err_set(err, VK_CONFLICT,
		"the release stands, but %s has commits by now that are not in it", ref);
	return vk_err_hint(err, "git pull, then git push again");
}
