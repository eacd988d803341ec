/* The clients on a loop: the watch and the queue against our own server, which comes and goes. */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/api.h>
#include <viking/httpd.h>
#include <viking/json.h>
#include <viking/str.h>

#include "pair.h"

static struct pair pair;
static struct vk_httpd *server;
static struct vk_req *stream; /* the watch's, on the server */
static unsigned connects;     /* streams opened */
static char calls[512];       /* bodies of what the queue has sent */
static unsigned refuse_503;   /* so many calls are answered with 503 first */
static bool not_begun;        /* and it is said that nothing was done of them */

static void gone(void *arg, struct vk_req *r)
{
	(void)arg, (void)r;
	stream = NULL;
}

static void take_call(struct vk_req *r)
{
	struct vk_err err = {0};
	if (refuse_503 > 0) {
		refuse_503--;
		vk_err_set(&err, VK_UNAVAILABLE, "no store");
		if (not_begun)
			vk_req_error_again(r, &err);
		else
			vk_req_error(r, &err);
		return;
	}
	size_t used = strlen(calls);
	snprintf(calls + used, sizeof(calls) - used, "%s;", vk_buf_str(vk_req_body(r)));
	if (strstr(vk_buf_str(vk_req_body(r)), "bad") != NULL) {
		vk_err_set(&err, VK_INVALID, "not that");
		vk_req_error(r, &err);
	} else {
		vk_req_json(r, 200, json_pack("{s:b}", "ok", 1));
	}
}

static void handler(void *arg, struct vk_req *r)
{
	(void)arg;
	struct vk_err err = {0};
	if (vk_streq(vk_req_path(r), "/watch")) {
		connects++;
		stream = r;
		vk_req_stream(r, 200, NULL, 0, gone, NULL);
		vk_req_line(r, json_pack("{s:i}", "hello", (int)connects));
	} else if (vk_streq(vk_req_path(r), "/call")) {
		take_call(r);
	} else {
		vk_err_set(&err, VK_DENIED, "not for you");
		vk_req_error(r, &err);
	}
}

static void serve(void)
{
	int fd;
	struct vk_err err = {0};
	cr_assert_eq(vk_listen_unix(pair.socket, 0600, NULL, 16, &fd, &err), 0, "%s", err.msg);
	cr_assert_eq(
		vk_httpd_new(pair.loop, fd, NULL, handler, NULL, &server, &err), 0, "%s", err.msg);
}

static void stop_serving(void)
{
	vk_httpd_free(VK_TAKE(server));
	unlink(pair.socket);
}

static void setup(void)
{
	unsetenv("VIKING_TOKEN");
	pair_init(&pair);
}

static void teardown(void)
{
	vk_httpd_free(server);
	pair_release(&pair);
}

TestSuite(api, .init = setup, .fini = teardown, .timeout = 60);

/* ---- blocking calls: the rest is in httpd_test.c ---- */

Test(api, nothing_listening_says_what_to_start)
{
	const struct vk_api_opts o = {.socket = pair.socket};
	struct vk_err err = {0};
	cr_assert_eq(vk_api_call(&o, "GET", "/x", NULL, NULL, &err), VK_UNAVAILABLE);
	cr_assert_not_null(strstr(err.hint, "vikingd"));
}

Test(api, what_cannot_be_sent_is_refused_before)
{
	struct vk_err err = {0};
	const struct vk_api_opts o = {.socket = pair.socket},
				 evil = {.socket = pair.socket, .token = "a\r\nX: y"};
	cr_assert_eq(vk_api_call(&o, "GET", "/a b", NULL, NULL, &err), VK_INVALID);
	cr_assert_eq(vk_api_call(&o, "GET", "/a\r\nX: y", NULL, NULL, &err), VK_INVALID);
	cr_assert_eq(vk_api_call(&o, "GET", "x", NULL, NULL, &err), VK_INVALID);
	cr_assert_eq(vk_api_call(&evil, "GET", "/x", NULL, NULL, &err), VK_INVALID);
}

