#include "tail.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#define TAIL_MS        5000
#define TAIL_LINES     50
#define TAIL_LINE_MAX  512
#define TAIL_BYTES_MAX (256u << 10)

struct tail {
	struct vk_engine_op *op;
	struct vk_timer *timer;
	struct vk_frames frames;
	struct vk_buf raw;
	tail_fn *fn;
	void *arg;
};

static json_t *tail_lines(struct vk_buf *b)
{
	json_t *list = json_array();
	const char *p = vk_buf_str(b), *end = p + b->len;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl != NULL ? nl : end) - p);
		json_array_append_new(
			list, vk_json_safe_string(p, n > TAIL_LINE_MAX ? TAIL_LINE_MAX : n));
		p += n + 1;
	}
	while (json_array_size(list) > TAIL_LINES)
		json_array_remove(list, 0);
	return list;
}

static int on_piece(void *arg, int stream, const void *p, size_t n)
{
	struct tail *t = arg;
	(void)stream;
	vk_buf_add(&t->raw, p, n); /* past the cap the rest is left out */
	return 0;
}

static void on_bytes(void *arg, const void *p, size_t n)
{
	struct tail *t = arg;
	vk_frames_feed(&t->frames, p, n, on_piece, t, NULL);
}

static void conclude(struct tail *t)
{
	tail_fn *fn = t->fn;
	void *arg = t->arg;
	json_t *lines = tail_lines(&t->raw);
	tail_cancel(t);
	fn(arg, lines);
}

static void on_done(void *arg, const struct vk_err *err, json_t *answer)
{
	struct tail *t = arg;
	(void)err; /* no lines are no reason to tell less */
	(void)answer;
	t->op = NULL;
	conclude(t);
}

static void on_late(void *arg)
{
	conclude(arg);
}

struct tail *tail_read(
	struct vk_loop *l, struct vk_engine *e, const char *container, tail_fn *fn, void *arg)
{
	struct tail *t = vk_alloc(sizeof(*t));
	vk_autofree char *path =
		vk_asprintf("/containers/%s/logs?stdout=1&stderr=1&tail=%d", container, TAIL_LINES);
	vk_buf_init(&t->raw, TAIL_BYTES_MAX);
	t->fn = fn;
	t->arg = arg;
	t->timer = vk_timer_new(l, on_late, t);
	vk_timer_set(t->timer, TAIL_MS);
	t->op = vk_engine_stream_async(e, "GET", path, NULL, on_bytes, on_done, t);
	return t;
}

void tail_cancel(struct tail *t)
{
	if (t == NULL)
		return;
	if (t->op != NULL)
		vk_engine_op_cancel(t->op);
	vk_timer_free(t->timer);
	vk_buf_release(&t->raw);
	free(t);
}
