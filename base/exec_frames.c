#include <viking/exec_frames.h>

void vk_exec_frames_init(struct vk_exec_frames *f)
{
	vk_buf_init(&f->have, VK_EXEC_MAX + 65536);
}

void vk_exec_frames_release(struct vk_exec_frames *f)
{
	vk_buf_release(&f->have);
}

void vk_exec_head(uint8_t head[static 5], int type, uint32_t n)
{
	head[0] = (uint8_t)type;
	for (int i = 0; i < 4; i++)
		head[1 + i] = (uint8_t)(n >> (24 - 8 * i));
}

int vk_exec_frames_feed(struct vk_exec_frames *f, const void *p, size_t n, vk_exec_frame_fn *fn,
	void *arg, struct vk_err *err)
{
	const uint8_t *at = p;
	while (n > 0) {
		size_t part = n < 65536 ? n : 65536;
		if (vk_buf_add(&f->have, at, part) < 0)
			return vk_err_set(err, VK_LIMIT, "a frame is too long");
		at += part;
		n -= part;
		while (f->have.len >= 5) {
			const uint8_t *h = (const uint8_t *)f->have.data;
			uint32_t len = (uint32_t)h[1] << 24 | (uint32_t)h[2] << 16 |
				(uint32_t)h[3] << 8 | h[4];
			if (len > VK_EXEC_MAX)
				return vk_err_set(err, VK_LIMIT, "a frame of %u bytes is over %u",
					len, VK_EXEC_MAX);
			if (f->have.len < 5 + (size_t)len)
				break;
			int r = fn(arg, h[0], h + 5, len);
			if (r != 0)
				return r;
			vk_buf_consume(&f->have, 5 + (size_t)len);
		}
	}
	return 0;
}
