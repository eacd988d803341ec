#include "files.h"

#include <stdlib.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/json.h>

#include "answers.h"

void files_init(struct files *f, const struct render_settings *s)
{
	f->settings = s;
	f->cfg = vk_asprintf("%s/haproxy.cfg", s->route_dir);
	f->candidate = vk_asprintf("%s/haproxy.cfg.check", s->route_dir);
	f->hosts = vk_asprintf("%s/hosts.map", s->route_dir);
	f->suffixes = vk_asprintf("%s/suffix.map", s->route_dir);
	f->assign = vk_asprintf("%s/assign.json", s->route_dir);
}

void files_release(struct files *f)
{
	free(f->cfg);
	free(f->candidate);
	free(f->hosts);
	free(f->suffixes);
	free(f->assign);
}

void files_render(const struct files *f, const struct model *m, struct vk_buf *out)
{
	render_head(f->settings, out);
	render_backends(m, out);
}

int files_put(const char *path, const struct vk_buf *text, bool *ret_changed, struct vk_err *err)
{
	vk_autobuf was = VK_BUF_INIT(FILES_MAX);
	bool same = vk_fs_read(path, &was, NULL) == 0 && was.len == text->len &&
		(was.len == 0 || memcmp(was.data, text->data, was.len) == 0);
	if (ret_changed != NULL)
		*ret_changed = !same;
	return same ? 0 : vk_fs_write_atomic(path, vk_buf_str(text), text->len, 0600, err);
}

int files_put_maps(const struct files *f, const struct model *m, struct vk_err *err)
{
	vk_autobuf hosts = VK_BUF_INIT(FILES_MAX), suffixes = VK_BUF_INIT(FILES_MAX);
	render_map(&m->hosts, &hosts);
	render_map(&m->suffixes, &suffixes);
	int rc = files_put(f->hosts, &hosts, NULL, err);
	return rc != 0 ? rc : files_put(f->suffixes, &suffixes, NULL, err);
}

int files_put_assign(const struct files *f, const struct assign *a, struct vk_err *err)
{
	vk_autojson *j = assign_json(a);
	vk_autobuf b = VK_BUF_INIT(FILES_MAX);
	vk_autofree char *text = vk_json_text(j);
	vk_buf_addf(&b, "%s\n", text);
	return files_put(f->assign, &b, NULL, err);
}

void files_get_assign(const struct files *f, struct assign *ret, bool *ret_fresh)
{
	vk_autobuf b = VK_BUF_INIT(FILES_MAX);
	vk_autojson *j = NULL;
	*ret_fresh = vk_fs_read(f->assign, &b, NULL) != 0 ||
		vk_json_parse_max(vk_buf_str(&b), b.len, FILES_MAX, &j, NULL) != 0 ||
		assign_parse(j, ret, NULL) != 0;
	if (*ret_fresh)
		assign_init(ret);
}

static void get_map(const char *path, unsigned backends, struct routes *ret)
{
	vk_autobuf b = VK_BUF_INIT(FILES_MAX);
	struct routes all = {0};
	if (vk_fs_read(path, &b, NULL) != 0)
		return;
	answer_map(vk_buf_str(&b), false, &all);
	for (size_t i = 0; i < all.n; i++)
		if (all.v[i].backend <= backends)
			routes_add(ret, all.v[i].key, all.v[i].backend);
	routes_release(&all);
}

void files_get_maps(const struct files *f, struct model *m)
{
	get_map(f->hosts, m->n, &m->hosts);
	get_map(f->suffixes, m->n, &m->suffixes);
	routes_sort_hosts(&m->hosts);
	routes_sort_suffixes(&m->suffixes);
}

bool files_same_head(const struct files *f)
{
	vk_autobuf head = VK_BUF_INIT(65536), was = VK_BUF_INIT(FILES_MAX);
	render_head(f->settings, &head);
	return vk_fs_read(f->cfg, &was, NULL) == 0 && was.len >= head.len &&
		memcmp(was.data, head.data, head.len) == 0;
}
