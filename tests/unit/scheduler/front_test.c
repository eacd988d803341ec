/* The table of hosts, and requests that another host answers: two servers and a client on one loop. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/str.h>

#include "dial.h"
#include "front.h"

#include "holder.h"
#include "scene.h"

#define PATIENCE 20000

/* ---- the table ---- */

Test(front, only_hosts_with_an_address_are_told_and_none_to_a_host_alone)
{
	struct state st = {0};
	vk_autojson *alone = front_table(&st, "h1");
	cr_assert(scene_equal(alone, "{'hosts':null}"));
	scene_put(&st, "/host/h2", "{'v':1,'addr':'10.0.0.2','port':8792,'key':'ab'}");
	scene_put(&st, "/host/h3", "{'v':1}");
	vk_autojson *outside = front_table(&st, "h1");
	cr_assert(scene_equal(outside, "{'hosts':null}"));
	scene_put(&st, "/host/h1", "{'v':1,'addr':'10.0.0.1','port':8792}");
	vk_autojson *inside = front_table(&st, "h1");
	cr_assert(
		scene_equal(inside, "{'hosts':{'h2':{'addr':'10.0.0.2','port':8792,'key':'ab'}}}"));
	cr_assert_null(holder_of(&st, "h1"));
	scene_put(&st, "/host/h2", "{'v':1,'addr':'10.0.0.2','port':8792,'registry':true}");
	cr_assert_str_eq(holder_of(&st, "h1"), "h2");
	cr_assert_str_eq(holder_of(&st, "h2"), "h2");
	cr_assert_null(holder_of(&st, "h3")); /* has not joined */
	state_release(&st);
}

/* ---- forwarding ---- */

static char dir[] = "/tmp/viking-front-XXXXXX";
static struct vk_loop *loop;
static struct vk_config config;
static struct sched sched;
static struct vk_httpd *near_server, *far_server;
static char near_path[96], far_path[96];
static struct vk_req *held; /* the far side's stream */
static int closed, far_fd = -1;

static void on_near(void *arg, struct vk_req *r)
{
	struct call *c = vk_alloc(sizeof(*c));
	(void)arg;
	c->s = &sched;
	c->r = r;
	front_forward(c, "h2");
}

static void on_held_closed(void *arg, struct vk_req *r)
{
	(void)arg, (void)r;
	held = NULL;
	closed++;
}

static void on_far_socket(void *arg, int fd, const void *early, size_t n)
{
	(void)arg, (void)early, (void)n;
	far_fd = fd;
	cr_assert_eq(write(fd, "far:", 4), 4);
}

static void on_far(void *arg, struct vk_req *r)
{
	struct vk_err err = {0};
	vk_autobuf target = VK_BUF_INIT(4096);
	(void)arg;
	vk_req_target(r, &target);
	if (vk_streq(vk_req_path(r), "/stream")) {
		vk_req_stream(r, 200, NULL, 0, on_held_closed, NULL);
		held = r;
	} else if (vk_streq(vk_req_path(r), "/refused")) {
		vk_err_set(&err, VK_CONFLICT, "busy there");
		vk_err_hint(&err, "later");
		vk_req_error(r, &err);
	} else if (vk_streq(vk_req_path(r), "/upgrade")) {
		vk_req_upgrade(r, "viking-frames", on_far_socket, NULL);
	} else {
		vk_req_json(r, 200,
			json_pack("{s:s,s:s,s:s*,s:s*,s:s}", "method", vk_req_method(r), "target",
				vk_buf_str(&target), "role", vk_req_header(r, "Viking-Role"),
				"token", vk_req_header(r, "Authorization"), "body",
				vk_buf_str(vk_req_body(r))));
	}
}

static struct vk_httpd *serve(const char *path, vk_httpd_fn *fn)
{
	int fd = -1;
	struct vk_httpd *h = NULL;
	cr_assert_eq(vk_listen_unix(path, 0600, NULL, 8, &fd, NULL), 0);
	cr_assert_eq(vk_httpd_new(loop, fd, NULL, fn, NULL, &h, NULL), 0);
	return h;
}

