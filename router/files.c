#include "files.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>

#include "answers.h"
#include "mapfile.h"

void files_init(struct files *f, const struct render_settings *s)
{
	f->settings = s;
	f->cfg = vk_asprintf("%s/haproxy.cfg", s->route_dir);
	f->candidate = vk_asprintf("%s/haproxy.cfg.check", s->route_dir);
	for (size_t i = 0; i < MAPS; i++) {
		f->maps[i] = vk_asprintf("%s/%s", s->route_dir, map_names[i]);
		f->sorted[i] = SIZE_MAX;
	}
	f->assign = vk_asprintf("%s/assign.json", s->route_dir);
	f->certs = vk_asprintf("%s/certs.list", s->route_dir);
	f->cert_dir = vk_asprintf("%s/certs", s->route_dir);
	f->page_dir = vk_asprintf("%s/pages", s->route_dir);
}

void files_release(struct files *f)
{
	free(f->cfg);
	free(f->candidate);
	for (size_t i = 0; i < MAPS; i++)
		free(f->maps[i]);
	free(f->assign);
	free(f->certs);
	free(f->cert_dir);
	free(f->page_dir);
}

void files_render(const struct files *f, const struct model *m, struct vk_buf *out)
{
	render_head(f->settings, out);
	render_backends(f->settings, m, out);
}

int files_put(const char *path, const struct vk_buf *text, bool *ret_changed, struct vk_err *err)
{
	vk_autobuf was = VK_BUF_INIT(FILES_MAX);
	bool same = vk_fs_read(path, &was, NULL) == 0 && was.len == text->len &&
		(was.len == 0 || memcmp(was.data, text->data, was.len) == 0);
	if (ret_changed != NULL)
		*ret_changed = !same;
	return same ? 0 : vk_fs_replace(path, vk_buf_str(text), text->len, 0600, err);
}

static int put_map(struct files *f, enum map_id id, const struct routes *r, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(FILES_MAX);
	render_map(r, &text);
	int rc = files_put(f->maps[id], &text, NULL, err);
	f->sorted[id] = rc == 0 ? text.len : SIZE_MAX;
	return rc;
}

int files_put_maps(struct files *f, const struct model *m, struct vk_err *err)
{
	int rc = 0;
	for (enum map_id i = 0; i < MAPS && rc == 0; i++)
		rc = put_map(f, i, &m->maps[i], err);
	vk_autobuf certs = VK_BUF_INIT(FILES_MAX);
	for (size_t i = 0; i < m->certs.n; i++) {
		vk_autofree char *path = files_cert(f, m->certs.v[i].key);
		render_cert(path, m->certs.v[i].value, &certs);
	}
	return rc == 0 ? files_put(f->certs, &certs, NULL, err) : rc;
}

int files_change_maps(
	struct files *f, const struct model *m, const struct change *c, struct vk_err *err)
{
	int rc = 0;
	for (enum map_id i = 0; i < MAPS && rc == 0; i++) {
		const struct vk_strv *keys = &c->keys[i];
		if (keys->n == 0)
			continue;
		rc = i == MAP_SUFFIXES || f->sorted[i] == SIZE_MAX
			? VK_LIMIT
			: mapfile_change(f->maps[i], f->sorted[i], keys, &m->maps[i], err);
		if (rc != 0)
			rc = put_map(f, i, &m->maps[i], err);
	}
	return rc;
}

char *files_cert(const struct files *f, const char *id)
{
	return vk_asprintf("%s/%s.pem", f->cert_dir, id);
}

char *files_page(const struct files *f, const char *id)
{
	return vk_asprintf("%s/%.24s.http", f->page_dir, id);
}

char *files_pages_there(const struct files *f, const char *pages)
{
	vk_autobuf there = VK_BUF_INIT(256);
	vk_autofree char *copy = vk_strdup(pages);
	char *rest = copy;
	for (char *page; copy != NULL && (page = strsep(&rest, " ")) != NULL;) {
		vk_autofree char *path = files_page(f, page + 4);
		if (vk_fs_exists(path))
			vk_buf_addf(&there, "%s%s", there.len > 0 ? " " : "", page);
	}
	return there.len > 0 ? vk_buf_take(&there) : NULL;
}

static bool page_used(const struct assign *a, const char *id)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->rows[i].pages != NULL && strstr(a->rows[i].pages, id) != NULL)
			return true;
	return false;
}

void files_sweep_pages(const struct files *f, const struct assign *a)
{
	DIR *dir = opendir(f->page_dir);
	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
		vk_autofree char *id = vk_strndup(e->d_name, strcspn(e->d_name, "."));
		if (e->d_name[0] != '.' && !page_used(a, id))
			unlinkat(dirfd(dir), e->d_name, 0);
	}
	if (dir != NULL)
		closedir(dir);
}

void files_sweep_certs(const struct files *f, const struct model *m)
{
	DIR *dir = opendir(f->cert_dir);
	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
		size_t n = strlen(e->d_name);
		if (e->d_name[0] == '.' || n < 5)
			continue;
		vk_autofree char *id = vk_strndup(e->d_name, n - 4);
		if (routes_find(&m->certs, id) == NULL)
			unlinkat(dirfd(dir), e->d_name, 0);
	}
	if (dir != NULL)
		closedir(dir);
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
	for (unsigned i = 0; i < ret->n; i++) {
		char *there = files_pages_there(f, ret->rows[i].pages);
		free(ret->rows[i].pages);
		ret->rows[i].pages = there;
	}
}

static void get_map(const char *path, enum map_id id, unsigned backends, struct routes *ret)
{
	vk_autobuf b = VK_BUF_INIT(FILES_MAX);
	struct routes all = {0};
	if (vk_fs_read(path, &b, NULL) != 0)
		return;
	answer_map(vk_buf_str(&b), false, &all);
	for (size_t i = 0; i < all.n; i++) {
		unsigned to;
		bool leads = id <= MAP_PATHS && route_backend(all.v[i].value, &to);
		if (!leads || to <= backends)
			routes_add(ret, all.v[i].key, all.v[i].value);
	}
	routes_release(&all);
}

static void get_certs(const struct files *f, struct routes *ret)
{
	vk_autobuf b = VK_BUF_INIT(FILES_MAX);
	struct routes all = {0};
	if (vk_fs_read(f->certs, &b, NULL) != 0)
		return;
	answer_certs(vk_buf_str(&b), &all);
	for (size_t i = 0; i < all.n; i++) {
		vk_autofree char *path = files_cert(f, all.v[i].key);
		if (vk_fs_exists(path))
			routes_add(ret, all.v[i].key, all.v[i].value);
	}
	routes_release(&all);
}

void files_get_maps(const struct files *f, struct model *m)
{
	if (f->settings->https_port != 0)
		get_certs(f, &m->certs);
	for (enum map_id i = 0; i < MAPS; i++) {
		get_map(f->maps[i], i, m->n, &m->maps[i]);
		routes_sort(&m->maps[i], i);
	}
}

bool files_same_head(const struct files *f)
{
	vk_autobuf head = VK_BUF_INIT(65536), was = VK_BUF_INIT(FILES_MAX);
	render_head(f->settings, &head);
	return vk_fs_read(f->cfg, &was, NULL) == 0 && was.len >= head.len &&
		memcmp(was.data, head.data, head.len) == 0;
}
