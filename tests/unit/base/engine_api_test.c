/* The engine client against servers of our own: versions, silence, refusals, frames, encodings. */
#include <criterion/criterion.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/crypt.h>
#include <viking/engine.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/str.h>

#include "pair.h"

static struct pair pair;
static struct vk_httpd *server;
static const char *newest = "1.41", *oldest = "1.12";
static char last_path[128];
static unsigned versions_asked;

static void handler(void *arg, struct vk_req *r)
{
	(void)arg;
	struct vk_err err = {0};
	if (vk_streq(vk_req_path(r), "/version")) {
		versions_asked++;
		vk_req_json(r, 200,
			json_pack("{s:s, s:s}", "ApiVersion", newest, "MinAPIVersion", oldest));
		return;
	}
	snprintf(last_path, sizeof(last_path), "%s", vk_req_path(r));
	if (vk_ends(last_path, "/empty")) {
		vk_req_bytes(r, 204, NULL, "", 0);
	} else if (vk_ends(last_path, "/same")) {
		vk_req_bytes(r, 304, NULL, "", 0);
	} else if (vk_ends(last_path, "/busy")) {
		vk_req_json(r, 409, json_pack("{s:s}", "message", "in use"));
	} else if (vk_ends(last_path, "/text")) {
		vk_req_bytes(r, 200, "text/plain", "OK", 2);
	} else if (vk_ends(last_path, "/large")) {
		size_t n = (16u << 20) + 1;
		char *text = vk_alloc(n);
		memset(text, ' ', n);
		vk_req_bytes(r, 200, "application/json", text, n);
		free(text);
	} else if (vk_ends(last_path, "/lines")) {
		vk_req_stream(r, 200, "application/json", 0, NULL, NULL);
		vk_req_write(r, "{\"a\":1}\n{\"a\"", 12);
		vk_req_write(r, ":2}\r\n\n{\"a\":3}", 13);
		vk_req_end(r);
	} else if (vk_ends(last_path, "/echo")) {
		const char *auth = vk_req_header(r, "X-Registry-Auth"),
			   *type = vk_req_header(r, "Content-Type");
		const char *expect = vk_req_header(r, "Expect");
		vk_req_json(r, 200,
			json_pack("{s:s, s:s, s:i, s:s?}", "auth", auth ? auth : "", "type",
				type ? type : "", "n", (int)vk_req_body(r)->len, "expect", expect));
	} else {
		vk_err_set(&err, VK_NOTFOUND, "no");
		vk_req_json(r, 404, json_pack("{s:s}", "message", "no such thing"));
	}
}

static void setup(void)
{
	pair_init(&pair);
	int fd;
	cr_assert_eq(vk_listen_unix(pair.socket, 0600, NULL, 128, &fd, NULL), 0);
	const struct vk_httpd_opts o = {.body_max = 8 << 20};
	cr_assert_eq(vk_httpd_new(pair.loop, fd, &o, handler, NULL, &server, NULL), 0);
}

static void teardown(void)
{
	vk_httpd_free(server);
	pair_release(&pair);
}

TestSuite(engine_api, .init = setup, .fini = teardown, .timeout = 60);

static struct vk_engine *engine_at(const char *socket)
{
	struct vk_engine *e;
	return vk_engine_new(socket, NULL, &e, NULL) == 0 ? e : NULL;
}

static int client_calls(const char *socket)
{
	struct vk_engine *e = engine_at(socket);
	vk_autojson *j = NULL, *t = NULL, *none = NULL;
	struct vk_err err = {0};
	EXPECT(vk_engine_call(e, "GET", "/text", NULL, 0, &t, &err) == 0);
	EXPECT(vk_streq(json_string_value(t), "OK"));
	EXPECT(vk_engine_call(e, "POST", "/empty", NULL, 0, &none, &err) == 0 && none == NULL);
	EXPECT(vk_engine_call(e, "POST", "/same", NULL, 0, &none, &err) == 0 && none == NULL);
	EXPECT(vk_engine_call(e, "POST", "/busy", NULL, 0, &j, &err) == VK_CONFLICT);
	EXPECT(vk_streq(err.msg, "in use"));
	EXPECT(vk_engine_call(e, "GET", "/nothing", NULL, 0, &j, &err) == VK_NOTFOUND);
	EXPECT(vk_streq(err.msg, "no such thing"));
	EXPECT(vk_engine_call(e, "GET", "/large", NULL, 0, &j, &err) == VK_LIMIT);
	EXPECT(vk_engine_call(e, "GET", "/two words", NULL, 0, &j, &err) == VK_INVALID);
	EXPECT(vk_engine_call(e, "POST", "/echo", t, 0, &j, &err) == 0);
	EXPECT(vk_streq(vk_json_str(j, "type", ""), "application/json"));
	EXPECT(vk_json_int(j, "n", 0) == 4);
	vk_engine_free(e);
	return 0;
}

