/* Two links over a socket pair, with pipes at both ends: as viking-remote and the far monitor join them. */
#include "link.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/exec_frames.h>
#include <viking/mem.h>
#include <viking/str.h>

#define PATIENCE 20000
#define BIG      ((size_t)4 << 20)

struct side {
	struct link *k;
	int ended, gone, idle;
	size_t taken;
	struct vk_buf said; /* frames that are no sink's: their types */
};

static void on_frame(void *arg, int type, const void *p, size_t n)
{
	struct side *s = arg;
	(void)p, (void)n;
	vk_buf_addf(&s->said, "%d", type);
}

static void on_taken(void *arg, size_t n)
{
	((struct side *)arg)->taken += n;
}

static void on_ended(void *arg, int type)
{
	(void)type;
	((struct side *)arg)->ended++;
}

static void on_idle(void *arg)
{
	((struct side *)arg)->idle++;
}

static void on_gone(void *arg)
{
	((struct side *)arg)->gone++;
}

static const struct link_ops ops = {
	.frame = on_frame, .taken = on_taken, .ended = on_ended, .idle = on_idle, .gone = on_gone};

static struct vk_loop *loop;
static struct side near_side, far_side;
static int in[2], out[2]; /* what the near side reads, what the far side writes */

static void setup(void)
{
	int pair[2];
	signal(SIGPIPE, SIG_IGN); /* as the programs do */
	cr_assert_eq(vk_loop_new(&loop, NULL), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert(
		pipe2(in, O_CLOEXEC | O_NONBLOCK) == 0 && pipe2(out, O_CLOEXEC | O_NONBLOCK) == 0);
	near_side = far_side = (struct side){.said = VK_BUF_INIT(1024)};
	near_side.k = link_new(loop, pair[0], &ops, &near_side);
	far_side.k = link_new(loop, pair[1], &ops, &far_side);
	link_source(near_side.k, VK_EXEC_STDIN, in[0]);
	link_sink(far_side.k, VK_EXEC_STDIN, out[1]);
}

static void teardown(void)
{
	link_free(near_side.k);
	link_free(far_side.k);
	vk_closep(&in[1]);
	vk_closep(&out[0]);
	vk_buf_release(&near_side.said);
	vk_buf_release(&far_side.said);
	vk_loop_free(loop);
}

TestSuite(link, .init = setup, .fini = teardown, .timeout = 60);

static void turn_until(const int *count)
{
	int64_t until = vk_mono_ms() + PATIENCE;
	while (*count == 0 && vk_mono_ms() < until)
		vk_loop_once(loop, 20);
	cr_assert_gt(*count, 0);
}

/* Writes what can be written, reads what can be read; the bytes are those of their place. */
static void pump(size_t *written, size_t *got, size_t most)
{
	unsigned char piece[8192];
	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = (unsigned char)((*written + i) % 251);
	size_t left = BIG - *written;
	ssize_t n = left > 0 ? write(in[1], piece, left < sizeof(piece) ? left : sizeof(piece)) : 0;
	*written += n > 0 ? (size_t)n : 0;
	n = *got < most ? read(out[0], piece, sizeof(piece)) : 0;
	for (ssize_t i = 0; i < n; i++)
		cr_assert_eq(piece[i], (unsigned char)((*got + (size_t)i) % 251));
	*got += n > 0 ? (size_t)n : 0;
}

Test(link, bytes_arrive_in_order_and_then_the_end)
{
	size_t written = 0, got = 0;
	int64_t until = vk_mono_ms() + PATIENCE;
	while (got < BIG && vk_mono_ms() < until) {
		pump(&written, &got, BIG);
		vk_loop_once(loop, 0);
	}
	cr_assert_eq(got, BIG);
	cr_assert_eq(far_side.taken, BIG);
	vk_closep(&in[1]);
	turn_until(&near_side.ended);
	cr_assert(link_idle(near_side.k));
}

Test(link, who_does_not_read_is_not_written_to_for_ever)
{
	size_t written = 0, got = 0;
	for (int i = 0; i < 4000; i++) {
		pump(&written, &got, 0);
		vk_loop_once(loop, 0);
	}
	cr_assert_lt(written, BIG, "all of it went into queues");
	cr_assert_eq(near_side.gone + far_side.gone, 0);
}

Test(link, other_frames_are_the_owners_and_a_sink_ends_behind_its_bytes)
{
	char byte;
	cr_assert_eq(write(in[1], "x", 1), 1);
	vk_closep(&in[1]);
	turn_until(&near_side.ended);
	link_send(near_side.k, VK_EXEC_EOF, NULL, 0);
	while (far_side.said.len == 0)
		vk_loop_once(loop, 20);
	cr_assert_str_eq(vk_buf_str(&far_side.said), "1");
	link_sink_end(far_side.k, VK_EXEC_STDIN);
	cr_assert_eq(read(out[0], &byte, 1), 1);
	cr_assert_eq(read(out[0], &byte, 1), 0);
}

Test(link, a_sink_that_closes_loses_only_its_own)
{
	vk_closep(&out[0]);
	cr_assert_eq(write(in[1], "lost", 4), 4);
	vk_closep(&in[1]);
	turn_until(&near_side.ended);
	link_send(near_side.k, VK_EXEC_EOF, NULL, 0);
	while (far_side.said.len == 0)
		vk_loop_once(loop, 20);
	cr_assert_eq(far_side.gone, 0);
}

Test(link, the_other_side_going_is_told_once)
{
	link_free(VK_TAKE(far_side.k));
	turn_until(&near_side.gone);
	for (int i = 0; i < 5; i++)
		vk_loop_once(loop, 1);
	cr_assert_eq(near_side.gone, 1);
}

Test(link, nonsense_ends_it)
{
	link_feed(far_side.k, "\0\377\377\377\377", 5);
	cr_assert_eq(far_side.gone, 1);
}
