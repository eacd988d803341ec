#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "cond.h"
#include "path.h"
#include "types.h"

static void text_page(struct vk_req *r, int status, const char *text)
{
	vk_req_header_add(r, "Cache-Control", "no-store");
	vk_req_header_add(r, "X-Content-Type-Options", "nosniff");
	vk_req_bytes(r, status, "text/plain; charset=utf-8", text, strlen(text));
}

/* The kernel itself refuses to leave `dir`, whatever links lie below it. */
static int open_below(int dir, const char *rel, int flags)
{
	struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	return (int)syscall(SYS_openat2, dir, rel, &how, sizeof(how));
}

static int open_site(const struct serve *s, const struct site *site)
{
	vk_autofree char *rel = vk_asprintf("%s/%s/%s", site->stack, site->node, site->commit);
	return open_below(s->root, rel, O_PATH | O_DIRECTORY);
}

/* *ret_kind: S_IFREG or S_IFDIR of what was opened. Anything else is not there for us. */
static int open_entry(int dir, const char *rel, struct stat *st)
{
	int fd = open_below(dir, rel, O_RDONLY | O_NONBLOCK | O_NOCTTY); /* a FIFO would hang */
	if (fd < 0)
		return -1;
	if (fstat(fd, st) == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)))
		return fd;
	close(fd);
	return -1;
}

static void not_found(int dir, struct vk_req *r)
{
	struct stat st;
	int fd = open_entry(dir, "404.html", &st);
	if (fd >= 0 && S_ISREG(st.st_mode)) {
		vk_req_header_add(r, "Cache-Control", "no-store");
		vk_req_header_add(r, "X-Content-Type-Options", "nosniff");
		vk_req_file(r, 404, type_of("404.html"), fd, 0, (uint64_t)st.st_size);
		return;
	}
	vk_closep(&fd);
	text_page(r, 404, "404: this site has no such page\n");
}

/* A file of a commit never changes, so commit and size name its content; the URL is the rest. */
static void make_etag(const struct site *site, uint64_t size, char out[static 64])
{
	snprintf(out, 64, "\"%.16s-%llx\"", site->commit, (unsigned long long)size);
}

static void send_file(
	struct vk_req *r, const struct site *site, const char *name, int fd, uint64_t size)
{
	char etag[64], range[96];
	uint64_t off = 0, len = size;
	make_etag(site, size, etag);
	vk_req_header_add(r, "ETag", etag);
	vk_req_header_add(r, "Cache-Control", "public, max-age=0, must-revalidate");
	vk_req_header_add(r, "X-Content-Type-Options", "nosniff");
	if (cond_none_match(vk_req_header(r, "If-None-Match"), etag)) {
		close(fd);
		vk_req_bytes(r, 304, NULL, "", 0);
		return;
	}
	vk_req_header_add(r, "Accept-Ranges", "bytes");
	const char *if_range = vk_req_header(r, "If-Range"), *wanted = vk_req_header(r, "Range");
	if (!vk_streq(vk_req_method(r), "GET") || (if_range != NULL && strcmp(if_range, etag) != 0))
		wanted = NULL;
	enum range_kind kind = range_parse(wanted, size, &off, &len);
	if (kind == RANGE_ALL) {
		vk_req_file(r, 200, type_of(name), fd, 0, size);
		return;
	}
	if (kind == RANGE_UNSATISFIABLE) {
		close(fd);
		snprintf(range, sizeof(range), "bytes */%llu", (unsigned long long)size);
		vk_req_header_add(r, "Content-Range", range);
		vk_req_bytes(r, 416, NULL, "", 0);
		return;
	}
	snprintf(range, sizeof(range), "bytes %llu-%llu/%llu", (unsigned long long)off,
		(unsigned long long)(off + len - 1), (unsigned long long)size);
	vk_req_header_add(r, "Content-Range", range);
	vk_req_file(r, 206, type_of(name), fd, off, len);
}

static void redirect_to_directory(struct vk_req *r, const struct site_path *p)
{
	char location[PATH_LOCATION_MAX];
	site_path_location(p, location);
	vk_req_header_add(r, "Location", location);
	text_page(r, 301, "This is a directory.\n");
}

static void send_path(struct vk_req *r, const struct site *site, int dir, const struct site_path *p)
{
	struct stat st;
	vk_autofree char *index = vk_asprintf("%s/index.html", p->rel);
	const char *name = p->rel;
	vk_autoclose int fd = open_entry(dir, name, &st);
	if (fd >= 0 && S_ISDIR(st.st_mode)) {
		close(VK_TAKE_FD(fd));
		fd = open_entry(dir, index, &st);
		name = index;
		if (fd >= 0 && S_ISREG(st.st_mode) && !p->dir) {
			redirect_to_directory(r, p);
			return;
		}
	} else if (p->dir) {
		vk_closep(&fd);
		fd = -1;
	}
	if (fd < 0 || !S_ISREG(st.st_mode)) {
		not_found(dir, r);
		return;
	}
	send_file(r, site, name, VK_TAKE_FD(fd), (uint64_t)st.st_size);
}

static bool peer_allowed(const struct serve *s, const struct vk_req *r)
{
	uid_t uid = (uid_t)-1;
	vk_req_peer(r, &uid, NULL);
	bool named = uid == s->allowed[0] || uid == s->allowed[1];
	return uid == 0 || uid == getuid() || (uid != (uid_t)-1 && named);
}

/* haproxy sets X-Viking-Site to the name it routed by, and removes a client's. */
static const struct site *site_of(const struct serve *s, const struct vk_req *r)
{
	const char *host = vk_req_header(r, "X-Viking-Site");
	return sites_find(s->sites, host != NULL ? host : vk_req_header(r, "Host"));
}

void serve_request(const struct serve *s, struct vk_req *r)
{
	struct site_path p;
	const char *method = vk_req_method(r);
	if (!peer_allowed(s, r)) {
		text_page(r, 403, "403: not for this user\n");
		return;
	}
	const struct site *site = site_of(s, r);
	if (site == NULL) {
		text_page(r, 404, "404: no website has this host name\n");
		return;
	}
	if (!vk_streq(method, "GET") && !vk_streq(method, "HEAD")) {
		vk_req_header_add(r, "Allow", "GET, HEAD");
		text_page(r, 405, "405: a website is read only\n");
		return;
	}
	vk_autoclose int dir = open_site(s, site);
	if (dir < 0) {
		vk_req_header_add(r, "Retry-After", "5");
		text_page(r, 503, "503: the files of this website are not here yet\n");
		return;
	}
	if (site_path_parse(vk_req_path(r), &p))
		send_path(r, site, dir, &p);
	else
		not_found(dir, r);
}