Test(engine_api, calls_and_their_errors)
{
	pair_run(&pair, client_calls);
	cr_assert_eq(versions_asked, 1);
	cr_assert_str_eq(last_path, "/v1.41/echo");
}

static int client_one(const char *socket)
{
	struct vk_engine *e = engine_at(socket);
	EXPECT(vk_engine_call(e, "GET", "/text", NULL, 0, NULL, NULL) == 0);
	vk_engine_free(e);
	return 0;
}

static int client_too_old(const char *socket)
{
	struct vk_engine *e = engine_at(socket);
	struct vk_err err = {0};
	EXPECT(vk_engine_call(e, "GET", "/text", NULL, 0, NULL, &err) == VK_UNAVAILABLE);
	EXPECT(strstr(err.msg, "too old: API 1.40") != NULL);
	vk_engine_free(e);
	return 0;
}

Test(engine_api, the_version_is_negotiated)
{
	pair_run(&pair, client_one);
	cr_assert_str_eq(last_path, "/v1.41/text");
	newest = "1.43";
	pair_run(&pair, client_one);
	cr_assert_str_eq(last_path, "/v1.43/text");
	newest = "1.52";
	oldest = "1.44";
	pair_run(&pair, client_one);
	cr_assert_str_eq(last_path, "/v1.44/text");
	oldest = "1.50";
	pair_run(&pair, client_one);
	cr_assert_str_eq(last_path, "/v1.50/text");
	newest = "1.40";
	pair_run(&pair, client_too_old);
}

static int add_up(void *arg, json_t *line, struct vk_err *err)
{
	int *sum = arg;
	*sum = *sum * 10 + (int)vk_json_int(line, "a", 0);
	return *sum == 1000 ? vk_err_set(err, VK_FAILED, "enough") : 0;
}

static int client_lines(const char *socket)
{
	struct vk_engine *e = engine_at(socket);
	int sum = 0;
	struct vk_err err = {0};
	EXPECT(vk_engine_stream(e, "GET", "/lines", NULL, add_up, &sum, 1000, &err) == 0);
	EXPECT(sum == 123);
	sum = 99; /* 991 */
	EXPECT(vk_engine_stream(e, "GET", "/nothing", NULL, add_up, &sum, 1000, &err) ==
		VK_NOTFOUND);
	EXPECT(sum == 99);
	vk_engine_free(e);
	return 0;
}

static int stop_at_first(void *arg, json_t *line, struct vk_err *err)
{
	int *n = arg;
	(void)line;
	return ++*n == 2 ? vk_err_set(err, VK_FAILED, "enough") : 0;
}

static int client_stops(const char *socket)
{
	struct vk_engine *e = engine_at(socket);
	int n = 0;
	struct vk_err err = {0};
	EXPECT(vk_engine_stream(e, "GET", "/lines", NULL, stop_at_first, &n, 1000, &err) ==
		VK_FAILED);
	EXPECT(n == 2 && vk_streq(err.msg, "enough"));
	EXPECT(vk_engine_call(e, "GET", "/text", NULL, 0, NULL, NULL) == 0);
	vk_engine_free(e);
	return 0;
}

Test(engine_api, streams_of_lines)
{
	pair_run(&pair, client_lines);
	pair_run(&pair, client_stops);
}

static int keep_line(void *arg, json_t *line, struct vk_err *err)
{
	(void)err;
	*(json_t **)arg = json_incref(line);
	return 0;
}

static int client_upload(const char *socket)
{
	struct vk_engine *e = engine_at(socket);
	vk_autojson *j = NULL;
	struct vk_err err = {0};
	int p[2];
	EXPECT(pipe(p) == 0);
	pid_t pid = fork();
	if (pid == 0) { /* a writer that is slower than the reader */
		char block[50000] = {0};
		for (int i = 0; i < 40; i++) {
			(void)!write(p[1], block, sizeof(block));
			poll(NULL, 0, 2);
		}
		_exit(0);
	}
	close(p[1]);
	EXPECT(vk_engine_upload(e, "POST", "/echo", "e30=", p[0], -1, keep_line, &j, 5000, &err) ==
		0);
	EXPECT(vk_json_int(j, "n", 0) == 2000000);
	EXPECT(vk_streq(vk_json_str(j, "auth", ""), "e30="));
	EXPECT(vk_streq(vk_json_str(j, "type", ""), "application/x-tar"));
	EXPECT(json_is_null(json_object_get(j, "expect")));
	vk_engine_free(e);
	return 0;
}