static int call_patiently(const char *socket)
{
	const struct vk_api_opts hasty = {.socket = socket},
				 patient = {.socket = socket, .patience_ms = 30000};
	vk_autojson *body = json_pack("{s:i}", "n", 1), *answer = NULL;
	struct vk_err err = {0};
	EXPECT(vk_api_call(&hasty, "POST", "/call", body, NULL, &err) == VK_UNAVAILABLE);
	EXPECT(vk_streq(err.msg, "no store"));
	EXPECT(vk_api_call(&patient, "POST", "/call", body, &answer, &err) == 0);
	EXPECT(vk_json_bool(answer, "ok", false));
	return 0;
}

Test(api, what_was_not_begun_is_sent_again)
{
	not_begun = true;
	refuse_503 = 3;
	serve();
	pair_run(&pair, call_patiently);
	cr_assert_eq(refuse_503, 0);
	cr_assert_str_eq(calls, "{\"n\":1};");
}

static int call_refused(const char *socket)
{
	const struct vk_api_opts patient = {.socket = socket, .patience_ms = 30000};
	struct vk_err err = {0};
	EXPECT(vk_api_call(&patient, "POST", "/call", NULL, NULL, &err) == VK_UNAVAILABLE);
	return 0;
}

Test(api, what_may_have_been_begun_is_not)
{
	refuse_503 = 2;
	serve();
	pair_run(&pair, call_refused);
	cr_assert_eq(refuse_503, 1);
}

static struct vk_io *door;

static void hang_up(void *arg, int fd, int what)
{
	int client = accept(fd, NULL, NULL);
	(void)arg, (void)what;
	cr_assert_geq(client, 0);
	vk_io_free(VK_TAKE(door));
	close(fd);
	close(client);
	unlink(pair.socket);
	serve();
}

static int ask_what_ends(const char *socket)
{
	const struct vk_api_opts patient = {.socket = socket, .patience_ms = 30000};
	struct vk_err err = {0};
	EXPECT(vk_api_call(&patient, "GET", "/call", NULL, NULL, &err) == 0);
	return 0;
}

static int change_what_ends(const char *socket)
{
	const struct vk_api_opts patient = {.socket = socket, .patience_ms = 30000};
	struct vk_err err = {0};
	EXPECT(vk_api_call(&patient, "POST", "/call", NULL, NULL, &err) == VK_UNAVAILABLE);
	EXPECT(strstr(err.msg, "may have begun") != NULL);
	return 0;
}

static void ends_at_the_first(int (*client)(const char *socket))
{
	int fd;
	struct vk_err err = {0};
	cr_assert_eq(vk_listen_unix(pair.socket, 0600, NULL, 16, &fd, &err), 0, "%s", err.msg);
	door = vk_io_new(pair.loop, fd, VK_READ, hang_up, NULL);
	pair_run(&pair, client);
}

Test(api, a_question_is_asked_again_of_who_ended)
{
	ends_at_the_first(ask_what_ends);
	cr_assert_str_eq(calls, ";");
}

Test(api, a_change_is_not)
{
	ends_at_the_first(change_what_ends);
	cr_assert_str_eq(calls, "");
}

static void serve_anew(void *arg)
{
	(void)arg;
	unlink(pair.socket);
	serve();
}

static int call_early(const char *socket)
{
	const struct vk_api_opts patient = {.socket = socket, .patience_ms = 30000};
	struct vk_err err = {0};
	EXPECT(vk_api_call(&patient, "POST", "/call", NULL, NULL, &err) == 0);
	return 0;
}

Test(api, a_server_that_starts_anew_is_waited_for)
{
	int fd;
	struct vk_err err = {0};
	cr_assert_eq(vk_listen_unix(pair.socket, 0600, NULL, 16, &fd, &err), 0, "%s", err.msg);
	close(fd); /* as kill -9 leaves it */
	struct vk_timer *t = vk_timer_new(pair.loop, serve_anew, NULL);
	vk_timer_set(t, 500);
	pair_run(&pair, call_early);
	vk_timer_free(t);
}

/* ---- watch ---- */

struct seen {
	char lines[512];
	unsigned ups, downs;
	int code;           /* of the last loss */
	bool got, up, down; /* flags to wait for */
	struct vk_api_watch **free_on_line, **free_on_state;
};

static void on_line(void *arg, json_t *line)
{
	struct seen *s = arg;
	vk_autofree char *text = vk_json_text(line);
	size_t used = strlen(s->lines);
	snprintf(s->lines + used, sizeof(s->lines) - used, "%s;", text);
	s->got = true;
	if (s->free_on_line != NULL)
		vk_api_watch_free(VK_TAKE(*s->free_on_line));
}

