#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "dial.h"

static struct vk_loop *loop;
static char dir[] = "/tmp/dial-test-XXXXXX";
static char path[64];
static int listener, server = -1;

struct seen {
	struct dial *d;
	int status, ends, taken_fd;
	bool free_in_body;
	struct vk_buf body;
	struct vk_err err;
};
static struct seen seen;

static void on_head(void *arg, int status, const char *type)
{
	struct seen *s = arg;
	(void)type;
	s->status = status;
}

static void on_body(void *arg, const void *p, size_t n)
{
	struct seen *s = arg;
	vk_buf_add(&s->body, p, n);
	if (s->free_in_body) {
		dial_free(s->d);
		s->d = NULL;
	}
}

static void on_end(void *arg, const struct vk_err *err)
{
	struct seen *s = arg;
	s->ends++;
	if (err != NULL)
		s->err = *err;
}

static void on_taken(void *arg, int fd, const void *early, size_t n)
{
	struct seen *s = arg;
	s->taken_fd = fd;
	vk_buf_add(&s->body, early, n);
}

static const struct dial_events plain = {.head = on_head, .body = on_body, .end = on_end};
static const struct dial_events upgrade = {
	.head = on_head, .body = on_body, .end = on_end, .taken = on_taken};

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	cr_assert_eq(vk_loop_new(&loop, NULL), 0);
	cr_assert_eq(vk_listen_unix(path, 0600, NULL, 8, &listener, NULL), 0);
	seen = (struct seen){.taken_fd = -1};
	vk_buf_init(&seen.body, (size_t)64 << 20);
}

static void teardown(void)
{
	dial_free(seen.d);
	vk_closep(&seen.taken_fd);
	vk_buf_release(&seen.body);
	vk_closep(&server);
	vk_closep(&listener);
	vk_loop_free(loop);
	vk_fs_remove_tree(dir, NULL);
}

TestSuite(dial, .init = setup, .fini = teardown, .timeout = 60);

static void turn(int n)
{
	for (int i = 0; i < n; i++)
		vk_loop_once(loop, 1);
}

static void ask(const struct dial_events *ev, int64_t silence_ms)
{
	seen.d = dial_new(loop, path, "POST", "/exec", NULL, silence_ms, ev, &seen);
	turn(3);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	cr_assert_geq(server, 0);
}

static void say(const char *text)
{
	cr_assert_eq(vk_write_all(server, text, strlen(text), NULL), 0);
	turn(5);
}

Test(dial, an_answer_in_pieces_is_handed_on_in_pieces)
{
	ask(&plain, 5000);
	say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	cr_expect_eq(seen.status, 200);
	cr_expect_str_eq(vk_buf_str(&seen.body), "abc");
	cr_expect_eq(seen.ends, 0);
	say("2\r\nde\r\n0\r\n\r\n");
	cr_expect_str_eq(vk_buf_str(&seen.body), "abcde");
	cr_expect_eq(seen.ends, 1);
	cr_expect_eq(seen.err.code, 0);
}

Test(dial, an_answer_that_breaks_off_is_an_error)
{
	ask(&plain, 5000);
	say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	shutdown(server, SHUT_RDWR);
	turn(5);
	cr_expect_eq(seen.ends, 1);
	cr_expect_neq(seen.err.code, 0);
}

Test(dial, a_refusal_keeps_code_message_and_hint)
{
	struct vk_err err = {0};
	static const char body[] =
		"{\"error\":\"CONFLICT\",\"message\":\"not running\",\"hint\":\"viking ps\"}";
	cr_expect_eq(dial_refusal(409, body, strlen(body), &err), VK_CONFLICT);
	cr_expect_str_eq(err.msg, "not running");
	cr_expect_str_eq(err.hint, "viking ps");
	cr_expect_eq(
		dial_refusal(503, "<html>", 6, &err), VK_UNAVAILABLE, "no JSON: by the status");
	cr_expect_neq(dial_refusal(200, "", 0, &err), 0);
}

Test(dial, an_upgrade_hands_the_socket_over_with_what_came_behind_it)
{
	ask(&upgrade, 5000);
	say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
	    "viking-frames\r\n\r\nearly");
	cr_assert_geq(seen.taken_fd, 0);
	cr_expect_str_eq(vk_buf_str(&seen.body), "early");
	cr_expect_eq(seen.ends, 0, "nothing else is told");
	cr_assert_eq(send(seen.taken_fd, "x", 1, 0), 1);
	cr_expect_neq(fcntl(seen.taken_fd, F_GETFL) & O_NONBLOCK, 0);
}

Test(dial, an_upgrade_that_nobody_asked_for_is_an_error)
{
	ask(&plain, 5000);
	say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
	cr_expect_eq(seen.ends, 1);
	cr_expect_neq(seen.err.code, 0);
}

Test(dial, nobody_there_is_told_from_the_loop)
{
	vk_closep(&listener);
	listener = -1;
	seen.d = dial_new(loop, path, "GET", "/logs", NULL, 5000, &plain, &seen);
	cr_expect_eq(seen.ends, 0, "not from inside the call");
	turn(3);
	cr_expect_eq(seen.ends, 1);
	cr_expect_eq(seen.err.code, VK_UNAVAILABLE);
}

Test(dial, a_server_whose_queue_is_full_does_not_hold_us_up)
{
	int waiting[64];
	for (size_t i = 0; i < VK_COUNT(waiting); i++) { /* nobody accepts */
		struct dial *d = dial_new(loop, path, "GET", "/", NULL, 60000, &plain, &seen);
		turn(1);
		waiting[i] = seen.ends;
		dial_free(d);
	}
	cr_expect_gt(waiting[63], 0);
	cr_expect_eq(seen.err.code, VK_UNAVAILABLE);
}

Test(dial, silence_ends_it_but_not_while_paused)
{
	ask(&plain, 50);
	dial_pause(seen.d, true);
	int64_t end = vk_mono_ms() + 150;
	while (vk_mono_ms() < end)
		vk_loop_once(loop, 20);
	cr_expect_eq(seen.ends, 0);
	dial_pause(seen.d, false);
	end = vk_mono_ms() + 2000;
	while (seen.ends == 0 && vk_mono_ms() < end)
		vk_loop_once(loop, 20);
	cr_expect_eq(seen.ends, 1);
	cr_expect_eq(seen.err.code, VK_TIMEOUT);
}

Test(dial, paused_nothing_is_read)
{
	static char block[65536];
	ask(&plain, 5000);
	say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nx");
	size_t before = seen.body.len;
	dial_pause(seen.d, true);
	for (int i = 0; i < 100; i++) {
		(void)!send(server, block, sizeof(block), MSG_NOSIGNAL);
		turn(1);
	}
	cr_expect_eq(seen.body.len, before);
	dial_pause(seen.d, false);
	turn(20);
	cr_expect_gt(seen.body.len, before);
}

Test(dial, may_be_freed_from_its_own_callback)
{
	seen.free_in_body = true;
	ask(&plain, 5000);
	say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
	cr_expect_null(seen.d);
	cr_expect_eq(seen.ends, 0);
	char request[4096];
	cr_expect_gt(recv(server, request, sizeof(request), 0), 0);
	ssize_t n = recv(server, request, sizeof(request), 0);
	cr_expect(n == 0 || (n < 0 && errno == ECONNRESET), "the connection is closed");
}
