#include "tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/mem.h>

#define BLOCK  512
#define BUFFER (1024 * 1024)

struct tar {
	int fd;
	unsigned uid, gid;
	size_t used;
	char buffer[BUFFER];
};

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

struct tar *tar_new(int fd)
{
	struct tar *t = vk_alloc(sizeof(*t));
	t->fd = fd;
	return t;
}

void tar_free(struct tar *t)
{
	free(t);
}

void tar_own(struct tar *t, unsigned uid, unsigned gid)
{
	t->uid = uid;
	t->gid = gid;
}

static int flush(struct tar *t, struct vk_err *err)
{
	size_t n = t->used;
	t->used = 0;
	return n > 0 ? vk_write_all(t->fd, t->buffer, n, err) : 0;
}

static int put(struct tar *t, const void *p, size_t n, struct vk_err *err)
{
	if (n > BUFFER - t->used) {
		int rc = flush(t, err);
		if (rc != 0)
			return rc;
		if (n > BUFFER)
			return vk_write_all(t->fd, p, n, err);
	}
	memcpy(t->buffer + t->used, p, n);
	t->used += n;
	return 0;
}

/* Contents are filled up to a whole block. */
static int put_padded(struct tar *t, const void *p, size_t n, struct vk_err *err)
{
	static const char zeros[BLOCK];
	int rc = put(t, p, n, err);
	return rc == 0 && n % BLOCK != 0 ? put(t, zeros, BLOCK - n % BLOCK, err) : rc;
}

static void octal(char *field, size_t width, uint64_t value)
{
	for (size_t i = width - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
	field[width - 1] = '\0';
}

static void fill(const struct tar *t, struct header *h, char type, unsigned mode, uint64_t size)
{
	memset(h, 0, sizeof(*h));
	octal(h->mode, sizeof(h->mode), mode);
	octal(h->uid, sizeof(h->uid), t->uid);
	octal(h->gid, sizeof(h->gid), t->gid);
	octal(h->size, sizeof(h->size), size);
	octal(h->mtime, sizeof(h->mtime), TAR_MTIME);
	octal(h->major, sizeof(h->major), 0);
	octal(h->minor, sizeof(h->minor), 0);
	h->type = type;
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
}

static int put_header(struct tar *t, struct header *h, struct vk_err *err)
{
	const unsigned char *bytes = (const unsigned char *)h;
	unsigned sum = 0;
	memset(h->checksum, ' ', sizeof(h->checksum));
	for (size_t i = 0; i < sizeof(*h); i++)
		sum += bytes[i];
	octal(h->checksum, 7, sum);
	return put(t, h, sizeof(*h), err);
}

/* The name in one field, or cut at a slash into prefix and name. */
static bool set_name(struct header *h, const char *path, size_t n)
{
	if (n <= sizeof(h->name)) {
		memcpy(h->name, path, n);
		return true;
	}
	if (n > sizeof(h->prefix) + 1 + sizeof(h->name))
		return false;
	for (size_t cut = n - sizeof(h->name) - 1; cut <= sizeof(h->prefix) && cut + 1 < n; cut++) {
		if (cut == 0 || path[cut] != '/')
			continue;
		memcpy(h->prefix, path, cut);
		memcpy(h->name, path + cut + 1, n - cut - 1);
		return true;
	}
	return false;
}

/* "LENGTH key=value\n", where LENGTH counts its own digits. */
static void pax_record(struct vk_buf *b, const char *key, const char *value, size_t n)
{
	size_t rest = strlen(key) + n + 3, total = rest + 1;
	char digits[24];
	while ((size_t)snprintf(digits, sizeof(digits), "%zu", total) + rest != total)
		total++;
	vk_buf_addf(b, "%zu %s=", total, key);
	vk_buf_add(b, value, n);
	vk_buf_addc(b, '\n');
}

static int put_pax(struct tar *t, const struct vk_buf *records, struct vk_err *err)
{
	struct header h;
	fill(t, &h, 'x', 0644, records->len);
	memcpy(h.name, "pax", 3);
	int rc = put_header(t, &h, err);
	return rc == 0 ? put_padded(t, vk_buf_str(records), records->len, err) : rc;
}

static int entry(struct tar *t, struct header *h, const char *path, size_t path_len,
	const char *link, size_t link_len, struct vk_err *err)
{
	vk_autobuf pax = VK_BUF_INIT(64 * 1024);
	if (!set_name(h, path, path_len)) {
		memcpy(h->name, path, sizeof(h->name) - 1);
		pax_record(&pax, "path", path, path_len);
	}
	if (link_len <= sizeof(h->link)) {
		memcpy(h->link, link, link_len);
	} else {
		memcpy(h->link, link, sizeof(h->link) - 1);
		pax_record(&pax, "linkpath", link, link_len);
	}
	int rc = pax.len > 0 ? put_pax(t, &pax, err) : 0;
	return rc == 0 ? put_header(t, h, err) : rc;
}

int tar_file(struct tar *t, const char *path, bool executable, const void *data, size_t n,
	struct vk_err *err)
{
	struct header h;
	if (n >> 33 != 0) /* eleven octal digits */
		return vk_err_set(err, VK_LIMIT, "%s is too large for a tar header", path);
	fill(t, &h, '0', executable ? 0755 : 0644, n);
	int rc = entry(t, &h, path, strlen(path), "", 0, err);
	return rc == 0 ? put_padded(t, data, n, err) : rc;
}

int tar_dir(struct tar *t, const char *path, struct vk_err *err)
{
	struct header h;
	vk_autofree char *name = vk_asprintf("%s/", path);
	fill(t, &h, '5', 0755, 0);
	return entry(t, &h, name, strlen(name), "", 0, err);
}

int tar_link(struct tar *t, const char *path, const char *target, size_t n, struct vk_err *err)
{
	struct header h;
	fill(t, &h, '2', 0777, 0);
	return entry(t, &h, path, strlen(path), target, n, err);
}

int tar_end(struct tar *t, struct vk_err *err)
{
	static const char zeros[2 * BLOCK];
	int rc = put(t, zeros, sizeof(zeros), err);
	return rc == 0 ? flush(t, err) : rc;
}

int tar_spoil(struct tar *t, int rc)
{
	char block[BLOCK];
	memset(block, 'x', sizeof(block)); /* no checksum fits it */
	if (put(t, block, sizeof(block), NULL) == 0)
		flush(t, NULL);
	return rc;
}
