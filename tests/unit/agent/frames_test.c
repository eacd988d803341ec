#include <criterion/criterion.h>
#include <viking/mem.h>

#include "frames.h"

struct got {
	struct vk_buf in, control;
};

static int on_frame(void *arg, int type, const void *p, size_t n, struct vk_err *err)
{
	struct got *g = arg;
	(void)err;
	if (type == FRAME_STDIN)
		return vk_buf_add(&g->in, p, n);
	vk_buf_addf(&g->control, "%d:%zu:", type, n);
	return vk_buf_add(&g->control, p, n);
}

static void sample(struct vk_buf *b)
{
	char big[5000];
	memset(big, 'x', sizeof(big));
	cr_assert_eq(frames_put(b, FRAME_STDIN, "hello", 5), 0);
	cr_assert_eq(frames_put(b, FRAME_RESIZE, "\0\30\0\120", 4), 0);
	cr_assert_eq(frames_put(b, FRAME_STDIN, "", 0), 0);
	cr_assert_eq(frames_put(b, FRAME_STDIN, big, sizeof(big)), 0);
	cr_assert_eq(frames_put(b, FRAME_SIGNAL, "INT", 3), 0);
	cr_assert_eq(frames_put(b, FRAME_EOF, "", 0), 0);
}

Test(frames, split_at_random_they_give_the_same)
{
	vk_autobuf wire = VK_BUF_INIT(65536);
	sample(&wire);
	srandom(4711);
	for (int round = 0; round < 300; round++) {
		struct frames f = {0};
		struct got g = {VK_BUF_INIT(65536), VK_BUF_INIT(65536)};
		for (size_t at = 0; at < wire.len;) {
			size_t n =
				round == 0 ? 1 : 1 + (size_t)random() % (size_t)(1 << (round % 14));
			n = n > wire.len - at ? wire.len - at : n;
			vk_autofree char *piece =
				vk_alloc(n); /* of just this size: a sanitizer sees over-reads */
			memcpy(piece, wire.data + at, n);
			cr_assert_eq(frames_feed(&f, piece, n, on_frame, &g, NULL), 0);
			at += n;
		}
		cr_assert_eq(g.in.len, 5005);
		cr_assert_eq(memcmp(g.in.data, "helloxxx", 8), 0);
		cr_assert_eq(g.control.len, 4 + 4 + 4 + 3 + 4);
		cr_assert_eq(memcmp(g.control.data,
				     "2:4:\0\30\0\120"
				     "3:3:INT"
				     "1:0:",
				     g.control.len),
			0);
		vk_buf_release(&g.in);
		vk_buf_release(&g.control);
	}
}

static int feed(const char *bytes, size_t n)
{
	struct frames f = {0};
	struct got g = {VK_BUF_INIT(65536), VK_BUF_INIT(65536)};
	int r = frames_feed(&f, bytes, n, on_frame, &g, NULL);
	vk_buf_release(&g.in);
	vk_buf_release(&g.control);
	return r;
}

Test(frames, malformed_heads_are_refused)
{
	cr_expect_eq(feed("\4\0\0\0\0", 5), VK_INVALID);
	cr_expect_eq(feed("\xff\0\0\0\0", 5), VK_INVALID);
	cr_expect_eq(feed("\0\xff\xff\xff\xff", 5), VK_LIMIT);
	cr_expect_eq(feed("\0\1\0\0\0", 5), 0, "16 MiB is the most");
	cr_expect_eq(feed("\0\1\0\0\1", 5), VK_LIMIT);
	cr_expect_eq(feed("\1\0\0\0\1x", 6), VK_INVALID);
	cr_expect_eq(feed("\2\0\0\0\3xxx", 8), VK_INVALID);
	cr_expect_eq(feed("\2\0\0\0\5xxxxx", 10), VK_INVALID);
	cr_expect_eq(feed("\3\0\0\0\0", 5), VK_INVALID);
	cr_expect_eq(feed("\3\0\0\0\100", 5), VK_INVALID);
}

static int stop_at_once(void *arg, int type, const void *p, size_t n, struct vk_err *err)
{
	(void)type, (void)p, (void)n, (void)err;
	++*(int *)arg;
	return -77;
}

Test(frames, the_callback_can_end_the_call)
{
	struct frames f = {0};
	int calls = 0;
	cr_assert_eq(frames_feed(&f, "\1\0\0\0\0\1\0\0\0\0", 10, stop_at_once, &calls, NULL), -77);
	cr_assert_eq(calls, 1);
}

Test(frames, a_full_buffer_takes_nothing)
{
	vk_autobuf b = VK_BUF_INIT(16);
	cr_assert_eq(frames_put(&b, FRAME_STDOUT, "0123456789a", 11), 0);
	cr_assert_eq(b.len, 16);
	cr_assert_eq(frames_put(&b, FRAME_STDOUT, "", 0), VK_LIMIT);
	cr_assert_eq(b.len, 16);
	cr_assert_eq(memcmp(b.data,
			     "\1\0\0\0\13"
			     "0123456789a",
			     16),
		0);
}
