#include "logring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/str.h>

#define SEGMENTS       16
#define OPEN_MAX_FDS   32
#define OUT_MAX        (1u << 20)
#define SCAN_BLOCK     65536
#define SCAN_CARRY_MAX (256u << 10)

struct segment {
	uint64_t seq;
	uint64_t size;
};

struct ring {
	char *stack, *dir;
	struct segment *segments; /* oldest first; the last one is written */
	size_t n;
	int fd;        /* of the last segment, -1 = closed */
	uint64_t used; /* for closing the least recently used */
	struct vk_buf out;
	json_t *cursors; /* container -> ns */
	struct ring *next;
};

struct logset {
	char *dir;
	uint64_t budget, segment_max, clock;
	unsigned open_fds;
	struct ring *rings;
	logset_fn *fn;
	void *arg;
};

struct logset *logset_new(const char *dir, uint64_t stack_bytes)
{
	struct logset *s = vk_alloc(sizeof(*s));
	s->dir = vk_strdup(dir);
	s->budget = stack_bytes < (1u << 20) ? (1u << 20) : stack_bytes;
	s->segment_max = s->budget / SEGMENTS;
	return s;
}

static char *segment_path(const struct ring *r, uint64_t seq)
{
	return vk_asprintf("%s/%010llu.log", r->dir, (unsigned long long)seq);
}

static int by_seq(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void add_segment(struct ring *r, uint64_t seq, uint64_t size)
{
	r->segments = vk_reallocarray(r->segments, r->n + 1, sizeof(*r->segments));
	r->segments[r->n++] = (struct segment){seq, size};
}

static void list_segments(struct ring *r)
{
	DIR *d = opendir(r->dir);
	if (d == NULL)
		return;
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		char digits[11] = "";
		uint64_t seq;
		struct stat st;
		if (strlen(e->d_name) != 14 || !vk_ends(e->d_name, ".log"))
			continue;
		memcpy(digits, e->d_name, 10);
		if (vk_parse_u64(digits, 0, UINT64_MAX, &seq) == 0 &&
			fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			add_segment(r, seq, (uint64_t)st.st_size);
	}
	closedir(d);
	if (r->n > 1)
		qsort(r->segments, r->n, sizeof(*r->segments), by_seq);
}

static void learn_cursor(struct ring *r, const json_t *line)
{
	const char *container = vk_json_str(line, "c", NULL);
	json_t *cursors = json_object_get(line, "cursors");
	if (json_is_object(cursors))
		json_object_update(r->cursors, cursors);
	if (container == NULL)
		return;
	json_int_t ns = vk_json_int(line, "t", 0) * 1000000 + vk_json_int(line, "n", 0);
	json_object_set_new(r->cursors, container, json_integer(ns));
}

/* Reads the newest segment for its cursors and cuts a torn last line (power loss). */
static void recover(struct ring *r, uint64_t segment_max)
{
	struct segment *last = &r->segments[r->n - 1];
	vk_autofree char *path = segment_path(r, last->seq);
	vk_autobuf b = VK_BUF_INIT((segment_max + OUT_MAX) * 2);
	if (vk_fs_read(path, &b, NULL) < 0 || b.len == 0)
		return;
	const char *p = b.data, *end = b.data + b.len;
	for (const char *nl; (nl = memchr(p, '\n', (size_t)(end - p))) != NULL; p = nl + 1) {
		vk_autojson *line = NULL;
		if (vk_json_parse(p, (size_t)(nl - p), &line, NULL) == 0)
			learn_cursor(r, line);
	}
	if (p != end && truncate(path, p - b.data) == 0)
		last->size = (uint64_t)(p - b.data);
}

static struct ring *ring_of(struct logset *s, const char *stack)
{
	for (struct ring *r = s->rings; r != NULL; r = r->next)
		if (vk_streq(r->stack, stack))
			return r;
	struct ring *r = vk_alloc(sizeof(*r));
	r->stack = vk_strdup(stack);
	r->dir = vk_asprintf("%s/%s", s->dir, stack);
	r->fd = -1;
	r->cursors = json_object();
	vk_buf_init(&r->out, OUT_MAX);
	list_segments(r);
	if (r->n > 0)
		recover(r, s->segment_max);
	r->next = s->rings;
	s->rings = r;
	return r;
}

static void close_ring(struct logset *s, struct ring *r)
{
	if (r->fd < 0)
		return;
	close(r->fd);
	r->fd = -1;
	s->open_fds--;
}

static void close_oldest(struct logset *s)
{
	struct ring *oldest = NULL;
	for (struct ring *r = s->rings; r != NULL; r = r->next)
		if (r->fd >= 0 && (oldest == NULL || r->used < oldest->used))
			oldest = r;
	if (oldest != NULL)
		close_ring(s, oldest);
}

static int open_last(struct logset *s, struct ring *r, struct vk_err *err)
{
	vk_autofree char *path = segment_path(r, r->segments[r->n - 1].seq);
	if (s->open_fds >= OPEN_MAX_FDS)
		close_oldest(s);
	r->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->fd < 0)
		return vk_err_errno(err, errno, "open %s", path);
	s->open_fds++;
	return 0;
}