Test(engine_api, uploads_a_slow_pipe)
{
	pair_run(&pair, client_upload);
}

/* A pipe nobody writes to, and a cancel descriptor that becomes readable: no second may pass. */
static int client_cancel(const char *socket)
{
	struct vk_engine *e = engine_at(socket);
	struct vk_err err = {0};
	int p[2], c[2];
	EXPECT(pipe(p) == 0 && pipe(c) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		poll(NULL, 0, 100);
		_exit(write(c[1], "x", 1) == 1 ? 0 : 1);
	}
	close(c[1]);
	int64_t t0 = vk_mono_ms();
	json_t *j = NULL;
	EXPECT(vk_engine_upload(e, "POST", "/echo", NULL, p[0], c[0], keep_line, &j, 5000, &err) ==
		VK_CANCELLED);
	EXPECT(vk_mono_ms() - t0 >= 90 && vk_mono_ms() - t0 < 600);
	EXPECT(vk_engine_upload(e, "POST", "/echo", NULL, p[0], -1, keep_line, &j, 200, &err) ==
		VK_TIMEOUT);
	vk_engine_free(e);
	return 0;
}

Test(engine_api, an_upload_is_cancelled_at_once)
{
	pair_run(&pair, client_cancel);
}

/* ---- an engine that takes connections and says nothing; and none at all ---- */

static int listen_only(char path[static 96])
{
	int fd = -1;
	snprintf(path, 96, "%s/mute", pair.dir);
	cr_assert_eq(vk_listen_unix(path, 0600, NULL, 16, &fd, NULL), 0);
	return fd;
}

Test(engine_api, a_stopped_engine_is_a_timeout)
{
	char path[96];
	vk_autoclose int fd __attribute__((unused)) = listen_only(path);
	struct vk_engine *e = engine_at(path);
	struct vk_err err = {0};
	int64_t t0 = vk_mono_ms();
	cr_assert_eq(vk_engine_call(e, "GET", "/text", NULL, 200, NULL, &err), VK_TIMEOUT);
	cr_assert_eq(
		vk_engine_stream(e, "GET", "/text", NULL, add_up, NULL, 200, &err), VK_TIMEOUT);
	cr_assert_lt(vk_mono_ms() - t0, 2000);
	vk_engine_free(e);
}

static void note_code(void *arg, const struct vk_err *err, json_t *answer)
{
	(void)answer;
	*(int *)arg = err->code != 0 ? err->code : 1;
}

static int turn_until(const int *code)
{
	for (int64_t end = vk_mono_ms() + 5000; *code == 0 && vk_mono_ms() < end;)
		vk_loop_once(pair.loop, 100);
	return *code;
}

Test(engine_api, a_stopped_engine_is_a_timeout_on_the_loop_too)
{
	char path[96];
	vk_autoclose int fd __attribute__((unused)) = listen_only(path);
	struct vk_engine *e;
	int code = 0;
	cr_assert_eq(vk_engine_new(path, pair.loop, &e, NULL), 0);
	vk_engine_call_async(e, "GET", "/text", NULL, 200, note_code, &code);
	cr_assert_eq(turn_until(&code), VK_TIMEOUT);
	vk_engine_free(e);
}

Test(engine_api, no_engine_is_unavailable_with_the_line_to_type)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/none", pair.dir);
	struct vk_engine *e;
	struct vk_err err = {0};
	int code = 0, fd;
	vk_autobuf early = VK_BUF_INIT(4096);
	cr_assert_eq(vk_engine_new(path, pair.loop, &e, NULL), 0);
	cr_assert_eq(vk_engine_call(e, "GET", "/text", NULL, 0, NULL, &err), VK_UNAVAILABLE);
	cr_assert_not_null(strstr(err.hint, "systemctl start docker"));
	cr_assert_eq(vk_engine_hijack(e, "/x", NULL, &fd, &early, &err), VK_UNAVAILABLE);
	vk_engine_call_async(e, "GET", "/text", NULL, 0, note_code, &code);
	cr_assert_eq(code, 0, "not from inside the call");
	cr_assert_eq(turn_until(&code), VK_UNAVAILABLE);
	vk_engine_free(e);
}

/* ---- the loop ---- */

struct shared {
	struct vk_engine *e;
	int done, sum;
	struct vk_engine_op *op;
	bool in_bytes_ok;
};

