#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/api.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/json.h>
#include <viking/str.h>

#include "pair.h"

#define BODY_MAX 4096

static struct pair pair;
static struct vk_httpd *server;
static struct vk_timer *later;
static struct vk_req *held[64]; /* wait for `later`, whether their clients do or not */
static unsigned held_count;
static unsigned closed_count, handled;
static bool closed_flag;
static char path_seen[128];
static struct vk_err no_err;

static void answer_later(void *arg)
{
	(void)arg;
	while (held_count > 0)
		vk_req_json(held[--held_count], 200, json_pack("{s:s}", "when", "later"));
}

static void on_closed(void *arg, struct vk_req *r)
{
	(void)arg, (void)r;
	closed_count++;
	closed_flag = true;
}

static void on_upgrade(void *arg, int fd, const void *early, size_t n)
{
	(void)arg;
	if (fd < 0)
		return;
	struct vk_err err = {0};
	vk_write_all(fd, "[", 1, &err);
	vk_write_all(fd, early, n, &err);
	vk_write_all(fd, "]", 1, &err);
	close(fd);
}

static void route_echo(struct vk_req *r)
{
	uid_t uid;
	pid_t pid;
	vk_req_peer(r, &uid, &pid);
	const struct vk_buf *body = vk_req_body(r);
	const char *q = vk_req_query(r, "q"), *empty = vk_req_query(r, "empty");
	json_t *j = json_object();
	json_object_set_new(j, "method", json_string(vk_req_method(r)));
	json_object_set_new(j, "path", json_string(vk_req_path(r)));
	json_object_set_new(j, "uid", json_integer((int)uid));
	json_object_set_new(j, "pid", json_integer(pid));
	json_object_set_new(j, "body", json_stringn(vk_buf_str(body), body->len));
	json_object_set_new(j, "q", q ? json_string(q) : json_null());
	json_object_set_new(j, "empty", empty ? json_string(empty) : json_null());
	json_object_set_new(j, "absent", vk_req_query(r, "absent") ? json_true() : json_null());
	const char *role = vk_req_header(r, "Viking-Role"),
		   *auth = vk_req_header(r, "Authorization");
	json_object_set_new(j, "role", role ? json_string(role) : json_null());
	json_object_set_new(j, "auth", auth ? json_string(auth) : json_null());
	vk_req_header_add(r, "X-Extra", "yes");
	vk_req_json(r, 200, j);
}

static void route_stream(struct vk_req *r)
{
	vk_req_stream(r, 200, NULL, 0, on_closed, NULL);
	for (int i = 0; i < 3; i++)
		vk_req_line(r, json_pack("{s:i}", "i", i));
	vk_req_end(r);
}

static void route_flood(struct vk_req *r)
{
	static char block[65536];
	memset(block, 'x', sizeof(block));
	vk_req_stream(r, 200, "text/plain", 1 << 20, on_closed, NULL);
	for (int i = 0; i < 64 && vk_req_queued(r) <= 1 << 20; i++)
		vk_req_write(r, block, sizeof(block));
}

/* As much as the path says, in KiB: less than one stream may queue. */
static void route_behind(struct vk_req *r, const char *kib)
{
	static char block[1024];
	uint64_t n = 0;
	cr_assert_eq(vk_parse_u64(kib, 1, 8192, &n), 0);
	vk_req_stream(r, 200, "text/plain", 8 << 20, on_closed, NULL);
	while (n-- > 0)
		vk_req_write(r, block, sizeof(block));
}

/* A source that gives only when there is room: what is queued stays small whatever the whole is. */
static struct vk_req *source;
static struct vk_timer *give;
static unsigned given;
static size_t queued_most;

static void on_give(void *arg)
{
	static char block[65536];
	(void)arg;
	memset(block, 'x', sizeof(block));
	vk_req_write(source, block, sizeof(block));
	queued_most = vk_req_queued(source) > queued_most ? vk_req_queued(source) : queued_most;
	if (++given == 64)
		vk_req_end(source);
}

static void on_drained(void *arg)
{
	(void)arg;
	if (given < 64)
		vk_timer_set(give, 0);
}

static void route_source(struct vk_req *r)
{
	source = r;
	give = vk_timer_new(pair.loop, on_give, NULL);
	vk_req_stream(r, 200, "text/plain", 1 << 20, on_closed, NULL);
	vk_req_on_drained(r, on_drained, NULL);
	on_give(NULL);
}

