#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "relay.h"

#define TURNS 200 /* passes of the loop that any of these needs by far */
#define BOUND ((size_t)4 << 20)

static struct vk_loop *loop;
static int near_fd, far_fd; /* the test's ends */

static void pair_of(int *ret_ours, int *ret_theirs)
{
	int v[2];
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, v), 0);
	*ret_ours = v[0];
	*ret_theirs = v[1];
}

static void begin(const char *near_early, const char *far_early)
{
	int near_theirs, far_theirs;
	cr_assert_eq(vk_loop_new(&loop, NULL), 0);
	pair_of(&near_fd, &near_theirs);
	pair_of(&far_fd, &far_theirs);
	relay_start(loop, near_theirs, near_early, strlen(near_early), far_theirs, far_early,
		strlen(far_early));
}

static void turn(int n)
{
	for (int i = 0; i < n; i++)
		vk_loop_once(loop, 1);
}

/* Reads what comes within a while; true when the end came. */
static bool read_all(int fd, struct vk_buf *b)
{
	char piece[65536];
	for (int i = 0; i < TURNS; i++) {
		ssize_t n = recv(fd, piece, sizeof(piece), 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return true;
		if (n > 0)
			vk_buf_add(b, piece, (size_t)n);
		vk_loop_once(loop, n > 0 ? 0 : 1);
	}
	return false;
}

static bool has_end(int fd)
{
	vk_autobuf b = VK_BUF_INIT(BOUND);
	return read_all(fd, &b);
}

/* Sends until nothing is taken any more, turning the loop. */
static size_t send_until_full(int fd, size_t max)
{
	static char block[65536];
	size_t sent = 0;
	int full = 0;
	while (sent < max && full < 20) {
		ssize_t n = send(fd, block, sizeof(block), MSG_NOSIGNAL);
		full = n > 0 ? 0 : full + 1;
		sent += n > 0 ? (size_t)n : 0;
		vk_loop_once(loop, 1);
	}
	return sent;
}

static void finish(void)
{
	close(near_fd);
	close(far_fd);
	turn(5);
	vk_loop_free(loop);
}

TestSuite(relay, .fini = finish, .timeout = 60);

Test(relay, bytes_go_both_ways_and_those_read_before_come_first)
{
	vk_autobuf near_got = VK_BUF_INIT(BOUND), far_got = VK_BUF_INIT(BOUND);
	begin("in0 ", "out0 ");
	cr_assert_eq(send(near_fd, "in1", 3, 0), 3);
	cr_assert_eq(send(far_fd, "out1", 4, 0), 4);
	turn(10);
	cr_expect_not(read_all(near_fd, &near_got), "both sides are open");
	cr_expect_not(read_all(far_fd, &far_got));
	cr_expect_str_eq(vk_buf_str(&near_got), "out0 out1");
	cr_expect_str_eq(vk_buf_str(&far_got), "in0 in1");
}

Test(relay, what_the_far_side_said_last_arrives_before_the_end)
{
	vk_autobuf got = VK_BUF_INIT(BOUND);
	begin("", "");
	size_t sent = send_until_full(far_fd, (size_t)300000);
	shutdown(far_fd, SHUT_RDWR);
	cr_expect(read_all(near_fd, &got), "the end is passed on");
	cr_expect_eq(got.len, sent);
}

Test(relay, the_near_sides_going_closes_the_far_side_at_once)
{
	begin("", "");
	send_until_full(far_fd, BOUND); /* also with bytes on the way that nobody will read */
	close(near_fd);
	near_fd = -1;
	cr_expect(has_end(far_fd));
}

Test(relay, a_side_that_does_not_read_stops_the_other)
{
	vk_autobuf got = VK_BUF_INIT((size_t)64 << 20);
	begin("", "");
	size_t sent = send_until_full(far_fd, (size_t)32 << 20);
	cr_assert_lt(sent, BOUND, "%zu bytes were taken for a reader that does not read", sent);
	cr_expect_not(read_all(near_fd, &got));
	cr_expect_eq(got.len, sent, "and none is lost");
	cr_expect_gt(send_until_full(far_fd, 65536), 0, "it goes on when there is room");
}

Test(relay, a_near_side_that_goes_while_it_is_not_read_is_noticed)
{
	begin("", "");
	size_t sent = send_until_full(near_fd, (size_t)32 << 20); /* the far side does not read */
	cr_assert_lt(sent, BOUND);
	close(near_fd);
	near_fd = -1;
	turn(10);
	cr_expect(has_end(far_fd));
}