static void count_done(void *arg, const struct vk_err *err, json_t *answer)
{
	struct shared *s = arg;
	s->done++;
	s->sum += err->code == 0 && vk_streq(json_string_value(answer), "OK");
}

Test(engine_api, many_calls_at_once_on_the_loop)
{
	struct shared s = {0};
	cr_assert_eq(vk_engine_new(pair.socket, pair.loop, &s.e, NULL), 0);
	for (int i = 0; i < 20; i++)
		vk_engine_call_async(s.e, "GET", "/text", NULL, 5000, count_done, &s);
	vk_engine_op_cancel(vk_engine_call_async(s.e, "GET", "/text", NULL, 5000, count_done, &s));
	while (s.done < 20)
		vk_loop_once(pair.loop, 1000);
	for (int i = 0; i < 50; i++)
		vk_loop_once(pair.loop, 0);
	cr_assert(s.done == 20 && s.sum == 20);
	vk_engine_call_async(s.e, "GET", "/text", NULL, 5000, count_done, &s);
	vk_engine_free(s.e); /* over a running one */
	cr_assert_eq(s.done, 20);
}

static void begin_another(void *arg, const void *p, size_t n)
{
	struct shared *s = arg;
	(void)p, (void)n;
	if (s->op == NULL)
		return;
	vk_engine_call_async(s->e, "GET", "/text", NULL, 5000, count_done, s);
	vk_engine_op_cancel(VK_TAKE(s->op));
}

Test(engine_api, bytes_may_begin_and_cancel)
{
	struct shared s = {0};
	cr_assert_eq(vk_engine_new(pair.socket, pair.loop, &s.e, NULL), 0);
	s.op = vk_engine_stream_async(s.e, "GET", "/lines", NULL, begin_another, count_done, &s);
	while (s.done < 1)
		vk_loop_once(pair.loop, 1000);
	for (int i = 0; i < 20; i++)
		vk_loop_once(pair.loop, 0);
	cr_assert(s.done == 1 && s.sum == 1,
		"the call is answered, the cancelled stream is not heard of again");
	vk_engine_free(s.e);
}

/* ---- frames ---- */

struct frames_out {
	char text[64];
};

static int on_frame(void *arg, int stream, const void *p, size_t n)
{
	struct frames_out *o = arg;
	for (size_t i = 0; i < n; i++) {
		size_t used = strlen(o->text);
		snprintf(o->text + used, sizeof(o->text) - used, "%d%c", stream,
			((const char *)p)[i]);
	}
	return 0;
}

Test(engine_api, frames_split_anywhere_read_the_same)
{
	static const uint8_t wire[] = {1, 0, 0, 0, 0, 0, 0, 2, 'a', 'b', 2, 0, 0, 0, 0, 0, 0, 0, 2,
		0, 0, 0, 0, 0, 0, 1, 'e', 1, 0, 0, 0, 0, 0, 0, 1, 'c'};
	for (size_t cut = 0; cut <= sizeof(wire); cut++) {
		for (size_t cut2 = cut; cut2 <= sizeof(wire); cut2++) {
			struct vk_frames f = {0};
			struct frames_out o = {0};
			cr_assert_eq(vk_frames_feed(&f, wire, cut, on_frame, &o, NULL), 0);
			cr_assert_eq(
				vk_frames_feed(&f, wire + cut, cut2 - cut, on_frame, &o, NULL), 0);
			cr_assert_eq(vk_frames_feed(&f, wire + cut2, sizeof(wire) - cut2, on_frame,
					     &o, NULL),
				0);
			cr_assert_str_eq(o.text, "1a1b2e1c");
		}
	}
	struct vk_frames f = {0};
	cr_assert_eq(vk_frames_feed(&f, "plain text", 10, on_frame, NULL, NULL), VK_INVALID);
}

Test(engine_api, texts_are_encoded)
{
	vk_autofree char *e = vk_engine_escape("a b/ü?&=~");
	cr_assert_str_eq(e, "a%20b%2F%C3%BC%3F%26%3D~");
	vk_autofree char *auth = vk_engine_registry_auth("viking", "s\"x", "127.0.0.1:5000");
	vk_autobuf out = VK_BUF_INIT(1024);
	for (char *p = auth; *p != '\0'; p++)
		*p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
	cr_assert_eq(vk_unbase64(auth, strlen(auth), &out, NULL), 0);
	cr_assert_str_eq(vk_buf_str(&out),
		"{\"password\":\"s\\\"x\",\"serveraddress\":\"127.0.0.1:5000\",\"username\":"
		"\"viking\"}");
}