static void route_file(struct vk_req *r)
{
	vk_autofree char *path = vk_asprintf("%s/file", pair.dir);
	cr_assert_eq(vk_fs_write_atomic(path, "0123456789", 10, 0600, NULL), 0);
	vk_req_file(r, 206, "text/plain", open(path, O_RDONLY | O_CLOEXEC), 2, 5);
}

static void hold(struct vk_req *r)
{
	if (held_count == VK_COUNT(held))
		answer_later(NULL);
	held[held_count++] = r;
	vk_timer_set(later, 30);
}

static void handler(void *arg, struct vk_req *r)
{
	(void)arg;
	const char *path = vk_req_path(r);
	handled++;
	snprintf(path_seen, sizeof(path_seen), "%s", path);
	struct vk_err err = {0};
	if (vk_starts(path, "/echo")) {
		route_echo(r);
	} else if (vk_streq(path, "/later")) {
		hold(r);
	} else if (vk_streq(path, "/never")) {
		vk_req_on_closed(r, on_closed, NULL);
	} else if (vk_streq(path, "/silent")) {
		vk_req_stream(r, 200, NULL, 0, on_closed, NULL);
	} else if (vk_streq(path, "/stream")) {
		route_stream(r);
	} else if (vk_streq(path, "/flood")) {
		route_flood(r);
	} else if (vk_starts(path, "/behind/")) {
		route_behind(r, path + strlen("/behind/"));
	} else if (vk_streq(path, "/source")) {
		route_source(r);
	} else if (vk_streq(path, "/file")) {
		route_file(r);
	} else if (vk_streq(path, "/upgrade")) {
		vk_req_upgrade(r, "viking", on_upgrade, NULL);
	} else {
		vk_err_set(&err, VK_NOTFOUND, "no such \"path\"");
		vk_err_hint(&err, "viking help");
		vk_req_error(r, &err);
	}
}

static void setup(void)
{
	pair_init(&pair);
	int fd;
	struct vk_err err = {0};
	cr_assert_eq(vk_listen_unix(pair.socket, 0600, NULL, 16, &fd, &err), 0, "%s", err.msg);
	const struct vk_httpd_opts o = {.body_max = BODY_MAX, .queues_max = 3 << 20};
	cr_assert_eq(
		vk_httpd_new(pair.loop, fd, &o, handler, NULL, &server, &err), 0, "%s", err.msg);
	later = vk_timer_new(pair.loop, answer_later, NULL);
}

static void teardown(void)
{
	vk_httpd_free(server); /* what is still held goes with it */
	vk_timer_free(later);
	pair_release(&pair);
}

TestSuite(httpd, .init = setup, .fini = teardown, .timeout = 60);

static int call(const char *socket, const char *method, const char *path, const json_t *body,
	json_t **ret, struct vk_err *err)
{
	const struct vk_api_opts o = {
		.socket = socket, .timeout_ms = 5000, .role = "agent", .token = "t0ken"};
	return vk_api_call(&o, method, path, body, ret, err);
}

static int client_echo(const char *socket)
{
	vk_autojson *body = json_pack("{s:i}", "a", 1), *j = NULL;
	struct vk_err err = {0};
	EXPECT(call(socket, "PUT", "/echo/a%2Fb%20c?q=x%26y&empty", body, &j, &err) == 0);
	EXPECT(vk_streq(vk_json_str(j, "method", ""), "PUT"));
	EXPECT(vk_streq(vk_json_str(j, "path", ""), "/echo/a/b c"));
	EXPECT(vk_streq(vk_json_str(j, "body", ""), "{\"a\":1}"));
	EXPECT(vk_streq(vk_json_str(j, "q", ""), "x&y"));
	EXPECT(vk_streq(vk_json_str(j, "empty", "none"), ""));
	EXPECT(json_is_null(json_object_get(j, "absent")));
	EXPECT(vk_streq(vk_json_str(j, "role", ""), "agent"));
	EXPECT(vk_streq(vk_json_str(j, "auth", ""), "Bearer t0ken"));
	EXPECT(vk_json_int(j, "uid", -1) == getuid());
	EXPECT(vk_json_int(j, "pid", -1) == getpid());
	return 0;
}

Test(httpd, answers_at_once_and_knows_the_peer)
{
	pair_run(&pair, client_echo);
}

static int client_later(const char *socket)
{
	vk_autojson *j = NULL;
	EXPECT(call(socket, "GET", "/later", NULL, &j, &no_err) == 0);
	EXPECT(vk_streq(vk_json_str(j, "when", ""), "later"));
	return 0;
}