static void on_state(void *arg, bool connected, const struct vk_err *err)
{
	struct seen *s = arg;
	s->ups += connected;
	s->downs += !connected;
	s->code = err != NULL ? err->code : 0;
	s->up |= connected;
	s->down |= !connected;
	if (s->free_on_state != NULL)
		vk_api_watch_free(VK_TAKE(*s->free_on_state));
}

static struct vk_api_watch *watch(struct seen *s, const char *path, int64_t timeout_ms)
{
	const struct vk_api_opts o = {.socket = pair.socket, .timeout_ms = timeout_ms};
	return vk_api_watch_new(pair.loop, &o, path, on_line, on_state, s);
}

Test(api, a_watch_comes_back_with_the_server)
{
	struct seen s = {0};
	struct vk_api_watch *w = watch(&s, "/watch", 0);
	pair_until(&pair, &s.down);
	cr_assert_eq(s.code, VK_UNAVAILABLE);
	serve();
	pair_until(&pair, &s.got);
	cr_assert(s.ups == 1 && s.downs == 1, "told once for many attempts");
	s.got = s.down = false;
	vk_req_line(stream, json_pack("{s:s}", "more", "x"));
	pair_until(&pair, &s.got);
	stop_serving();
	pair_until(&pair, &s.down);
	s.got = false;
	serve();
	pair_until(&pair, &s.got);
	cr_assert_str_eq(s.lines, "{\"hello\":1};{\"more\":\"x\"};{\"hello\":2};");
	cr_assert(s.ups == 2 && s.downs == 2);
	vk_api_watch_free(w);
	while (stream != NULL)
		vk_loop_once(pair.loop, 1000);
}

Test(api, a_watch_whose_stream_ends_asks_anew)
{
	struct seen s = {0};
	serve();
	struct vk_api_watch *w = watch(&s, "/watch", 0);
	pair_until(&pair, &s.got);
	vk_req_end(VK_TAKE(stream));
	pair_until(&pair, &s.down);
	s.got = false;
	pair_until(&pair, &s.got);
	cr_assert_eq(connects, 2);
	vk_api_watch_free(w);
}

Test(api, a_watch_that_is_broken_off_on_its_way_is_told_why_and_given_no_line)
{
	struct seen s = {0};
	serve();
	struct vk_api_watch *w = watch(&s, "/watch", 0);
	pair_until(&pair, &s.got);
	vk_req_line(stream,
		json_pack("{s:{s:b,s:s,s:s}}", "end", "ok", 0, "error", "TIMEOUT", "message",
			"h3 is gone"));
	pair_until(&pair, &s.down);
	cr_assert_eq(s.code, VK_TIMEOUT);
	s.got = false;
	pair_until(&pair, &s.got);
	cr_assert_str_eq(s.lines, "{\"hello\":1};{\"hello\":2};");
	vk_api_watch_free(w);
	while (stream != NULL)
		vk_loop_once(pair.loop, 1000);
}

Test(api, a_refused_watch_tells_the_reason)
{
	struct seen s = {0};
	struct vk_api_watch *w = watch(&s, "/elsewhere", 0);
	pair_until(&pair, &s.down);
	cr_assert_eq(s.code, VK_UNAVAILABLE);
	s.down = false;
	serve(); /* it is there, and refuses: that is another reason */
	pair_until(&pair, &s.down);
	cr_assert_eq(s.code, VK_DENIED);
	cr_assert(s.ups == 0 && s.downs == 2);
	vk_api_watch_free(w);
}

Test(api, a_silent_server_is_a_lost_one)
{
	struct seen s = {0};
	int fd;
	cr_assert_eq(vk_listen_unix(pair.socket, 0600, NULL, 16, &fd, NULL), 0);
	struct vk_api_watch *w = watch(&s, "/watch", 100);
	pair_until(&pair, &s.down);
	cr_assert_eq(s.code, VK_TIMEOUT);
	vk_api_watch_free(w);
	close(fd);
}