static void drop_old(struct logset *s, struct ring *r)
{
	uint64_t total = 0;
	size_t gone = 0;
	for (size_t i = 0; i < r->n; i++)
		total += r->segments[i].size;
	while (gone + 1 < r->n && total + s->segment_max > s->budget) {
		vk_autofree char *path = segment_path(r, r->segments[gone].seq);
		unlink(path);
		total -= r->segments[gone++].size;
	}
	r->n -= gone;
	memmove(r->segments, r->segments + gone, r->n * sizeof(*r->segments));
}

static int write_out(struct ring *r, const char *p, size_t n, struct vk_err *err)
{
	struct segment *last = &r->segments[r->n - 1];
	int e = vk_write_all(r->fd, p, n, err);
	if (e == 0)
		last->size += n;
	else if (ftruncate(r->fd, (off_t)last->size) < 0) /* half a line must not stay */
		return vk_err_wrap(err, "segment left torn");
	return e;
}

static int next_segment(struct logset *s, struct ring *r, struct vk_err *err)
{
	int e = vk_fs_mkdir_p(r->dir, 0700, err);
	if (e < 0)
		return e;
	close_ring(s, r);
	add_segment(r, r->n == 0 ? 1 : r->segments[r->n - 1].seq + 1, 0);
	drop_old(s, r);
	e = open_last(s, r, err);
	if (e < 0)
		return e;
	vk_autojson *head = json_pack("{s:O}", "cursors", r->cursors);
	vk_autofree char *text = vk_json_text(head);
	vk_autofree char *line = vk_asprintf("%s\n", text);
	return write_out(r, line, strlen(line), err);
}

static int flush(struct logset *s, struct ring *r, struct vk_err *err)
{
	int e = 0;
	if (r->out.len == 0)
		return 0;
	if (r->n == 0 || r->segments[r->n - 1].size + r->out.len > s->segment_max)
		e = next_segment(s, r, err);
	else if (r->fd < 0)
		e = open_last(s, r, err);
	if (e == 0)
		e = write_out(r, r->out.data, r->out.len, err);
	r->used = ++s->clock;
	vk_buf_clear(&r->out);
	return e;
}

static char *line_text(const struct logline *l)
{
	vk_autojson *j = json_pack("{s:I,s:I,s:s,s:s,s:s,s:i}", "t",
		(json_int_t)(l->time_ns / 1000000), "n", (json_int_t)(l->time_ns % 1000000), "i",
		l->instance, "d", l->node, "c", l->container, "s", l->stream);
	json_object_set_new(j, "l", vk_json_safe_string(l->text, l->len));
	return vk_json_text(j);
}

static int add_one(struct logset *s, struct ring *r, const struct logline *l, struct vk_err *err)
{
	vk_autofree char *text = line_text(l);
	size_t n = strlen(text);
	int e = 0;
	/* a segment is never written past its size by more than one line */
	if (r->out.len + n + 1 > OUT_MAX || r->out.len + n + 1 > s->segment_max / 2)
		e = flush(s, r, err);
	vk_buf_add(&r->out, text, n);
	vk_buf_addc(&r->out, '\n');
	json_object_set_new(r->cursors, l->container, json_integer(l->time_ns));
	if (s->fn != NULL)
		s->fn(s->arg, r->stack, l);
	return e;
}

int logset_add(struct logset *s, const char *stack, const struct logline *line, struct vk_err *err)
{
	struct ring *r = ring_of(s, stack);
	struct logline part = *line;
	size_t left = line->len;
	do {
		part.len = left > LOGRING_LINE_MAX ? LOGRING_LINE_MAX : left;
		int e = add_one(s, r, &part, err);
		if (e < 0)
			return e;
		part.text += part.len;
		left -= part.len;
	} while (left > 0);
	return 0;
}

int logset_flush(struct logset *s, const char *stack, struct vk_err *err)
{
	return flush(s, ring_of(s, stack), err);
}

int64_t logset_cursor(struct logset *s, const char *stack, const char *container)
{
	return json_integer_value(json_object_get(ring_of(s, stack)->cursors, container));
}

void logset_drop_cursor(struct logset *s, const char *stack, const char *container)
{
	json_object_del(ring_of(s, stack)->cursors, container);
}

static void ring_free(struct logset *s, struct ring *r)
{
	close_ring(s, r);
	json_decref(r->cursors);
	vk_buf_release(&r->out);
	free(r->segments);
	free(r->stack);
	free(r->dir);
	free(r);
}

