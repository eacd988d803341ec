#include <criterion/criterion.h>

#include <viking/exec_frames.h>

struct seen {
	int n, types[8];
	size_t bytes;
};

static int see(void *arg, int type, const void *p, size_t n)
{
	struct seen *s = arg;
	(void)p;
	s->types[s->n++] = type;
	s->bytes += n;
	return 0;
}

Test(exec_frames, split_at_every_place)
{
	uint8_t bytes[5 + 3 + 5 + 5 + 2];
	vk_exec_head(bytes, VK_EXEC_STDOUT, 3);
	memcpy(bytes + 5, "abc", 3);
	vk_exec_head(bytes + 8, VK_EXEC_STDERR, 0);
	vk_exec_head(bytes + 13, VK_EXEC_END, 2);
	memcpy(bytes + 18, "{}", 2);
	for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
		struct vk_exec_frames f;
		struct seen s = {0};
		vk_exec_frames_init(&f);
		cr_assert_eq(vk_exec_frames_feed(&f, bytes, cut, see, &s, NULL), 0);
		cr_assert_eq(
			vk_exec_frames_feed(&f, bytes + cut, sizeof(bytes) - cut, see, &s, NULL),
			0);
		cr_assert_eq(s.n, 3);
		cr_assert_eq(s.types[0], VK_EXEC_STDOUT);
		cr_assert_eq(s.types[2], VK_EXEC_END);
		cr_assert_eq(s.bytes, 5);
		vk_exec_frames_release(&f);
	}
}

Test(exec_frames, too_long_is_refused)
{
	uint8_t head[5];
	struct vk_exec_frames f;
	struct seen s = {0};
	struct vk_err err = {0};
	vk_exec_frames_init(&f);
	vk_exec_head(head, VK_EXEC_STDOUT, VK_EXEC_MAX + 1);
	cr_assert_eq(vk_exec_frames_feed(&f, head, sizeof(head), see, &s, &err), VK_LIMIT);
	vk_exec_frames_release(&f);
}
