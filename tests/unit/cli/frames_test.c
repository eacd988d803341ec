#include <criterion/criterion.h>

#include "frames.h"

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

Test(frames, split_at_every_place)
{
	uint8_t bytes[5 + 3 + 5 + 5 + 2];
	frames_head(bytes, FRAME_STDOUT, 3);
	memcpy(bytes + 5, "abc", 3);
	frames_head(bytes + 8, FRAME_STDERR, 0);
	frames_head(bytes + 13, FRAME_END, 2);
	memcpy(bytes + 18, "{}", 2);
	for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
		struct frames f;
		struct seen s = {0};
		frames_init(&f);
		cr_assert_eq(frames_feed(&f, bytes, cut, see, &s, NULL), 0);
		cr_assert_eq(frames_feed(&f, bytes + cut, sizeof(bytes) - cut, see, &s, NULL), 0);
		cr_assert_eq(s.n, 3);
		cr_assert_eq(s.types[0], FRAME_STDOUT);
		cr_assert_eq(s.types[2], FRAME_END);
		cr_assert_eq(s.bytes, 5);
		frames_release(&f);
	}
}

Test(frames, too_long_is_refused)
{
	uint8_t head[5];
	struct frames f;
	struct seen s = {0};
	struct vk_err err = {0};
	frames_init(&f);
	frames_head(head, FRAME_STDOUT, FRAME_MAX + 1);
	cr_assert_eq(frames_feed(&f, head, sizeof(head), see, &s, &err), VK_LIMIT);
	frames_release(&f);
}