/* Writes what is buffered and forgets what is known of the files; they stay. */
static void ring_drop(struct logset *s, const char *stack)
{
	for (struct ring **at = &s->rings; *at != NULL; at = &(*at)->next) {
		struct ring *r = *at;
		if (!vk_streq(r->stack, stack))
			continue;
		flush(s, r, NULL);
		*at = r->next;
		ring_free(s, r);
		return;
	}
}

void logset_forget(struct logset *s, const char *stack)
{
	vk_autofree char *dir = vk_asprintf("%s/%s", s->dir, stack);
	ring_drop(s, stack);
	vk_fs_remove_tree(dir, NULL);
}

void logset_move(struct logset *s, const char *from, const char *to)
{
	vk_autofree char *old = vk_asprintf("%s/%s", s->dir, from);
	vk_autofree char *dir = vk_asprintf("%s/%s", s->dir, to);
	ring_drop(s, from);
	if (!vk_fs_exists(old))
		return;
	logset_forget(s, to);
	rename(old, dir); /* if it fails the next document tries again */
}

void logset_watch(struct logset *s, logset_fn *fn, void *arg)
{
	s->fn = fn;
	s->arg = arg;
}

void logset_free(struct logset *s)
{
	if (s == NULL)
		return;
	for (struct ring *r = s->rings, *next; r != NULL; r = next) {
		next = r->next;
		flush(s, r, NULL);
		ring_free(s, r);
	}
	free(s->dir);
	free(s);
}

struct logscan {
	struct logset *set;
	char *stack;
	struct segment *segments;
	size_t n; /* segments still to read; the last of them is open */
	int fd;
	uint64_t pos;        /* bytes of the open segment still to read */
	struct vk_buf carry; /* the beginning of it is the end of a line whose head comes next */
};

struct logscan *logscan_new(struct logset *s, const char *stack)
{
	struct logscan *c = vk_alloc(sizeof(*c));
	struct ring *r = ring_of(s, stack);
	flush(s, r, NULL);
	c->set = s;
	c->stack = vk_strdup(stack);
	c->n = r->n;
	c->segments = vk_calloc(r->n + 1, sizeof(*c->segments));
	for (size_t i = 0; i < r->n; i++)
		c->segments[i] = r->segments[i];
	c->fd = -1;
	vk_buf_init(&c->carry, SCAN_CARRY_MAX + SCAN_BLOCK);
	return c;
}

static bool open_next(struct logscan *c)
{
	if (c->n == 0)
		return false;
	vk_autofree char *path = vk_asprintf("%s/%s/%010llu.log", c->set->dir, c->stack,
		(unsigned long long)c->segments[c->n - 1].seq);
	c->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	c->pos = c->segments[c->n - 1].size;
	return c->fd >= 0; /* removed meanwhile: the older ones are gone too */
}

/* Hands the complete lines of buf out, last first; returns the bytes at its front that belong to a line
 * that begins earlier, or -1 for enough. */
static ssize_t hand_lines(const char *buf, size_t n, bool at_start, logscan_fn *fn, void *arg)
{
	size_t end = n;
	while (end > 0) {
		const char *nl = memrchr(buf, '\n', end - 1);
		size_t from = nl == NULL ? 0 : (size_t)(nl - buf) + 1;
		if (nl == NULL && !at_start)
			return (ssize_t)end;
		if (end - from > 1 && fn(arg, buf + from, end - from - 1))
			return -1;
		end = from;
	}
	return 0;
}

static bool read_block(struct logscan *c, logscan_fn *fn, void *arg)
{
	size_t want = c->pos < SCAN_BLOCK ? (size_t)c->pos : SCAN_BLOCK;
	vk_autobuf b = VK_BUF_INIT(SCAN_CARRY_MAX + 2 * SCAN_BLOCK);
	vk_autofree char *block = vk_alloc(SCAN_BLOCK);
	if (pread(c->fd, block, want, (off_t)(c->pos - want)) != (ssize_t)want)
		return false;
	c->pos -= want;
	vk_buf_add(&b, block, want);
	vk_buf_add(&b, vk_buf_str(&c->carry), c->carry.len);
	ssize_t rest = hand_lines(vk_buf_str(&b), b.len, c->pos == 0, fn, arg);
	if (rest < 0)
		return false;
	vk_buf_clear(&c->carry);
	return vk_buf_add(&c->carry, vk_buf_str(&b), (size_t)rest) == 0;
}

bool logscan_step(struct logscan *c, logscan_fn *fn, void *arg)
{
	if (c->fd < 0 && !open_next(c))
		return false;
	if (c->pos > 0 && !read_block(c, fn, arg))
		return false;
	if (c->pos > 0)
		return true;
	close(c->fd);
	c->fd = -1;
	c->n--;
	vk_buf_clear(&c->carry);
	return c->n > 0;
}

void logscan_free(struct logscan *c)
{
	if (c == NULL)
		return;
	if (c->fd >= 0)
		close(c->fd);
	vk_buf_release(&c->carry);
	free(c->segments);
	free(c->stack);
	free(c);
}