Test(api, a_watch_may_be_freed_in_its_callbacks)
{
	struct seen s = {0}, t = {0}, u = {0};
	struct vk_api_watch *w, *v, *x;
	x = watch(&u, "/watch", 0);
	u.free_on_state = &x;
	pair_until(&pair, &u.down);
	serve();
	w = watch(&s, "/watch", 0);
	v = watch(&t, "/watch", 0);
	s.free_on_line = &w;
	t.free_on_state = &v;
	pair_until(&pair, &s.got);
	pair_until(&pair, &t.up);
	for (int i = 0; i < 20; i++)
		vk_loop_once(pair.loop, 5);
	cr_assert(w == NULL && v == NULL && x == NULL);
	cr_assert(!t.got && s.ups == 1);
}

/* ---- queue ---- */

struct results {
	char text[512];
	unsigned n;
	struct vk_api_queue *q;
	bool done, free_first, add_more;
};

static void on_done(void *arg, const struct vk_err *err, const json_t *answer)
{
	struct results *r = arg;
	size_t used = strlen(r->text);
	snprintf(r->text + used, sizeof(r->text) - used, "%s%s ", vk_err_name(err->code),
		vk_json_bool(answer, "ok", false) ? "+" : "");
	r->n++;
	r->done = true;
	if (r->add_more && r->n == 1)
		vk_api_queue_add(r->q, "POST", "/call", NULL, on_done, r);
	if (r->free_first)
		vk_api_queue_free(VK_TAKE(r->q));
}

static void add(struct results *r, const char *what)
{
	vk_autojson *body = json_string(what);
	vk_api_queue_add(r->q, "POST", "/call", body, on_done, r);
}

static void until_n(const struct results *r, unsigned n)
{
	for (int64_t end = vk_mono_ms() + 10000; r->n < n && vk_mono_ms() < end;)
		vk_loop_once(pair.loop, 100);
	cr_assert_eq(r->n, n);
}

static void queue_init(struct results *r, int64_t timeout_ms)
{
	const struct vk_api_opts o = {.socket = pair.socket, .timeout_ms = timeout_ms};
	*r = (struct results){.q = vk_api_queue_new(pair.loop, &o)};
}

Test(api, a_queue_keeps_its_order_and_waits_for_the_server)
{
	struct results r;
	queue_init(&r, 0);
	add(&r, "one");
	add(&r, "bad");
	for (int i = 0; i < 10; i++)
		vk_loop_once(pair.loop, 20);
	cr_assert_eq(vk_api_queue_len(r.q), 2);
	refuse_503 = 2;
	serve();
	add(&r, "three");
	until_n(&r, 3);
	cr_assert_str_eq(calls, "\"one\";\"bad\";\"three\";");
	cr_assert_str_eq(r.text, "OK+ INVALID OK+ ");
	cr_assert_eq(vk_api_queue_len(r.q), 0);
	stop_serving();
	add(&r, "four");
	vk_loop_once(pair.loop, 20);
	serve();
	until_n(&r, 4);
	cr_assert_str_eq(calls, "\"one\";\"bad\";\"three\";\"four\";");
	vk_api_queue_free(r.q);
}

Test(api, a_request_that_cannot_be_made_is_answered)
{
	struct results r;
	queue_init(&r, 0);
	vk_api_queue_add(r.q, "POST", "/two words", NULL, on_done, &r);
	cr_assert(!r.done, "not from inside the call");
	until_n(&r, 1);
	cr_assert_str_eq(r.text, "INVALID ");
	vk_api_queue_free(r.q);
}

Test(api, done_may_add_and_free)
{
	struct results r, s;
	serve();
	queue_init(&r, 0);
	r.add_more = true;
	add(&r, "first");
	until_n(&r, 2);
	vk_api_queue_free(r.q);
	queue_init(&s, 0);
	s.free_first = true;
	add(&s, "x");
	add(&s, "never answered");
	until_n(&s, 1);
	for (int i = 0; i < 20; i++)
		vk_loop_once(pair.loop, 5);
	cr_assert(s.n == 1 && s.q == NULL);
}

Test(api, a_queue_gives_up_a_mute_connection_and_tries_again)
{
	struct results r;
	int fd;
	cr_assert_eq(vk_listen_unix(pair.socket, 0600, NULL, 16, &fd, NULL), 0);
	queue_init(&r, 100);
	add(&r, "one");
	for (int i = 0; i < 5; i++)
		vk_loop_once(pair.loop, 60);
	close(fd);
	unlink(pair.socket);
	serve();
	until_n(&r, 1);
	cr_assert_str_eq(r.text, "OK+ ");
	vk_api_queue_free(r.q);
}
