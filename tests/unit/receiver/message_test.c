#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <viking/str.h>

#include "message.h"

static struct message run(void)
{
	static char command[] = "ps shop", term[] = "xterm";
	struct message m = MESSAGE_INIT(MESSAGE_RUN, 3);
	m.num[0] = 1;
	m.num[1] = 80;
	m.num[2] = 0xfffffffe;
	m.str[0] = command;
	m.str[1] = term;
	return m;
}

Test(message, comes_out_as_it_went_in)
{
	vk_autobuf b = VK_BUF_INIT(1);
	const struct message m = run();
	struct message got;
	cr_assert_eq(message_encode(&m, &b, NULL), 0);
	cr_assert_eq(message_decode(b.data, b.len, FROM_SESSION, &got, NULL), 0);
	cr_expect_eq(got.kind, MESSAGE_RUN);
	cr_expect_eq(got.channel, 3);
	cr_expect_eq(got.num[1], 80);
	cr_expect_eq(got.num[2], 0xfffffffe);
	cr_expect_str_eq(got.str[0], "ps shop");
	cr_expect_str_eq(got.str[1], "xterm");
	cr_expect_str_eq(got.str[3], "");
	message_release(&got);
}

Test(message, every_cut_and_every_tail_is_refused)
{
	vk_autobuf b = VK_BUF_INIT(1);
	const struct message m = run();
	struct message got;
	cr_assert_eq(message_encode(&m, &b, NULL), 0);
	for (size_t n = 0; n < b.len; n++)
		cr_expect_eq(
			message_decode(b.data, n, FROM_SESSION, &got, NULL), VK_INVALID, "%zu", n);
	vk_buf_addc(&b, 'x');
	cr_expect_eq(message_decode(b.data, b.len, FROM_SESSION, &got, NULL), VK_INVALID);
}

Test(message, only_the_right_side_may_say_it)
{
	struct message got;
	for (int kind = 0; kind < 256; kind++) {
		const char bytes[2] = {(char)kind, 0};
		if (message_decode(bytes, 2, FROM_SESSION, &got, NULL) == 0)
			cr_expect_eq(kind, MESSAGE_CLOSE);
	}
	const struct message m = run();
	vk_autobuf b = VK_BUF_INIT(1);
	message_encode(&m, &b, NULL);
	cr_expect_eq(message_decode(b.data, b.len, FROM_MONITOR, &got, NULL), VK_INVALID);
}

Test(message, nul_bytes_and_far_channels_are_refused)
{
	struct message got;
	const char signal[] = {MESSAGE_SIGNAL, 0, 0, 3, 'I', '\0', 'T'};
	const char channel[] = {MESSAGE_CLOSE, CHANNELS_MAX};
	cr_expect_eq(message_decode(signal, sizeof(signal), FROM_SESSION, &got, NULL), VK_INVALID);
	cr_expect_eq(
		message_decode(channel, sizeof(channel), FROM_SESSION, &got, NULL), VK_INVALID);
}

Test(message, only_two_kinds_come_before_log_in)
{
	cr_expect_not(message_needs_login(MESSAGE_KEY_QUERY));
	cr_expect_not(message_needs_login(MESSAGE_KEY_LOGIN));
	cr_expect(message_needs_login(MESSAGE_RUN));
	cr_expect(message_needs_login(MESSAGE_RESIZE));
	cr_expect(message_needs_login(MESSAGE_SIGNAL));
	cr_expect(message_needs_login(MESSAGE_PROGRESS));
	cr_expect(message_needs_login(MESSAGE_CLOSE));
}

Test(message, descriptors_travel_and_surplus_is_refused)
{
	int pair[2], pipes[2];
	struct message got;
	struct message m = MESSAGE_INIT(MESSAGE_STARTED, 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	cr_assert_eq(pipe(pipes), 0);
	m.fd[0] = pipes[1];
	m.fd[1] = pipes[0];
	cr_assert_eq(message_send(pair[0], &m, NULL), 0);
	cr_assert_eq(message_recv(pair[1], FROM_MONITOR, &got, NULL), 0);
	cr_assert_geq(got.fd[1], 0);
	cr_expect_eq(got.fd[2], -1);
	cr_expect_eq(fcntl(got.fd[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_expect_eq(write(got.fd[0], "x", 1), 1);
	char c = 0;
	cr_expect_eq(read(pipes[0], &c, 1), 1);
	message_release(&got);
	m.kind = MESSAGE_REVOKED;
	cr_assert_eq(message_send(pair[0], &m, NULL), 0);
	cr_expect_eq(message_recv(pair[1], FROM_MONITOR, &got, NULL), VK_INVALID);
	close(pair[0]);
	cr_expect_eq(message_recv(pair[1], FROM_MONITOR, &got, NULL), VK_UNAVAILABLE);
	close(pair[1]);
	close(pipes[0]);
	close(pipes[1]);
}
