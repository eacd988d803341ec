/* Append-only log with a chain of hashes. */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/crypt.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#define LINE_MAX_BYTES (64 << 10)

#define ASIDE_MAX 100

struct audit {
	int fd;
	char *path;
	uint64_t size_max, keep;
	uint64_t seq;
	off_t end;     /* length of the good lines */
	char prev[65]; /* hash of the last line, zeros at the beginning */
};

static const char zeros[65] = "0000000000000000000000000000000000000000000000000000000000000000";

static char *aside_path(const char *path, uint64_t n)
{
	return vk_asprintf("%s.%llu", path, (unsigned long long)n);
}

/* The chain goes on from the line that ends at last, of text that begins at tail. */
static void take_over(struct audit *a, const char *tail, const char *last)
{
	const char *line = memrchr(tail, '\n', (size_t)(last - tail));
	line = line != NULL ? line + 1 : tail;
	vk_sha256_hex(line, (size_t)(last - line), a->prev);
	vk_autojson *j = NULL;
	if (vk_json_parse(line, (size_t)(last - line), &j, NULL) == 0)
		a->seq = (uint64_t)vk_json_int(j, "seq", 0);
}

/* Nothing written since the last file was put aside: the chain goes on from its end. */
static int resume_aside(struct audit *a, struct vk_err *err)
{
	vk_autofree char *path = aside_path(a->path, 1);
	vk_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : vk_err_errno(err, errno, "%s", path);
	off_t size = lseek(fd, 0, SEEK_END);
	vk_autofree char *tail = vk_alloc(LINE_MAX_BYTES + 1);
	ssize_t n =
		pread(fd, tail, LINE_MAX_BYTES, size > LINE_MAX_BYTES ? size - LINE_MAX_BYTES : 0);
	const char *last = n > 0 ? memrchr(tail, '\n', (size_t)n) : NULL;
	if (last != NULL)
		take_over(a, tail, last);
	return 0;
}

/* Reads the last LINE_MAX_BYTES, cuts a torn line off, takes over sequence and hash. */
static int audit_resume(struct audit *a, struct vk_err *err)
{
	off_t size = lseek(a->fd, 0, SEEK_END);
	off_t from = size > LINE_MAX_BYTES ? size - LINE_MAX_BYTES : 0;
	vk_autofree char *tail = vk_alloc(LINE_MAX_BYTES + 1);
	ssize_t n = pread(a->fd, tail, LINE_MAX_BYTES, from);
	if (n < 0)
		return vk_err_errno(err, errno, "audit log");
	char *last = memrchr(tail, '\n', (size_t)n);
	a->end = last != NULL ? from + (last - tail) + 1 : from;
	if (a->end < size && ftruncate(a->fd, a->end) != 0)
		return vk_err_errno(err, errno, "audit log");
	if (last != NULL)
		take_over(a, tail, last);
	return last != NULL ? 0 : resume_aside(a, err);
}

int audit_open(
	const char *path, uint64_t size_max, uint64_t keep, struct audit **ret, struct vk_err *err)
{
	struct audit *a = vk_alloc(sizeof(*a));
	a->path = vk_strdup(path);
	a->size_max = size_max;
	a->keep = keep;
	memcpy(a->prev, zeros, sizeof(zeros));
	a->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = a->fd < 0 ? vk_err_errno(err, errno, "%s", path) : audit_resume(a, err);
	if (rc != 0) {
		audit_close(a);
		return rc;
	}
	*ret = a;
	return 0;
}

void audit_close(struct audit *a)
{
	if (a == NULL)
		return;
	if (a->fd >= 0)
		close(a->fd);
	free(a->path);
	free(a);
}

static void sync_parent(const char *path)
{
	vk_autofree char *dir = vk_strndup(path, (size_t)(strrchr(path, '/') - path));
	vk_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fsync(fd);
}

/* Begins a new file. If that does not work the old one goes on: no decision is refused for it. */
static void audit_rotate(struct audit *a)
{
	if (fdatasync(a->fd) != 0)
		return;
	for (uint64_t n = a->keep; n > 1; n--) {
		vk_autofree char *from = aside_path(a->path, n - 1), *to = aside_path(a->path, n);
		rename(from, to); /* the last one is written over */
	}
	vk_autofree char *aside = aside_path(a->path, 1);
	if (rename(a->path, aside) != 0)
		return;
	int fd = open(a->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		rename(aside, a->path);
		return;
	}
	sync_parent(a->path);
	close(a->fd);
	a->fd = fd;
	a->end = 0;
}

static void set_text(json_t *j, const char *key, const char *text)
{
	if (text != NULL)
		json_object_set_new(j, key, vk_json_safe_string(text, strlen(text)));
}

