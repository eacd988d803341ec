#include "logfollow.h"

#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "agent.h"

#define AGAIN_MS  1000
#define PIECE_MAX (LOGRING_LINE_MAX + 64u)

struct logfollow {
	struct vk_loop *loop;
	struct vk_engine *engine;
	struct logset *set;
	char *stack, *node, *instance, *container;
	struct vk_engine_op *op;
	struct vk_timer *again;
	struct vk_frames frames;
	struct vk_buf piece; /* the frame being read */
	bool ended, complained;
	logfollow_fn *fn;
	void *arg;
};

static void add_line(struct logfollow *f, int stream, int64_t ns, const char *p, size_t n)
{
	struct vk_err err = {0};
	struct logline line = {.time_ns = ns,
		.instance = f->instance,
		.node = f->node,
		.container = f->container,
		.stream = stream,
		.text = p,
		.len = n};
	if (logset_add(f->set, f->stack, &line, &err) < 0 && !f->complained) {
		vk_log_err(VK_ERROR, "log-lost", &err);
		f->complained = true;
	}
}

/* One frame is one line, or 16 KiB of a longer one: "TIME text\n" */
static void take_frame(struct logfollow *f, int stream)
{
	size_t used = 0, n = f->piece.len;
	const char *p = vk_buf_str(&f->piece);
	int64_t ns = agent_time_ns(p, n, &used);
	if (ns > 0 && used < n && p[used] == ' ') {
		if (p[n - 1] == '\n')
			n--;
		size_t from = used + 1 > n ? n : used + 1;
		size_t len = n - from;
		if (len > 0 && p[n - 1] == '\r')
			len--;
		add_line(f, stream, ns, p + from, len);
	}
	vk_buf_clear(&f->piece);
}

static int on_piece(void *arg, int stream, const void *p, size_t n)
{
	struct logfollow *f = arg;
	size_t room = f->piece.max - f->piece.len;
	vk_buf_add(&f->piece, p, n < room ? n : room);
	if (f->frames.left == 0)
		take_frame(f, stream);
	return 0;
}

static void on_bytes(void *arg, const void *p, size_t n)
{
	struct logfollow *f = arg;
	struct vk_err err = {0};
	if (vk_frames_feed(&f->frames, p, n, on_piece, f, &err) < 0 && !f->complained) {
		vk_log_err(VK_WARN, "log-stream", &err);
		f->complained = true;
	}
	logset_flush(f->set, f->stack, NULL); /* add has told of a full disk */
}

static void on_done(void *arg, const struct vk_err *err, json_t *answer)
{
	struct logfollow *f = arg;
	(void)answer;
	f->op = NULL;
	if (err->code == VK_UNAVAILABLE || err->code == VK_TIMEOUT) {
		vk_timer_set(f->again, AGAIN_MS);
		return;
	}
	f->ended = true; /* the container ended, or is gone */
	if (f->fn != NULL)
		f->fn(f->arg);
}

static void connect_log(void *arg)
{
	struct logfollow *f = arg;
	int64_t ns = logset_cursor(f->set, f->stack, f->container);
	vk_autofree char *path = NULL;
	if (ns > vk_now_ms() * 1000000)
		ns = vk_now_ms() *
			1000000; /* the clock was set back: what comes now has a lower time */
	if (ns > 0) {
		ns++;
		path = vk_asprintf("/containers/%s/logs?follow=1&stdout=1&stderr=1&timestamps=1"
				   "&since=%lld.%09lld",
			f->container, (long long)(ns / 1000000000), (long long)(ns % 1000000000));
	} else {
		path = vk_asprintf("/containers/%s/logs?follow=1&stdout=1&stderr=1&timestamps=1",
			f->container);
	}
	f->frames = (struct vk_frames){0};
	vk_buf_clear(&f->piece);
	f->op = vk_engine_stream_async(f->engine, "GET", path, NULL, on_bytes, on_done, f);
}

struct logfollow *logfollow_new(struct vk_loop *l, struct vk_engine *e, struct logset *set,
	const char *stack, const char *node, const char *instance, const char *container)
{
	struct logfollow *f = vk_alloc(sizeof(*f));
	f->loop = l;
	f->engine = e;
	f->set = set;
	f->stack = vk_strdup(stack);
	f->node = vk_strdup(node);
	f->instance = vk_strdup(instance);
	f->container = vk_strdup(container);
	f->again = vk_timer_new(l, connect_log, f);
	vk_buf_init(&f->piece, PIECE_MAX);
	connect_log(f);
	return f;
}

bool logfollow_ended(const struct logfollow *f)
{
	return f->ended;
}

void logfollow_on_end(struct logfollow *f, logfollow_fn *fn, void *arg)
{
	f->fn = fn;
	f->arg = arg;
}

void logfollow_free(struct logfollow *f)
{
	if (f == NULL)
		return;
	if (f->op != NULL)
		vk_engine_op_cancel(f->op);
	logset_flush(f->set, f->stack, NULL);
	vk_timer_free(f->again);
	vk_buf_release(&f->piece);
	free(f->stack);
	free(f->node);
	free(f->instance);
	free(f->container);
	free(f);
}
