/*
 * Bytes of a client of exec and run. The input is fed twice, whole and split at a place it chooses; both must end the
 * same and hand on the same bytes.
 */
#undef NDEBUG /* the checks are the test */
#include <assert.h>
#include <string.h>
#include <viking/mem.h>

#include "frames.h"

static int on_frame(void *arg, int type, const void *p, size_t n, struct vk_err *err)
{
	struct vk_buf *out = arg;
	(void)err;
	assert(type >= FRAME_STDIN && type <= FRAME_SIGNAL);
	if (type !=
		FRAME_STDIN) { /* input comes in pieces, so only the others show where they begin */
		assert(n < FRAMES_CONTROL_MAX && (type != FRAME_RESIZE || n == 4));
		vk_buf_addf(out, "<%d:%zu>", type, n);
	}
	return vk_buf_add(out, p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	vk_autobuf whole = VK_BUF_INIT(64u << 20), parts = VK_BUF_INIT(64u << 20);
	struct frames a = {0}, b = {0};
	size_t split = n > 0 ? data[n - 1] % n : 0;
	int one = frames_feed(&a, data, n, on_frame, &whole, NULL);
	int two = frames_feed(&b, data, split, on_frame, &parts, NULL);
	if (two == 0)
		two = frames_feed(&b, data + split, n - split, on_frame, &parts, NULL);
	assert(one == two);
	assert(whole.len == parts.len &&
		memcmp(vk_buf_str(&whole), vk_buf_str(&parts), whole.len) == 0);
	return 0;
}
