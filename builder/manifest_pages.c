/*
 * A node's own pages for what HAProxy answers in its place: 502, 503 and 504, files of the commit. In the document
 *	"error_pages": {"503": {"path": "errors/503.html", "text": "..."}}
 * text once the repository's files are known.
 */
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "manifest_parse.h"

#define PAGE_MAX 8192 /* bytes: HAProxy keeps a page in one buffer of 16 KiB */

int mnode_error_pages(const struct mval *v, json_t *node, struct vk_err *err)
{
	vk_autojson *pages = json_object();
	int rc = mval_map(v, err);
	for (size_t i = 0; rc == 0 && i < v->y->n; i++) {
		struct mval item = {v->m, v->y->items[i], v->what};
		const char *status = v->y->keys[i].name, *text;
		vk_autofree char *path = NULL;
		if (strcmp(status, "502") != 0 && strcmp(status, "503") != 0 &&
			strcmp(status, "504") != 0)
			return mval_error(&item, err,
				"\"%.40s\" is none of 502, 503 and 504: other answers are the "
				"node's own",
				status);
		rc = mval_text(&item, 1024, &text, err);
		if (rc == 0 && manifest_path(text, &path, err) != 0)
			return mval_wrap(&item, err);
		if (rc == 0)
			json_object_set_new(pages, status, json_pack("{s:s}", "path", path));
	}
	if (rc == 0 && json_object_size(pages) > 0)
		json_object_set(node, "error_pages", pages);
	return rc;
}

int manifest_page_read(const struct manifest_files *files, json_t *page, struct vk_err *err)
{
	const char *path = vk_json_str(page, "path", "");
	vk_autobuf text = VK_BUF_INIT(PAGE_MAX + 1);
	int rc = files->read(files->arg, path, &text, err);
	if (rc == VK_LIMIT || (rc == 0 && text.len > PAGE_MAX))
		return vk_err_set(err, VK_LIMIT, "error_pages: %s is larger than %d KiB", path,
			PAGE_MAX / 1024);
	if (rc == VK_NOTFOUND)
		return vk_err_set(err, VK_INVALID,
			"error_pages: there is no file \"%s\" in the repository", path);
	if (rc != 0)
		return rc;
	json_t *value = json_stringn(vk_buf_str(&text), text.len);
	if (value == NULL)
		return vk_err_set(err, VK_INVALID, "error_pages: %s is not UTF-8", path);
	json_object_set_new(page, "text", value);
	return 0;
}
