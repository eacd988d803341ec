#include "pages.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/str.h>

#define PAGE_MAX 4096

const struct page pages[] = {
	{"400", 400, "Bad Request", "Bad request", "The request was not valid HTTP."},
	{"403", 403, "Forbidden", "Not for you", "This address is not allowed to see this."},
	{"404", 404, "Not Found", "Nothing is served here",
		"No application or website has this host name."},
	{"404-text", 404, "Not Found", NULL, "404: no application or website has this host name"},
	{"404-path", 404, "Not Found", "Nothing is served here",
		"No application or website of this host has this path."},
	{"404-path-text", 404, "Not Found", NULL,
		"404: no application or website of this host has this path"},
	{"408", 408, "Request Timeout", "Request time-out", "The request took too long to arrive."},
	{"413", 413, "Content Too Large", "Too large",
		"The request is larger than this server takes."},
	{"500", 500, "Internal Server Error", "Internal error",
		"The server failed to handle the request."},
	{"502", 502, "Bad Gateway", "Bad answer",
		"The application closed the connection or gave no valid answer."},
	{"503", 503, "Service Unavailable", "Not available just now",
		"No instance of this application is ready. Try again in a moment."},
	{"504", 504, "Gateway Timeout", "No answer in time",
		"The application did not answer in time."},
	{NULL, 0, NULL, NULL, NULL},
};

static void page_body(const struct page *p, struct vk_buf *out)
{
	if (p->title == NULL) {
		vk_buf_addf(out, "%s\n", p->text);
		return;
	}
	/* the first line is for who reads the source: curl */
	vk_buf_addf(out,
		"<!-- %d: %s -->\n<!doctype html>\n<html lang=\"en\">\n<head>\n<meta "
		"charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width\">\n<title>%d "
		"%s</title>\n<style>\n"
		"body { margin: 20vh auto 0; max-width: 30em; padding: 0 1.5em; color: #333;\n"
		"  font: 1em/1.5 system-ui, sans-serif; }\n"
		"p.s { color: #888; font-size: 0.9em; }\n"
		"@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd; } "
		"}\n"
		"</style>\n</head>\n<body>\n<h1>%s</h1>\n<p>%s</p>\n<p "
		"class=\"s\">%d</p>\n</body>\n</html>\n",
		p->status, p->text, p->status, p->title, p->title, p->text, p->status);
}

static void page_head(
	int status, const char *reason, const char *type, size_t length, struct vk_buf *out)
{
	vk_buf_addf(out,
		"HTTP/1.1 %d %s\r\nContent-Type: %s; charset=utf-8\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\n%s%s\r\n",
		status, reason, type, length, status == 503 ? "Retry-After: 5\r\n" : "",
		status == 404 || status == 503 ? "" : "Connection: close\r\n");
}

void page_render(const struct page *p, struct vk_buf *out)
{
	vk_autobuf body = VK_BUF_INIT(PAGE_MAX);
	page_body(p, &body);
	page_head(
		p->status, p->reason, p->title != NULL ? "text/html" : "text/plain", body.len, out);
	vk_buf_add(out, body.data, body.len);
}

int page_custom(int status, const char *text, struct vk_buf *out)
{
	const struct page *p = pages;
	while (p->name != NULL && p->status != status)
		p++;
	page_head(status, p->name != NULL ? p->reason : "Error", "text/html", strlen(text), out);
	return vk_buf_adds(out, text);
}

int pages_write_hold(const char *dir, struct vk_err *err)
{
	vk_autobuf now = VK_BUF_INIT(PAGE_MAX), was = VK_BUF_INIT(PAGE_MAX);
	vk_autofree char *path = vk_asprintf("%s/hold.lua", dir);
	vk_buf_addf(&now,
		"local policies = Map.new('%s/policies.map', Map._str)\n"
		"core.register_action('hold', { 'http-req' }, function(txn)\n"
		"\tlocal policy = txn:get_var('txn.policy')\n"
		"\tlocal left = tonumber(txn:get_var('txn.hold')) or 0\n"
		"\twhile left > 0 and policies:lookup(policy) ~= nil do\n"
		"\t\tcore.msleep(25)\n"
		"\t\tleft = left - 25\n"
		"\tend\n"
		"end)\n",
		dir);
	if (vk_fs_read(path, &was, NULL) == 0 && vk_streq(vk_buf_str(&was), vk_buf_str(&now)))
		return 0;
	return vk_fs_write_atomic(path, now.data, now.len, 0600, err);
}

int pages_write(const char *dir, struct vk_err *err)
{
	for (const struct page *p = pages; p->name != NULL; p++) {
		vk_autobuf now = VK_BUF_INIT(PAGE_MAX * 2), was = VK_BUF_INIT(PAGE_MAX * 2);
		vk_autofree char *path = vk_asprintf("%s/%s.http", dir, p->name);
		page_render(p, &now);
		if (vk_fs_read(path, &was, NULL) == 0 &&
			vk_streq(vk_buf_str(&was), vk_buf_str(&now)))
			continue;
		int rc = vk_fs_write_atomic(path, now.data, now.len, 0600, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}
