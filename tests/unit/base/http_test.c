#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/http.h>
#include <viking/mem.h>
#include <viking/str.h>

/* A server for one connection: checks that the request holds `expect`, answers with `answer`. */
static pid_t serve(const char *expect, const char *answer, char url[static 64])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(s, 1), 0);
	cr_assert_eq(getsockname(s, (struct sockaddr *)&a, &n), 0);
	snprintf(url, 64, "http://127.0.0.1:%d/v2/x", ntohs(a.sin_port));
	pid_t pid = fork();
	if (pid != 0) {
		close(s);
		return pid;
	}
	int c = accept(s, NULL, NULL);
	char got[8192] = "";
	for (size_t have = 0; strstr(got, "\r\n\r\n") == NULL && have < sizeof(got) - 1;) {
		ssize_t r = read(c, got + have, sizeof(got) - 1 - have);
		if (r <= 0)
			_exit(2);
		have += (size_t)r;
	}
	if (answer == NULL)
		pause();
	if (write(c, answer, strlen(answer)) < 0)
		_exit(3);
	_exit(strstr(got, expect) != NULL ? 0 : 1);
}

static void expect_served(pid_t pid)
{
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "the request was not what was expected");
}

Test(http, status_and_header)
{
	char url[64];
	struct vk_http_answer a;
	pid_t pid = serve("Authorization: Basic dTpwdw==",
		"HTTP/1.1 404 No\r\nx-WANTED:  the value \r\nContent-Length: 5\r\n\r\nhello", url);
	struct vk_http_request q = {.method = "GET",
		.url = url,
		.user = "u",
		.password = "pw",
		.want_header = "X-Wanted",
		.timeout_ms = 5000};
	cr_assert_eq(vk_http(&q, &a, NULL), 0);
	cr_assert_eq(a.status, 404);
	cr_assert(strncmp(a.header, "the value", 9) == 0, "%s", a.header);
	expect_served(pid);
}

static int take(void *arg, const void *p, size_t n)
{
	return vk_buf_add(arg, p, n);
}

Test(http, a_body_goes_to_the_sink_until_that_has_enough)
{
	for (size_t max = 5; max >= 4; max--) {
		char url[64];
		struct vk_http_answer a;
		vk_autobuf got = VK_BUF_INIT(max);
		pid_t pid = serve("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", url);
		struct vk_http_request q = {.method = "GET",
			.url = url,
			.sink = take,
			.sink_arg = &got,
			.timeout_ms = 5000};
		cr_assert_eq(vk_http(&q, &a, NULL), max == 5 ? 0 : VK_UNAVAILABLE);
		cr_assert_str_eq(vk_buf_str(&got), max == 5 ? "hello" : "");
		expect_served(pid);
	}
}

Test(http, head_has_no_body_and_sends_accept)
{
	char url[64];
	struct vk_http_answer a;
	pid_t pid = serve("Accept: text/x, text/y\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", url);
	struct vk_http_request q = {
		.method = "HEAD", .url = url, .accept = "text/x, text/y", .timeout_ms = 5000};
	cr_assert_eq(vk_http(&q, &a, NULL), 0);
	cr_assert_eq(a.status, 200);
	cr_assert_str_eq(a.header, "");
	expect_served(pid);
}

Test(http, redirects_are_answers)
{
	char url[64];
	struct vk_http_answer a;
	pid_t pid = serve("DELETE /v2/x",
		"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
		url);
	struct vk_http_request q = {.method = "DELETE", .url = url, .timeout_ms = 5000};
	cr_assert_eq(vk_http(&q, &a, NULL), 0);
	cr_assert_eq(a.status, 302);
	expect_served(pid);
}

Test(http, a_silent_server_is_a_timeout)
{
	char url[64];
	struct vk_http_answer a;
	struct vk_err err = {0};
	pid_t pid = serve("", NULL, url);
	struct vk_http_request q = {
		.method = "GET", .url = url, .user = "u", .password = "hush", .timeout_ms = 200};
	cr_assert_eq(vk_http(&q, &a, &err), VK_TIMEOUT);
	cr_assert(strstr(err.msg, "hush") == NULL);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

Test(http, nobody_there_and_no_other_protocols)
{
	struct vk_http_answer a;
	struct vk_http_request q = {
		.method = "GET", .url = "http://127.0.0.1:1/", .timeout_ms = 2000};
	cr_assert_eq(vk_http(&q, &a, NULL), VK_UNAVAILABLE);
	q.url = "file:///etc/passwd";
	cr_assert_eq(vk_http(&q, &a, NULL), VK_UNAVAILABLE);
}