Test(httpd, answers_later)
{
	for (int i = 0; i < 3; i++)
		pair_run(&pair, client_later);
}

static int client_error(const char *socket)
{
	struct vk_err err = {0};
	EXPECT(call(socket, "GET", "/nothing", NULL, NULL, &err) == VK_NOTFOUND);
	EXPECT(vk_streq(err.msg, "no such \"path\""));
	EXPECT(vk_streq(err.hint, "viking help"));
	return 0;
}

Test(httpd, errors_reach_the_client_whole)
{
	pair_run(&pair, client_error);
}

static int client_large_body(const char *socket)
{
	char text[BODY_MAX + 100];
	memset(text, 'x', sizeof(text));
	vk_autojson *body = json_pack("{s:s#}", "a", text, (int)sizeof(text));
	struct vk_err err = {0};
	EXPECT(call(socket, "POST", "/echo", body, NULL, &err) == VK_LIMIT);
	vk_autojson *fits = json_pack("{s:s#}", "a", text, BODY_MAX - 8);
	EXPECT(call(socket, "POST", "/echo", fits, NULL, &err) == 0);
	return 0;
}

Test(httpd, refuses_a_body_over_the_limit)
{
	pair_run(&pair, client_large_body);
	cr_assert_eq(handled, 1);
}

/* Sends raw bytes, reads until `until` is in the answer or the end. */
static int raw(const char *socket, const char *text, const char *until, struct vk_buf *answer)
{
	vk_autoclose int fd = -1;
	EXPECT(vk_connect_unix(socket, &fd, NULL) == 0);
	EXPECT(vk_write_all(fd, text, strlen(text), NULL) == 0);
	char piece[4096];
	ssize_t n;
	while (strstr(vk_buf_str(answer), until) == NULL &&
		(n = read(fd, piece, sizeof(piece))) > 0)
		vk_buf_add(answer, piece, (size_t)n);
	return 0;
}

