#include "mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct text {
	char *p;
	size_t n, sorted;
};

static size_t line_end(const struct text *t, size_t at)
{
	const char *end = memchr(t->p + at, '\n', t->n - at);
	return end != NULL ? (size_t)(end - t->p) + 1 : t->n;
}

static size_t line_start(const struct text *t, size_t at)
{
	const char *before = at > 0 ? memrchr(t->p, '\n', at) : NULL;
	return before != NULL ? (size_t)(before - t->p) + 1 : 0;
}

/* As strcmp of the key and that of the line. */
static int compare(const struct text *t, const char *key, size_t at)
{
	size_t end = line_end(t, at), n = strlen(key);
	const char *blank = memchr(t->p + at, ' ', end - at);
	size_t have = blank != NULL ? (size_t)(blank - t->p) - at : end - at;
	int c = memcmp(key, t->p + at, n < have ? n : have);
	return c != 0 ? c : (n > have) - (n < have);
}

/* The line of the key, or t->n. Among the sorted ones, those with a '#' have lost their place and are passed over. */
static size_t find(const struct text *t, const char *key)
{
	size_t lo = 0, hi = t->sorted;
	while (lo < hi) {
		size_t first = line_start(t, lo + (hi - lo) / 2), at = first;
		while (at < hi && t->p[at] == '#')
			at = line_end(t, at);
		int c = at < hi ? compare(t, key, at) : -1;
		if (c == 0)
			return at;
		if (c < 0)
			hi = first;
		else
			lo = line_end(t, at);
	}
	for (size_t at = t->sorted; at < t->n; at = line_end(t, at))
		if (compare(t, key, at) == 0)
			return at;
	return t->n;
}

static bool line_is(const struct text *t, size_t at, const char *line, size_t n)
{
	return t->n - at >= n && memcmp(t->p + at, line, n) == 0;
}

static int put(int fd, const char *path, const char *p, size_t n, size_t at, struct vk_err *err)
{
	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, (off_t)at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return vk_err_errno(err, done < 0 ? errno : ENOSPC, "%s", path);
		p += done;
		n -= (size_t)done;
		at += (size_t)done;
	}
	return 0;
}

static int change(int fd, const char *path, const struct text *t, const struct vk_strv *keys,
	const struct routes *want, struct vk_err *err)
{
	vk_autobuf tail = VK_BUF_INIT(MAPFILE_TAIL_MAX);
	vk_autofree size_t *gone = vk_calloc(keys->n + 1, sizeof(*gone));
	size_t n = 0;
	for (size_t i = 0; i < keys->n; i++) {
		const struct route *r = routes_find(want, keys->v[i]);
		vk_autofree char *line =
			r != NULL ? vk_asprintf("%s %s\n", r->key, r->value) : NULL;
		size_t at = find(t, keys->v[i]);
		if (line != NULL && at < t->n && line_is(t, at, line, strlen(line)))
			continue;
		if (line != NULL && vk_buf_adds(&tail, line) != 0)
			return vk_err_set(err, VK_LIMIT, "too many lines change");
		if (at < t->n)
			gone[n++] = at;
	}
	if (t->n - t->sorted + tail.len > MAPFILE_TAIL_MAX)
		return vk_err_set(err, VK_LIMIT, "too many lines have changed");
	int rc = put(fd, path, tail.data, tail.len, t->n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = put(fd, path, "#", 1, gone[i], err);
	return rc;
}

int mapfile_change(const char *path, size_t sorted, const struct vk_strv *keys,
	const struct routes *want, struct vk_err *err)
{
	struct stat st;
	struct text t = {.sorted = sorted};
	vk_autoclose int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) != 0)
		return vk_err_errno(err, errno, "%s", path);
	t.n = (size_t)st.st_size;
	if (t.n < sorted)
		return vk_err_set(err, VK_LIMIT, "%s is shorter than it was", path);
	t.p = t.n > 0 ? mmap(NULL, t.n, PROT_READ, MAP_SHARED, fd, 0) : NULL;
	if (t.p == MAP_FAILED)
		return vk_err_errno(err, errno, "%s", path);
	int rc = t.n == 0 || t.p[t.n - 1] == '\n'
		? change(fd, path, &t, keys, want, err)
		: vk_err_set(err, VK_LIMIT, "%s ends within a line", path);
	if (t.n > 0)
		munmap(t.p, t.n);
	return rc;
}