static json_t *audit_line(const struct audit *a, const struct audit_entry *e)
{
	json_t *j = json_pack("{s:I,s:I,s:I}", "seq", (json_int_t)(a->seq + 1), "t",
		(json_int_t)vk_now_ms(), "mono", (json_int_t)vk_mono_ms());
	set_text(j, "who", e->who);
	set_text(j, "source", e->source);
	set_text(j, "verb", e->verb);
	set_text(j, "stack", e->stack);
	set_text(j, "result", e->result);
	if (e->params != NULL)
		json_object_set(j, "params", e->params);
	set_text(j, "prev", a->prev);
	return j;
}

int audit_add(struct audit *a, const struct audit_entry *e, bool sync, struct vk_err *err)
{
	vk_autojson *j = audit_line(a, e);
	vk_autofree char *text = vk_json_text(j);
	vk_autobuf line = VK_BUF_INIT(LINE_MAX_BYTES);
	if (vk_buf_adds(&line, text) != 0 || vk_buf_addc(&line, '\n') != 0)
		return vk_err_set(err, VK_LIMIT, "audit line is too long");
	if (a->end > 0 && (uint64_t)a->end + line.len > a->size_max)
		audit_rotate(a);
	ssize_t n = pwrite(a->fd, line.data, line.len, a->end);
	if (n != (ssize_t)line.len || (sync && fdatasync(a->fd) != 0)) {
		int e_no = n < 0 ? errno : n != (ssize_t)line.len ? ENOSPC : errno;
		if (ftruncate(a->fd, a->end) != 0)
			return vk_err_errno(err, errno, "audit log cannot be cut back");
		int rc = vk_err_errno(
			err, e_no, "nothing is done that cannot be written to the audit log");
		if (rc == VK_LIMIT)
			vk_err_hint(err,
				"free space on its file system: viking doctor shows what takes it");
		return rc;
	}
	vk_sha256_hex(line.data, line.len - 1, a->prev);
	a->end += n;
	a->seq++;
	return 0;
}

static int verify_line(
	const char *line, size_t n, const char *prev, uint64_t seq, struct vk_err *err)
{
	vk_autojson *j = NULL;
	int rc = vk_json_parse(line, n, &j, err);
	if (rc != 0)
		return rc;
	if (strcmp(vk_json_str(j, "prev", ""), prev) != 0)
		return vk_err_set(err, VK_FAILED, "the line before was changed or removed");
	if (vk_json_int(j, "seq", 0) != (int64_t)seq)
		return vk_err_set(err, VK_FAILED, "a line is missing");
	return 0;
}

struct chain {
	char prev[65];
	uint64_t seq, lines;
	bool begun;
};

/* The first line left of a log whose beginning is older than what is kept names where it goes on from. */
static void chain_anchor(struct chain *c, const char *line, size_t n, bool aside)
{
	vk_autojson *j = NULL;
	memcpy(c->prev, zeros, sizeof(zeros));
	c->begun = true;
	if (!aside || vk_json_parse(line, n, &j, NULL) != 0 || vk_json_int(j, "seq", 0) <= 1)
		return;
	c->seq = (uint64_t)vk_json_int(j, "seq", 0) - 1;
	snprintf(c->prev, sizeof(c->prev), "%s", vk_json_str(j, "prev", ""));
}

static int chain_file(struct chain *c, const char *path, bool aside, struct vk_err *err)
{
	vk_autobuf b = VK_BUF_INIT((size_t)1 << 30);
	int rc = vk_fs_read(path, &b, err);
	uint64_t lines = 0;
	for (const char *at = vk_buf_str(&b), *end; rc == 0 && (end = strchr(at, '\n')) != NULL;
		at = end + 1) {
		size_t n = (size_t)(end - at);
		struct vk_err why = {0};
		lines++;
		if (!c->begun)
			chain_anchor(c, at, n, aside);
		if (verify_line(at, n, c->prev, c->seq + 1, &why) != 0)
			return vk_err_set(err, VK_FAILED, "%s line %llu: %s", path,
				(unsigned long long)lines, why.msg);
		vk_sha256_hex(at, n, c->prev);
		c->seq++;
		c->lines++;
	}
	return rc;
}

int audit_verify(const char *path, uint64_t *ret_lines, struct vk_err *err)
{
	struct chain c = {0};
	int rc = 0;
	for (uint64_t n = ASIDE_MAX; n > 0 && rc == 0; n--) {
		vk_autofree char *aside = aside_path(path, n);
		rc = vk_fs_exists(aside) ? chain_file(&c, aside, true, err) : 0;
	}
	if (rc == 0)
		rc = chain_file(&c, path, false, err);
	if (rc == 0)
		*ret_lines = c.lines;
	return rc;
}