/* What the client sees. */
static struct answer {
	struct dial *d;
	int status, fd;
	bool ended;
	struct vk_buf body;
	struct vk_err err;
} answer;

static void on_head(void *arg, int status, const char *type)
{
	(void)arg, (void)type;
	answer.status = status;
}

static void on_body(void *arg, const void *p, size_t n)
{
	(void)arg;
	cr_assert_eq(vk_buf_add(&answer.body, p, n), 0);
}

static void on_end(void *arg, const struct vk_err *err)
{
	(void)arg;
	answer.ended = true;
	answer.err = err != NULL ? *err : (struct vk_err){0};
}

static void on_taken(void *arg, int fd, const void *early, size_t n)
{
	(void)arg;
	answer.fd = fd;
	cr_assert_eq(vk_buf_add(&answer.body, early, n), 0);
}

static const struct dial_events plain = {.head = on_head, .body = on_body, .end = on_end};
static const struct dial_events upgrade = {
	.head = on_head, .body = on_body, .end = on_end, .taken = on_taken};

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	vk_autofree char *door = vk_asprintf("%s/hosts/h2", dir);
	snprintf(near_path, sizeof(near_path), "%s/near", dir);
	snprintf(far_path, sizeof(far_path), "%s/api.sock", door);
	cr_assert_eq(vk_fs_mkdir_p(door, 0700, NULL), 0);
	cr_assert_eq(vk_loop_new(&loop, NULL), 0);
	config.run_dir = dir;
	sched = (struct sched){.cfg = &config, .loop = loop};
	near_server = serve(near_path, on_near);
	far_server = serve(far_path, on_far);
	answer = (struct answer){.fd = -1};
	vk_buf_init(&answer.body, (size_t)32 << 20);
}

static void teardown(void)
{
	dial_free(answer.d);
	vk_closep(&answer.fd);
	vk_closep(&far_fd);
	for (int i = 0; i < 20; i++)
		vk_loop_once(loop, 1); /* what joined the two sees that they have gone */
	vk_buf_release(&answer.body);
	vk_httpd_free(near_server);
	vk_httpd_free(far_server);
	vk_loop_free(loop);
	vk_fs_remove_tree(dir, NULL);
}

TestSuite(front_forward, .init = setup, .fini = teardown, .timeout = 60);

static void turn_until(bool (*done)(void))
{
	int64_t until = vk_mono_ms() + PATIENCE;
	while (!done() && vk_mono_ms() < until)
		vk_loop_once(loop, 20);
	cr_assert(done(), "it did not happen; so far: %s", vk_buf_str(&answer.body));
}

static bool has_ended(void)
{
	return answer.ended;
}

static void ask(const char *text, const struct dial_events *ev)
{
	vk_autobuf request = VK_BUF_INIT(65536);
	vk_buf_adds(&request, text);
	answer.d = dial_raw(loop, near_path, "the near side", &request, PATIENCE, ev, &answer);
}

Test(front_forward, a_request_is_asked_again_as_it_came)
{
	ask("PATCH /v1/a%20b/%C3%BC?x=1%262&flag&y= HTTP/1.1\r\nHost: viking\r\nViking-Role: "
	    "agent\r\n"
	    "Authorization: Bearer abc\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
		&plain);
	turn_until(has_ended);
	cr_assert_eq(answer.status, 200);
	cr_assert_str_eq(vk_buf_str(&answer.body),
		"{\"body\":\"{\\\"a\\\":1}\",\"method\":\"PATCH\",\"role\":\"agent\",\"target\":"
		"\"/v1/a%20b/%C3%BC?x=1%262&flag&y=\",\"token\":\"Bearer abc\"}");
}

Test(front_forward, a_refusal_is_passed_on)
{
	ask("GET /refused HTTP/1.1\r\nHost: viking\r\n\r\n", &plain);
	turn_until(has_ended);
	cr_assert_eq(answer.status, 409);
	cr_assert_not_null(strstr(vk_buf_str(&answer.body), "busy there"));
	cr_assert_not_null(strstr(vk_buf_str(&answer.body), "\"later\""));
}

