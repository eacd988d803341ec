/* `context`: what a build of a directory would get, by the rules that hold for a commit. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/str.h>

#include "dockerignore.h"
#include "export.h"

struct level {
	struct vk_strv names; /* sorted */
	size_t at, path_len;
};

struct listing {
	const struct export *x;
	const char *dir;
	struct dockerignore *ignore;
	const char *ignore_name;
	struct level *levels;
	size_t depth;
	char path[TREE_PATH_MAX + 1];
	json_t *files;
	uint64_t kept, dropped, total;
};

/* A repository's own .git is never part of a commit; any other directory of that name is plain
 * data. */
static bool is_repository(const struct listing *l)
{
	vk_autofree char *head = vk_asprintf("%s/.git/HEAD", l->dir);
	vk_autofree char *link = vk_asprintf("%s/.git", l->dir);
	struct stat st;
	return vk_fs_exists(head) || (stat(link, &st) == 0 && S_ISREG(st.st_mode));
}

static int push_level(struct listing *l, size_t path_len, struct vk_err *err)
{
	if (l->depth > l->x->config->tree_depth_max)
		return vk_err_set(err, VK_LIMIT, "deeper than %llu directories (receive.max_depth)",
			(unsigned long long)l->x->config->tree_depth_max);
	vk_autofree char *full = vk_asprintf("%s/%.*s", l->dir, (int)path_len, l->path);
	DIR *d = opendir(full);
	if (d == NULL)
		return vk_err_errno(err, errno, "%s", full);
	struct level new = {.path_len = path_len};
	bool skip_git = path_len == 0 && is_repository(l);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			!(skip_git && strcmp(e->d_name, ".git") == 0))
			vk_strv_add(&new.names, e->d_name);
	closedir(d);
	vk_strv_sort(&new.names);
	l->levels = vk_reallocarray(l->levels, l->depth + 1, sizeof(new));
	l->levels[l->depth++] = new;
	return 0;
}

/* The Dockerfile is always sent: it is what is built. */
static bool is_dropped(const struct listing *l)
{
	return strcmp(l->path, "Dockerfile") != 0 && dockerignore_drops(l->ignore, l->path);
}

static int list_entry(struct listing *l, struct vk_err *err)
{
	struct stat st;
	vk_autofree char *full = vk_asprintf("%s/%s", l->dir, l->path);
	if (lstat(full, &st) != 0)
		return vk_err_errno(err, errno, "%s", l->path);
	bool dropped = is_dropped(l);
	if (S_ISDIR(st.st_mode)) {
		size_t n = strlen(l->path);
		if (dropped && !dockerignore_enters(l->ignore, l->path))
			return 0;
		l->path[n] = '/';
		return push_level(l, n + 1, err);
	}
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return 0; /* git knows no others */
	if (dropped) {
		l->dropped++;
		return 0;
	}
	uint64_t size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	l->kept++;
	l->total += size;
	if (l->kept > l->x->config->tree_files_max)
		return vk_err_set(err, VK_LIMIT, "more than %llu files (receive.max_files)",
			(unsigned long long)l->x->config->tree_files_max);
	json_t *file = json_object();
	json_object_set_new(file, "path", vk_json_safe_string(l->path, strlen(l->path)));
	json_object_set_new(file, "size", json_integer((json_int_t)size));
	json_array_append_new(l->files, file);
	return 0;
}

static int walk(struct listing *l, struct vk_err *err)
{
	int rc = push_level(l, 0, err);
	while (rc == 0 && l->depth > 0) {
		struct level *top = &l->levels[l->depth - 1];
		if (top->at == top->names.n) {
			vk_strv_release(&top->names);
			l->depth--;
			continue;
		}
		const char *name = top->names.v[top->at++];
		size_t n = strlen(name);
		if (top->path_len + n + 1 > TREE_PATH_MAX)
			return vk_err_set(
				err, VK_LIMIT, "a path is longer than %d bytes", TREE_PATH_MAX);
		memcpy(l->path + top->path_len, name, n + 1);
		rc = list_entry(l, err);
	}
	return rc;
}

static int read_ignore(struct listing *l, struct vk_err *err)
{
	static const char *const names[] = {"Dockerfile.dockerignore", ".dockerignore"};
	for (size_t i = 0; i < VK_COUNT(names); i++) {
		vk_autofree char *path = vk_asprintf("%s/%s", l->dir, names[i]);
		vk_autobuf text = VK_BUF_INIT(DOCKERIGNORE_MAX + 1);
		int rc = vk_fs_read(path, &text, err);
		if (rc == VK_NOTFOUND)
			continue;
		l->ignore_name = names[i];
		return rc == 0
			? dockerignore_parse(vk_buf_str(&text), text.len, names[i], &l->ignore, err)
			: rc;
	}
	return 0;
}

static int show(const struct listing *l, struct vk_err *err)
{
	if (l->x->json) {
		vk_autojson *j = json_object();
		json_object_set(j, "files", l->files);
		json_object_set_new(j, "count", json_integer((json_int_t)l->kept));
		json_object_set_new(j, "total", json_integer((json_int_t)l->total));
		json_object_set_new(j, "dropped", json_integer((json_int_t)l->dropped));
		json_object_set_new(j, "dockerignore",
			l->ignore_name != NULL ? json_string(l->ignore_name) : json_null());
		return export_print_json(j, err);
	}
	char total[24];
	size_t i;
	json_t *file;
	json_array_foreach(l->files, i, file) printf("%10lld  %s\n",
		(long long)vk_json_int(file, "size", 0), vk_json_str(file, "path", ""));
	vk_format_size(l->total, total);
	printf("=====> %llu files, %s\n", (unsigned long long)l->kept, total);
	if (l->ignore_name != NULL)
		printf("       %llu files left out by %s (what lies in directories left out is not "
		       "counted)\n",
			(unsigned long long)l->dropped, l->ignore_name);
	return fflush(stdout) == 0
		? 0
		: vk_err_set(err, VK_INTERNAL, "standard output cannot be written");
}

int export_context(struct export *x, struct vk_err *err)
{
	static const struct export_limits limits = {
		.deadline_s = 30, .cpu_s = 35, .memory = 1ull << 30};
	const char *dir = x->path != NULL ? x->path : ".";
	struct listing l = {.x = x, .dir = dir, .files = json_array()};
	int rc = export_confine(x, &limits, dir, NULL, NULL, err);
	if (rc == 0)
		rc = read_ignore(&l, err);
	if (rc == 0)
		rc = walk(&l, err);
	if (rc == 0)
		rc = show(&l, err);
	while (l.depth > 0)
		vk_strv_release(&l.levels[--l.depth].names);
	free(l.levels);
	json_decref(l.files);
	dockerignore_free(l.ignore);
	return rc;
}
