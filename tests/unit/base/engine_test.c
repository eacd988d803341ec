/* The engine client against the engine of this machine. Everything made carries the name baseb-PID. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/engine.h>
#include <viking/fs.h>
#include <viking/proc.h>
#include <viking/str.h>

#define SOCKET "/var/run/docker.sock"

static struct vk_loop *loop;
static struct vk_engine *engine;
static char name[64], dir[64];

static char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *fmt, ...)
{
	static char buf[64][512];
	static unsigned i;
	va_list ap;
	va_start(ap, fmt);
	char *out = buf[i++ % 64];
	vsnprintf(out, sizeof(buf[0]), fmt, ap);
	va_end(ap);
	return out;
}

static int call(const char *method, const char *path, json_t *body, json_t **ret)
{
	struct vk_err err = {0};
	int rc = vk_engine_call(engine, method, path, body, 20000, ret, &err);
	json_decref(body);
	if (rc != 0 && rc != VK_NOTFOUND && rc != VK_CONFLICT)
		fprintf(stderr, "%s %s: %s\n", method, path, err.msg);
	return rc;
}

/* tar of a directory, as a pipe. */
static int tar_of(const char *path)
{
	const char *const argv[] = {"tar", "-c", "-C", path, ".", NULL};
	const struct vk_proc_opts o = {.path = "/usr/bin/tar",
		.argv = argv,
		.in = VK_FD_NULL,
		.out = VK_FD_PIPE,
		.err = VK_FD_INHERIT};
	struct vk_proc p;
	struct vk_err err = {0};
	if (vk_proc_start(&o, &p, &err) != 0) {
		fprintf(stderr, "tar: %s\n", err.msg);
		return -1;
	}
	return p.out;
}

struct lines {
	char status[256], error[512], stream[4096];
};

static int keep(void *arg, json_t *line, struct vk_err *err)
{
	struct lines *l = arg;
	(void)err;
	snprintf(l->status, sizeof(l->status), "%s", vk_json_str(line, "status", l->status));
	snprintf(l->error, sizeof(l->error), "%s", vk_json_str(line, "error", l->error));
	size_t used = strlen(l->stream);
	snprintf(l->stream + used, sizeof(l->stream) - used, "%s", vk_json_str(line, "stream", ""));
	return 0;
}

static void import_image(void)
{
	char *root = text("%s/root", dir), *bin = text("%s/root/bin", dir);
	struct vk_err err = {0};
	cr_assert_eq(vk_fs_mkdir_p(bin, 0755, &err), 0, "%s", err.msg);
	vk_autobuf b = VK_BUF_INIT(16 << 20);
	cr_assert_eq(vk_fs_read("/bin/busybox", &b, &err), 0, "%s", err.msg);
	cr_assert_eq(vk_fs_write_atomic(text("%s/busybox", bin), b.data, b.len, 0755, &err), 0,
		"%s", err.msg);
	static const char *const words[] = {"sh", "cat", "sleep", "echo", "true", "false"};
	for (size_t i = 0; i < VK_COUNT(words); i++)
		cr_assert_eq(symlink("busybox", text("%s/%s", bin, words[i])), 0);
	vk_autoclose int fd = tar_of(root);
	struct lines l = {0};
	int rc = vk_engine_upload(engine, "POST",
		text("/images/create?fromSrc=-&repo=%s&tag=1", name), NULL, fd, -1, keep, &l, 20000,
		&err);
	cr_assert_eq(rc, 0, "%s", err.msg);
	cr_assert(vk_starts(l.status, "sha256:"), "the import answered %s %s", l.status, l.error);
}