static int client_chunked(const char *socket)
{
	vk_autobuf out = VK_BUF_INIT(1 << 20), in = VK_BUF_INIT(1 << 20);
	vk_buf_adds(&out, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	char block[1001] = {0};
	memset(block, 'y', 1000);
	for (int i = 0; i < 10; i++)
		vk_buf_addf(&out, "3e8\r\n%s\r\n", block);
	vk_buf_adds(&out, "0\r\n\r\n");
	EXPECT(raw(socket, vk_buf_str(&out), "}", &in) == 0);
	EXPECT(vk_starts(vk_buf_str(&in), "HTTP/1.1 413"));
	return 0;
}

Test(httpd, refuses_a_chunked_body_over_the_limit)
{
	pair_run(&pair, client_chunked);
	cr_assert_eq(handled, 0);
}

static int client_nul(const char *socket)
{
	vk_autobuf in = VK_BUF_INIT(1 << 20);
	EXPECT(raw(socket, "GET /echo%00/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		       "\n\n\n", &in) == 0);
	EXPECT(strstr(vk_buf_str(&in), "\"path\":\"/echo\\u0001/x\"") != NULL);
	return 0;
}

Test(httpd, a_nul_in_the_path_does_not_end_it)
{
	pair_run(&pair, client_nul);
}

static int count_line(void *arg, json_t *line, struct vk_err *err)
{
	int *n = arg;
	(void)err;
	return vk_json_int(line, "i", -1) == (*n)++ ? 0 : 77;
}

static int client_stream(const char *socket)
{
	const struct vk_api_opts o = {.socket = socket};
	int n = 0;
	EXPECT(vk_api_stream(&o, "GET", "/stream", NULL, count_line, &n, &no_err) == 0);
	EXPECT(n == 3);
	return 0;
}

Test(httpd, streams_lines_to_the_end)
{
	pair_run(&pair, client_stream);
	cr_assert_eq(closed_count, 0);
}

static int client_leaves(const char *socket)
{
	vk_autoclose int fd = -1;
	static const char text[] = "GET /never HTTP/1.1\r\nHost: x\r\n\r\n";
	EXPECT(vk_connect_unix(socket, &fd, NULL) == 0);
	EXPECT(vk_write_all(fd, text, sizeof(text) - 1, NULL) == 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	EXPECT(poll(&p, 1, 100) == 0);
	return 0;
}

Test(httpd, a_waiting_client_that_goes_is_noticed_at_once)
{
	pair_run(&pair, client_leaves);
	int64_t t0 = vk_mono_ms();
	pair_until(&pair, &closed_flag);
	cr_assert_lt(vk_mono_ms() - t0, 500);
	cr_assert_eq(closed_count, 1);
	pair_run(&pair, client_echo);
}

static int client_leaves_stream(const char *socket)
{
	vk_autobuf in = VK_BUF_INIT(1 << 20);
	return raw(socket, "GET /silent HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n", &in);
}

Test(httpd, a_silent_stream_whose_client_goes_is_noticed_at_once)
{
	pair_run(&pair, client_leaves_stream);
	int64_t t0 = vk_mono_ms();
	pair_until(&pair, &closed_flag);
	cr_assert_lt(vk_mono_ms() - t0, 500);
	cr_assert_eq(closed_count, 1);
}

static int client_keepalive(const char *socket)
{
	vk_autobuf in = VK_BUF_INIT(1 << 20);
	EXPECT(raw(socket, "GET /silent HTTP/1.1\r\nHost: x\r\n\r\n", "{}\n", &in) == 0);
	EXPECT(strstr(vk_buf_str(&in), "{}\n") != NULL);
	return 0;
}

Test(httpd, a_silent_stream_says_that_it_lives)
{
	int64_t t0 = vk_mono_ms();
	pair_run(&pair, client_keepalive);
	cr_assert_geq(vk_mono_ms() - t0, 4500);
	cr_assert_lt(vk_mono_ms() - t0, 25000, "clients give up then");
}

static int client_unread(const char *socket)
{
	vk_autoclose int fd = -1;
	static const char text[] = "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n";
	EXPECT(vk_connect_unix(socket, &fd, NULL) == 0);
	EXPECT(vk_write_all(fd, text, sizeof(text) - 1, NULL) == 0);
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	EXPECT(poll(&p, 1, 3000) == 1);
	return 0;
}

Test(httpd, a_client_that_does_not_read_is_cut_off)
{
	pair_run(&pair, client_unread);
	pair_until(&pair, &closed_flag);
	cr_assert_eq(closed_count, 1);
	pair_run(&pair, client_echo);
}

static int client_behind(const char *socket)
{
	static const char far[] = "GET /behind/2304 HTTP/1.1\r\nHost: x\r\n\r\n",
			  near[] = "GET /behind/1536 HTTP/1.1\r\nHost: x\r\n\r\n";
	vk_autoclose int a = -1, b = -1;
	EXPECT(vk_connect_unix(socket, &a, NULL) == 0 && vk_connect_unix(socket, &b, NULL) == 0);
	EXPECT(vk_write_all(a, far, sizeof(far) - 1, NULL) == 0);
	struct pollfd p[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLRDHUP}};
	EXPECT(poll(p, 1, 3000) == 1); /* its stream is queued */
	p[0].events = POLLRDHUP;
	EXPECT(vk_write_all(b, near, sizeof(near) - 1, NULL) == 0);
	EXPECT(poll(p, 1, 3000) == 1 && (p[0].revents & POLLRDHUP) != 0);
	EXPECT(poll(p + 1, 1, 300) == 0);
	return 0;
}

Test(httpd, who_is_furthest_behind_goes_when_all_queues_are_too_long)
{
	pair_run(&pair, client_behind);
	pair_until(&pair, &closed_flag);
	pair_run(&pair, client_echo);
}

static int client_source(const char *socket)
{
	vk_autobuf in = VK_BUF_INIT(16 << 20);
	EXPECT(raw(socket, "GET /source HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "\n\n\n",
		       &in) == 0);
	EXPECT(in.len > 64 * 65536);
	return 0;
}

Test(httpd, a_stream_tells_when_its_queue_has_run_empty)
{
	pair_run(&pair, client_source);
	vk_timer_free(give);
	cr_assert_eq(given, 64);
	cr_assert_leq(queued_most, 65536, "%zu bytes were queued at once", queued_most);
}

static int client_file(const char *socket)
{
	vk_autobuf in = VK_BUF_INIT(1 << 20);
	EXPECT(raw(socket, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n", "23456", &in) == 0);
	EXPECT(vk_starts(vk_buf_str(&in), "HTTP/1.1 206"));
	EXPECT(strstr(vk_buf_str(&in), "Content-Length: 5\r\n") != NULL);
	return 0;
}

Test(httpd, sends_part_of_a_file)
{
	pair_run(&pair, client_file);
}

static int client_upgrade(const char *socket)
{
	const struct vk_api_opts o = {.socket = socket};
	vk_autoclose int fd = -1;
	vk_autobuf early = VK_BUF_INIT(4096);
	struct vk_err err = {0};
	EXPECT(vk_api_upgrade(&o, "POST", "/upgrade", NULL, &fd, &early, &err) == 0);
	char c;
	while (read(fd, &c, 1) == 1)
		vk_buf_addc(&early, c);
	EXPECT(vk_streq(vk_buf_str(&early), "[]"));
	return 0;
}

Test(httpd, hands_over_the_socket)
{
	for (int i = 0; i < 3; i++)
		pair_run(&pair, client_upgrade);
	pair_run(&pair, client_echo);
}

static int client_early(const char *socket)
{
	vk_autobuf in = VK_BUF_INIT(4096);
	EXPECT(raw(socket,
		       "POST /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
		       "viking\r\n\r\nhello",
		       "[hello]", &in) == 0);
	EXPECT(strstr(vk_buf_str(&in), "[hello]") != NULL);
	return 0;
}

Test(httpd, bytes_behind_the_head_are_handed_over_too)
{
	pair_run(&pair, client_early);
}

static int client_pipelined(const char *socket)
{
	vk_autobuf in = VK_BUF_INIT(1 << 16);
	EXPECT(raw(socket,
		       "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: "
		       "x\r\n\r\n"
		       "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
		       "\"path\":\"/echo\"", &in) == 0);
	EXPECT(strstr(vk_buf_str(&in), "\"path\":\"/echo\"") != NULL);
	EXPECT(strstr(vk_buf_str(&in), "\"i\":2") != NULL);
	EXPECT(strstr(vk_buf_str(&in), "later") != NULL);
	return 0;
}

Test(httpd, one_connection_serves_many_requests)
{
	pair_run(&pair, client_pipelined);
	cr_assert_eq(handled, 3);
}

static int client_hangs(const char *socket)
{
	struct vk_err err = {0};
	const struct vk_api_opts o = {.socket = socket, .timeout_ms = 200};
	EXPECT(vk_api_call(&o, "GET", "/never", NULL, NULL, &err) == VK_TIMEOUT);
	return 0;
}

Test(httpd, stops_over_requests_that_wait)
{
	pair_run(&pair, client_hangs);
	vk_autoclose int waits = -1, streams = -1;
	static const char a[] = "GET /never HTTP/1.1\r\nHost: x\r\n\r\n",
			  b[] = "GET /silent HTTP/1.1\r\nHost: x\r\n\r\n";
	cr_assert_eq(vk_connect_unix(pair.socket, &waits, NULL), 0);
	cr_assert_eq(vk_connect_unix(pair.socket, &streams, NULL), 0);
	vk_write_all(waits, a, sizeof(a) - 1, NULL);
	vk_write_all(streams, b, sizeof(b) - 1, NULL);
	while (handled < 3)
		vk_loop_once(pair.loop, 1000);
	closed_count = 0;
	vk_httpd_free(VK_TAKE(server));
	cr_assert_eq(closed_count, 2);
	char c;
	cr_assert_eq(read(waits, &c, 1), 0);
}

/* An idle server with an open stream and an idle connection must not spin. */
Test(httpd, waits_without_burning_cpu)
{
	vk_autoclose int idle = -1, streams = -1;
	static const char a[] = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
			  b[] = "GET /silent HTTP/1.1\r\nHost: x\r\n\r\n";
	vk_connect_unix(pair.socket, &idle, NULL);
	vk_connect_unix(pair.socket, &streams, NULL);
	vk_write_all(idle, a, sizeof(a) - 1, NULL);
	vk_write_all(streams, b, sizeof(b) - 1, NULL);
	while (handled < 2)
		vk_loop_once(pair.loop, 1000);
	unsigned passes = 0;
	for (int64_t end = vk_mono_ms() + 1000; vk_mono_ms() < end; passes++)
		vk_loop_once(pair.loop, (int)(end - vk_mono_ms()));
	cr_assert_lt(passes, 20, "%u passes in a second", passes);
}

/* Clients that come, send half of something and go, at every length of the request. */
Test(httpd, survives_a_request_cut_at_every_byte)
{
	static const char text[] =
		"POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
	for (size_t n = 1; n < sizeof(text); n++) {
		vk_autoclose int fd = -1;
		cr_assert_eq(vk_connect_unix(pair.socket, &fd, NULL), 0);
		vk_write_all(fd, text, n, NULL);
		vk_loop_once(pair.loop, 100);
		vk_closep(&fd);
		fd = -1;
		vk_loop_once(pair.loop, 10);
	}
	pair_run(&pair, client_echo);
}

Test(httpd, listening_refuses_a_live_socket_and_replaces_a_stale_one)
{
	int fd;
	struct vk_err err = {0};
	cr_assert_eq(vk_listen_unix(pair.socket, 0600, NULL, 16, &fd, &err), VK_CONFLICT);
	vk_httpd_free(VK_TAKE(server));
	cr_assert_eq(vk_listen_unix(pair.socket, 0600, NULL, 16, &fd, &err), 0, "%s", err.msg);
	close(fd);
	vk_autofree char *file = vk_asprintf("%s/file", pair.dir);
	vk_fs_write_atomic(file, "x", 1, 0600, NULL);
	cr_assert_eq(vk_listen_unix(file, 0600, NULL, 16, &fd, &err), VK_EXISTS);
	cr_assert_eq(vk_listen_tcp("localhost", 0, 16, &fd, &err), VK_INVALID);
	cr_assert_eq(vk_listen_tcp("127.0.0.1", 0, 16, &fd, &err), 0);
	close(fd);
}

/* ---- many clients that do as they like ---- */

static const char *const wild[] = {
	"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /later HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /silent HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /never HTTP/1.0\r\n\r\n",
	"GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	"POST /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: viking\r\n\r\nearly",
	"POST /upgrade HTTP/1.0\r\n\r\n",
	("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: "
	 "100-continue\r\n\r\n0123456789"),
	"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n0123456789",
	"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"\x16\x03\x01 not http at all\r\n\r\n",
};

#define CLIENTS 24

static void one_step(int *fd, unsigned *seed)
{
	unsigned dice = (unsigned)rand_r(seed) % 8;
	char piece[2048];
	if (*fd < 0) {
		if (vk_connect_unix(pair.socket, fd, NULL) != 0)
			*fd = -1;
	} else if (dice < 4) {
		const char *text = wild[(unsigned)rand_r(seed) % VK_COUNT(wild)];
		size_t n = strlen(text);
		n = dice == 0 ? (unsigned)rand_r(seed) % n : n;
		(void)!send(*fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else if (dice < 6) {
		(void)!recv(*fd, piece, sizeof(piece), MSG_DONTWAIT);
	} else if (dice == 6) {
		shutdown(*fd, SHUT_WR);
	} else {
		close(*fd);
		*fd = -1;
	}
}

Test(httpd, survives_clients_that_do_as_they_like)
{
	int fds[CLIENTS];
	unsigned seed = 20261121;
	memset(fds, -1, sizeof(fds));
	for (int i = 0; i < 20000; i++) {
		one_step(&fds[(unsigned)rand_r(&seed) % CLIENTS], &seed);
		vk_loop_once(pair.loop, 0);
	}
	for (int i = 0; i < CLIENTS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	cr_assert_gt(handled, 500, "only %u requests came through", handled);
	pair_run(&pair, client_echo);
}

/* ---- the host behind a connection ---- */

Test(sock, a_connection_carries_the_name_of_a_host_and_no_other)
{
	struct pair p;
	char host[VK_NAME_MAX + 1] = "";
	const struct {
		const char *name, *told;
	} rows[] = {{"h2", "h2"}, {"?", "?"}, {"a/b", ""}, {"", ""}};
	pair_init(&p);
	int listening = -1, fd = -1;
	cr_assert_eq(vk_listen_unix(p.socket, 0600, NULL, 8, &listening, NULL), 0);
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		host[0] = '\0';
		cr_assert_eq(vk_connect_unix_as(p.socket, rows[i].name, &fd, NULL), 0);
		int peer = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		cr_assert_eq(vk_peer_host(peer, host), rows[i].told[0] != '\0', "%s", rows[i].name);
		cr_assert_str_eq(host, rows[i].told);
		cr_assert_not(
			vk_peer_host(fd, host)); /* the listener has a path, not a host's name */
		close(peer);
		close(fd);
	}
	cr_assert_eq(vk_connect_unix(p.socket, &fd, NULL), 0);
	int peer = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	cr_assert_not(vk_peer_host(peer, host));
	close(peer);
	close(fd);
	close(listening);
	pair_release(&p);
}
