#include <viking/repo.h>

#include <dirent.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#define ID_MAX 128

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
