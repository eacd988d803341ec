#include "frames.h"

#include <viking/mem.h>

static int check_head(const struct frames *f, struct vk_err *err)
{
	switch (f->head[0]) {
	case FRAME_STDIN:
		return f->left <= FRAMES_STDIN_MAX ? 0
						   : vk_err_set(err, VK_LIMIT, "frame too long");
	case FRAME_EOF:
		return f->left == 0 ? 0
				    : vk_err_set(err, VK_INVALID, "end of input with a payload");
	case FRAME_RESIZE:
		return f->left == 4 ? 0 : vk_err_set(err, VK_INVALID, "malformed window size");
	case FRAME_SIGNAL:
		return f->left >= 1 && f->left < FRAMES_CONTROL_MAX
			? 0
			: vk_err_set(err, VK_INVALID, "malformed signal");
	default:
		return vk_err_set(err, VK_INVALID, "unknown frame type %u", f->head[0]);
	}
}

static size_t take_head(struct frames *f, const uint8_t *p, size_t n)
{
	size_t k = sizeof(f->head) - f->have;
	if (k > n)
		k = n;
	memcpy(f->head + f->have, p, k);
	f->have += (unsigned)k;
	if (f->have == sizeof(f->head)) {
		f->left = (uint32_t)f->head[1] << 24 | (uint32_t)f->head[2] << 16 |
			(uint32_t)f->head[3] << 8 | f->head[4];
		f->got = 0;
	}
	return k;
}

static int take_payload(
	struct frames *f, const uint8_t *p, size_t k, frames_fn *fn, void *arg, struct vk_err *err)
{
	int r = 0;
	if (f->head[0] == FRAME_STDIN) {
		if (k > 0)
			r = fn(arg, FRAME_STDIN, p, k, err);
	} else {
		memcpy(f->control + f->got, p, k);
		f->got += (uint32_t)k;
	}
	f->left -= (uint32_t)k;
	if (f->left == 0) {
		f->have = 0;
		if (f->head[0] != FRAME_STDIN && r == 0)
			r = fn(arg, f->head[0], f->control, f->got, err);
	}
	return r;
}

int frames_feed(
	struct frames *f, const void *bytes, size_t n, frames_fn *fn, void *arg, struct vk_err *err)
{
	const uint8_t *p = bytes;
	while (n > 0) {
		if (f->have < sizeof(f->head)) {
			size_t k = take_head(f, p, n);
			p += k;
			n -= k;
			if (f->have < sizeof(f->head))
				return 0;
			int r = check_head(f, err);
			if (r < 0)
				return r;
			if (f->left > 0)
				continue;
		}
		size_t k = f->left < n ? f->left : n;
		int r = take_payload(f, p, k, fn, arg, err);
		if (r != 0)
			return r;
		p += k;
		n -= k;
	}
	return 0;
}

int frames_put(struct vk_buf *b, int type, const void *p, size_t n)
{
	uint8_t head[5] = {(uint8_t)type, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
		(uint8_t)n};
	if (n > UINT32_MAX || b->len + sizeof(head) + n > b->max)
		return VK_LIMIT;
	vk_buf_add(b, head, sizeof(head));
	return vk_buf_add(b, p, n);
}