static bool stream_open(void)
{
	return held != NULL;
}

static bool has_line(void)
{
	return strstr(vk_buf_str(&answer.body), "\"n\":1") != NULL;
}

Test(front_forward, a_stream_flows_and_ends)
{
	ask("GET /stream HTTP/1.1\r\nHost: viking\r\n\r\n", &plain);
	turn_until(stream_open);
	vk_req_line(held, json_pack("{s:i}", "n", 1));
	turn_until(has_line);
	cr_assert_not(answer.ended);
	for (int i = 0; i < 2000; i++) {
		vk_autofree char *long_text = vk_alloc(1001);
		memset(long_text, 'x', 1000);
		vk_req_line(held, json_pack("{s:s}", "t", long_text));
	}
	vk_req_end(VK_TAKE(held));
	turn_until(has_ended);
	cr_assert_eq(answer.err.code, 0, "%s", answer.err.msg);
	cr_assert_eq(
		answer.body.len, strlen("{\"n\":1}\n") + 2000 * strlen("{\"t\":\"\"}\n") + 2000000);
}

static bool was_closed(void)
{
	return closed > 0;
}

Test(front_forward, the_client_going_ends_it_there)
{
	ask("GET /stream HTTP/1.1\r\nHost: viking\r\n\r\n", &plain);
	turn_until(stream_open);
	dial_free(VK_TAKE(answer.d));
	turn_until(was_closed);
}

Test(front_forward, a_host_that_breaks_off_is_told_in_the_last_line)
{
	ask("GET /stream HTTP/1.1\r\nHost: viking\r\n\r\n", &plain);
	turn_until(stream_open);
	vk_req_line(held, json_pack("{s:i}", "n", 1));
	turn_until(has_line);
	vk_httpd_free(VK_TAKE(far_server));
	turn_until(has_ended);
	const char *end = strstr(vk_buf_str(&answer.body), "{\"end\":");
	cr_assert_not_null(end, "%s", vk_buf_str(&answer.body));
	cr_assert_not_null(strstr(end, "\"ok\":false"));
}

Test(front_forward, all_of_it_ends_with_a_reason)
{
	struct vk_err why = {0};
	vk_err_set(&why, VK_UNAVAILABLE, "another host is about to lead");
	ask("GET /stream HTTP/1.1\r\nHost: viking\r\n\r\n", &plain);
	turn_until(stream_open);
	vk_req_line(held, json_pack("{s:i}", "n", 1));
	turn_until(has_line);
	front_end_all(&sched, &why);
	cr_assert_null(sched.forwards);
	turn_until(has_ended);
	turn_until(was_closed);
	cr_assert_not_null(strstr(vk_buf_str(&answer.body), "about to lead"));
}

Test(front_forward, a_host_that_is_away_is_named)
{
	vk_httpd_free(VK_TAKE(far_server));
	ask("GET /x HTTP/1.1\r\nHost: viking\r\n\r\n", &plain);
	turn_until(has_ended);
	cr_assert_eq(answer.status, 503);
	cr_assert_not_null(strstr(vk_buf_str(&answer.body), "host h2 does not answer"));
}

static bool has_echo(void)
{
	char bytes[64];
	ssize_t n = far_fd >= 0 ? recv(far_fd, bytes, sizeof(bytes), MSG_DONTWAIT) : 0;
	if (n > 0)
		cr_assert_eq(write(far_fd, bytes, (size_t)n), n);
	n = answer.fd >= 0 ? recv(answer.fd, bytes, sizeof(bytes), MSG_DONTWAIT) : 0;
	if (n > 0)
		vk_buf_add(&answer.body, bytes, (size_t)n);
	return vk_streq(vk_buf_str(&answer.body), "far:hello");
}

Test(front_forward, an_upgrade_is_a_pipe_through_both)
{
	ask("POST /upgrade HTTP/1.1\r\nHost: viking\r\nConnection: Upgrade\r\nUpgrade: "
	    "viking-frames\r\n"
	    "Content-Length: 0\r\n\r\nhello",
		&upgrade);
	turn_until(has_echo);
}
