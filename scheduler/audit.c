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

struct audit {
	int fd;
	uint64_t seq;
	off_t end;     /* length of the good lines */
	char prev[65]; /* hash of the last line, zeros at the beginning */
};

static const char zeros[65] = "0000000000000000000000000000000000000000000000000000000000000000";

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
	if (last == NULL)
		return 0;
	char *line = memrchr(tail, '\n', (size_t)(last - tail));
	line = line != NULL ? line + 1 : tail;
	vk_sha256_hex(line, (size_t)(last - line), a->prev);
	vk_autojson *j = NULL;
	if (vk_json_parse(line, (size_t)(last - line), &j, NULL) == 0)
		a->seq = (uint64_t)vk_json_int(j, "seq", 0);
	return 0;
}

int audit_open(const char *path, struct audit **ret, struct vk_err *err)
{
	struct audit *a = vk_alloc(sizeof(*a));
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
	free(a);
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

int audit_verify(const char *path, uint64_t *ret_lines, struct vk_err *err)
{
	vk_autobuf b = VK_BUF_INIT((size_t)256 << 20);
	int rc = vk_fs_read(path, &b, err);
	if (rc != 0)
		return rc;
	char prev[65];
	memcpy(prev, zeros, sizeof(zeros));
	uint64_t lines = 0;
	for (const char *at = vk_buf_str(&b), *end; (end = strchr(at, '\n')) != NULL;
		at = end + 1) {
		rc = verify_line(at, (size_t)(end - at), prev, lines + 1, err);
		if (rc != 0) {
			if (err != NULL)
				err->code = VK_FAILED; /* also for what is no JSON */
			vk_err_wrap(err, "%s line %llu", path, (unsigned long long)(lines + 1));
			return VK_FAILED;
		}
		vk_sha256_hex(at, (size_t)(end - at), prev);
		lines++;
	}
	*ret_lines = lines;
	return 0;
}