static void setup(void)
{
	cr_assert_eq(access(SOCKET, R_OK | W_OK), 0, "these tests need an engine at " SOCKET);
	signal(SIGPIPE, SIG_IGN);
	snprintf(name, sizeof(name), "baseb-%d", (int)getpid());
	snprintf(dir, sizeof(dir), "/tmp/viking-engine-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(vk_loop_new(&loop, NULL), 0);
	cr_assert_eq(vk_engine_new(SOCKET, loop, &engine, NULL), 0);
	import_image();
}

static void teardown(void)
{
	call("DELETE", text("/containers/%s?force=1", name), NULL, NULL);
	call("DELETE", text("/images/%s:1?force=1", name), NULL, NULL);
	vk_engine_free(engine);
	vk_loop_free(loop);
	vk_fs_remove_tree(dir, NULL);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

TestSuite(engine, .init = setup, .fini = teardown, .timeout = 120);

static int create(const char *script)
{
	return call("POST", text("/containers/create?name=%s", name),
		json_pack("{s:s, s:[s,s,s], s:{s:s}}", "Image", text("%s:1", name), "Cmd", "sh",
			"-c", script, "HostConfig", "NetworkMode", "none"),
		NULL);
}

static int start(void)
{
	return call("POST", text("/containers/%s/start", name), NULL, NULL);
}

Test(engine, calls)
{
	vk_autojson *j = NULL, *w = NULL;
	cr_assert_eq(call("GET", text("/containers/%s/json", name), NULL, &j), VK_NOTFOUND);
	cr_assert_eq(create("exit 3"), 0);
	cr_assert_eq(create("exit 3"), VK_CONFLICT);
	cr_assert_eq(start(), 0);
	cr_assert_eq(call("POST", text("/containers/%s/wait", name), NULL, &w), 0);
	cr_assert_eq(vk_json_int(w, "StatusCode", -1), 3);
	cr_assert_eq(call("DELETE", text("/containers/%s", name), NULL, NULL), 0);
	cr_assert_eq(create("sleep 100"), 0);
	cr_assert_eq(start(), 0);
	cr_assert_eq(start(), 0, "started already: 304");
	vk_autofree char *filters = vk_engine_escape(text("{\"name\":[\"%s\"]}", name));
	cr_assert_eq(call("GET", text("/containers/json?filters=%s", filters), NULL, &j), 0);
	cr_assert_eq(json_array_size(j), 1);
}

static void dockerfile(const char *content)
{
	struct vk_err err = {0};
	char *ctx = text("%s/ctx", dir);
	cr_assert_eq(vk_fs_mkdir_p(ctx, 0755, &err), 0);
	cr_assert_eq(vk_fs_write_atomic(
			     text("%s/Dockerfile", ctx), content, strlen(content), 0644, &err),
		0);
}

static int build(const char *query, int cancel_fd, vk_jsonl_fn *fn, void *arg, struct vk_err *err)
{
	vk_autoclose int fd = tar_of(text("%s/ctx", dir));
	return vk_engine_upload(engine, "POST",
		text("/build?rm=1&forcerm=1&networkmode=none&nocache=1%s", query), NULL, fd,
		cancel_fd, fn, arg, 60000, err);
}

Test(engine, a_failed_build_is_an_error_line)
{
	struct lines l = {0};
	struct vk_err err = {0};
	dockerfile(text("FROM %s:1\nRUN echo some words; exit 7\n", name));
	cr_assert_eq(build("", -1, keep, &l, &err), 0, "%s", err.msg);
	cr_assert_not_null(strstr(l.stream, "some words"));
	cr_assert_not_null(strstr(l.error, "returned a non-zero code: 7"), "%s", l.error);
	dockerfile("NONSENSE x\n");
	cr_assert_eq(build("", -1, keep, &l, &err), VK_INVALID);
	cr_assert_not_null(strstr(err.msg, "unknown instruction"), "%s", err.msg);
}

struct canceller {
	int fd;
	bool told;
};

static int cancel_when_it_runs(void *arg, json_t *line, struct vk_err *err)
{
	struct canceller *c = arg;
	(void)err;
	if (!c->told && strstr(vk_json_str(line, "stream", ""), "begun") != NULL) {
		c->told = true;
		close(c->fd); /* a hang-up is as good as a byte */
	}
	return 0;
}

Test(engine, a_build_is_cancelled_promptly)
{
	int p[2];
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	struct canceller c = {.fd = p[1]};
	struct vk_err err = {0};
	dockerfile(text("FROM %s:1\nRUN echo begun; sleep 60\n", name));
	int64_t t0 = vk_mono_ms();
	cr_assert_eq(build("", p[0], cancel_when_it_runs, &c, &err), VK_CANCELLED);
	cr_assert(c.told);
	cr_assert_lt(vk_mono_ms() - t0, 10000);
	close(p[0]);
}

/* ---- on the loop ---- */

struct heard {
	struct vk_frames frames;
	char out[256];
	bool ended;
	int code;
};

static int on_frame(void *arg, int stream, const void *p, size_t n)
{
	struct heard *h = arg;
	size_t used = strlen(h->out);
	snprintf(h->out + used, sizeof(h->out) - used, "%d:%.*s", stream, (int)n, (const char *)p);
	return 0;
}

static void on_log(void *arg, const void *p, size_t n)
{
	struct heard *h = arg;
	cr_assert_eq(vk_frames_feed(&h->frames, p, n, on_frame, h, NULL), 0);
}

static void on_events(void *arg, const void *p, size_t n)
{
	struct heard *h = arg;
	size_t used = strlen(h->out);
	if (memmem(p, n, "\"die\"", 5) != NULL)
		snprintf(h->out + used, sizeof(h->out) - used, "die");
}

static void on_done(void *arg, const struct vk_err *err, json_t *answer)
{
	struct heard *h = arg;
	(void)answer;
	h->ended = true;
	h->code = err->code;
}

static void turn_until(const bool *flag)
{
	for (int64_t end = vk_mono_ms() + 20000; !*flag && vk_mono_ms() < end;)
		vk_loop_once(loop, 200);
	cr_assert(*flag, "it did not happen within 20 s");
}

Test(engine, logs_and_events_on_the_loop)
{
	struct heard logs = {0}, events = {0}, started = {0};
	cr_assert_eq(create("echo one; echo two >&2; sleep 0.2"), 0);
	vk_autofree char *filters = vk_engine_escape(text("{\"container\":[\"%s\"]}", name));
	struct vk_engine_op *op = vk_engine_stream_async(engine, "GET",
		text("/events?filters=%s", filters), NULL, on_events, on_done, &events);
	vk_engine_call_async(
		engine, "POST", text("/containers/%s/start", name), NULL, 0, on_done, &started);
	turn_until(&started.ended);
	cr_assert_eq(started.code, 0);
	vk_engine_stream_async(engine, "GET",
		text("/containers/%s/logs?stdout=1&stderr=1&follow=1", name), NULL, on_log, on_done,
		&logs);
	turn_until(&logs.ended);
	cr_assert_eq(logs.code, 0);
	cr_assert(vk_streq(logs.out, "1:one\n2:two\n") || vk_streq(logs.out, "2:two\n1:one\n"),
		"%s", logs.out);
	for (int64_t end = vk_mono_ms() + 10000; events.out[0] == '\0' && vk_mono_ms() < end;)
		vk_loop_once(loop, 200);
	cr_assert(vk_starts(events.out, "die"));
	vk_engine_op_cancel(op);
	for (int i = 0; i < 20; i++)
		vk_loop_once(loop, 0);
	cr_assert(!events.ended);
}

/* ---- hijack ---- */

Test(engine, exec_over_a_hijacked_connection)
{
	cr_assert_eq(create("sleep 100"), 0);
	cr_assert_eq(start(), 0);
	vk_autojson *made = NULL, *after = NULL;
	cr_assert_eq(
		call("POST", text("/containers/%s/exec", name),
			json_pack("{s:b, s:b, s:b, s:[s,s,s]}", "AttachStdin", 1, "AttachStdout", 1,
				"AttachStderr", 1, "Cmd", "sh", "-c", "cat; exit 5"),
			&made),
		0);
	const char *id = vk_json_str(made, "Id", "");
	vk_autojson *body = json_pack("{s:b, s:b}", "Detach", 0, "Tty", 0);
	vk_autobuf early = VK_BUF_INIT(65536);
	vk_autoclose int fd = -1;
	struct vk_err err = {0};
	cr_assert_eq(vk_engine_hijack(engine, text("/exec/%s/start", id), body, &fd, &early, &err),
		0, "%s", err.msg);
	cr_assert_eq(vk_write_all(fd, "hello", 5, NULL), 0);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	char piece[256];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	for (ssize_t n; poll(&p, 1, 10000) > 0 && (n = read(fd, piece, sizeof(piece))) > 0;)
		vk_buf_add(&early, piece, (size_t)n);
	struct heard h = {0};
	cr_assert_eq(
		vk_frames_feed(&h.frames, vk_buf_str(&early), early.len, on_frame, &h, NULL), 0);
	cr_assert_str_eq(h.out, "1:hello");
	cr_assert_eq(call("GET", text("/exec/%s/json", id), NULL, &after), 0);
	cr_assert_eq(vk_json_int(after, "ExitCode", -1), 5);
	cr_assert_eq(vk_engine_hijack(engine, "/exec/nothing/start", body, &fd, &early, &err),
		VK_NOTFOUND);
	cr_assert_not_null(strstr(err.msg, "No such exec"), "%s", err.msg);
}
