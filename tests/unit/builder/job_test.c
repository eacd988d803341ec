#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "bases.h"
#include "engine_build.h"
#include "job.h"
#include "relay.h"
#include "runner.h"
#include "source.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define HEX64  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char state[] = "/tmp/x/var/lib/viking";
static struct vk_config config = {.state_dir = state};

static json_t *image_job(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:{s:s}, s:s}, s:{s:s}}", "id",
		"b1", "kind", "image", "stack", "ragnar", "boat", "web", "commit", COMMIT, "tag",
		"0123456789ab", "recipe", "dockerfile", "Dockerfile", "args", "A", "x&y z",
		"target", "", "refs", "ragnar/base", "127.0.0.1:5000/ragnar/base@sha256:" HEX64);
}

static int init_with(const char *key, const char *value, struct vk_err *err)
{
	struct job j;
	vk_autojson *doc = image_job();
	if (key != NULL)
		json_object_set_new(doc, key, json_string(value));
	int code = job_init(&j, doc, &config, err);
	job_release(&j);
	return code;
}

Test(job, takes_a_good_one)
{
	struct vk_err err = {0};
	cr_assert_eq(init_with(NULL, NULL, &err), 0, "%s", err.msg);
}

Test(job, names_are_checked_before_they_reach_anything)
{
	static const struct {
		const char *key, *value;
	} bad[] = {
		{"kind", "party"},
		{"stack", "../x"},
		{"stack", "A"},
		{"stack", "x-"},
		{"boat", "a/b"},
		{"boat", "a_"},
		{"boat", ""},
		{"commit", "main"},
		{"tag", ""},
		{"tag", "a:b"},
		{"tag", "../../x"},
		{"recipe", "no object"},
	};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		struct vk_err err = {0};
		cr_assert_eq(init_with(bad[i].key, bad[i].value, &err), VK_INVALID, "%s=%s",
			bad[i].key, bad[i].value);
		cr_assert_neq(err.msg[0], '\0');
	}
}

Test(job, the_request_names_everything_escaped)
{
	struct job j;
	vk_autojson *doc = image_job();
	json_object_set_new(json_object_get(json_object_get(doc, "recipe"), "args"), "B",
		json_string("viking:ragnar/base"));
	cr_assert_eq(job_init(&j, doc, &config, NULL), 0);
	struct engine_build b = {.image_name = "127.0.0.1:5000/ragnar/web:0123456789ab",
		.key = "k1",
		.limits = {.memory = 1024}};
	b.source.header = json_pack("{s:s}", "dockerfile", "sub dir/Dockerfile");
	vk_autofree char *path = engine_build_path(&j, &b);
	cr_assert(vk_starts(path, "/build?version=2&"), "%s", path);
	cr_assert(strstr(path, "&t=127.0.0.1%3A5000%2Fragnar%2Fweb%3A0123456789ab") != NULL, "%s",
		path);
	cr_assert(strstr(path, "&dockerfile=sub%20dir%2FDockerfile") != NULL, "%s", path);
	cr_assert(
		strstr(path,
			"buildargs=%7B%22A%22%3A%22x%26y%20z%22%2C%22B%22%3A%22127.0.0.1%3A5000%2F"
			"ragnar%2Fbase%40sha256%3A" HEX64 "%22%7D") != NULL,
		"%s", path);
	cr_assert(strstr(path, "viking.build-key") != NULL, "%s", path);
	cr_assert(strstr(path, "memory=") == NULL && strstr(path, "nocache") == NULL &&
		strstr(path, "target") == NULL);
	b.classic = true;
	j.no_cache = true;
	vk_autofree char *classic = engine_build_path(&j, &b);
	cr_assert(vk_starts(classic, "/build?version=1&"), "%s", classic);
	cr_assert(strstr(classic, "&memory=1024&memswap=1024") != NULL, "%s", classic);
	cr_assert(strstr(classic, "&nocache=1") != NULL);
	json_decref(b.source.header);
	job_release(&j);
}

Test(job, what_a_dockerfile_may_start_from)
{
	struct job j;
	struct vk_err err = {0};
	vk_autojson *doc = image_job();
	cr_assert_eq(job_init(&j, doc, &config, &err), 0);
	j.registry.server = vk_strdup("127.0.0.1:5000");
	cr_assert_eq(bases_allowed(&j, "debian:12", &err), 0);
	cr_assert_eq(bases_allowed(&j, "cafe", &err), 0);
	cr_assert(bases_is_id("cafe", "sha256:cafe" HEX64));
	cr_assert(!bases_is_id("cafe", "sha256:" HEX64));
	cr_assert(!bases_is_id("debian:12", "sha256:" HEX64));
	cr_assert_eq(bases_allowed(&j, "sha256:" HEX64, &err), VK_DENIED);
	cr_assert_eq(bases_allowed(&j, "127.0.0.1:5000/ragnar/base@sha256:" HEX64, &err), 0);
	cr_assert_eq(bases_allowed(&j, "127.0.0.1:5000/ragnar/base:latest", &err), VK_DENIED);
	cr_assert_eq(bases_allowed(&j, "127.0.0.1:5000/other/base@sha256:" HEX64, &err), VK_DENIED);
	job_release(&j);
}

Test(source, reads_the_header_and_not_a_byte_more)
{
	int s[2];
	char rest[16] = "";
	json_t *header = NULL;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	cr_assert_eq(write(s[1], "{\"key\":", 7), 7);
	cr_assert_eq(write(s[1], "\"k\"}\nTAR", 8), 8);
	cr_assert_eq(source_read_header(s[0], 1000, &header, NULL), 0);
	cr_assert_str_eq(vk_json_str(header, "key", ""), "k");
	cr_assert_eq(read(s[0], rest, sizeof(rest)), 3);
	cr_assert_str_eq(rest, "TAR");
	json_decref(header);
}

Test(source, a_silent_or_closed_receiver)
{
	int s[2];
	json_t *header = NULL;
	struct vk_err err = {0};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	cr_assert_eq(write(s[1], "{", 1), 1);
	cr_assert_eq(source_read_header(s[0], 50, &header, &err), VK_TIMEOUT);
	close(s[1]);
	cr_assert_eq(source_read_header(s[0], 1000, &header, &err), VK_UNAVAILABLE);
}

/* A tar of entries of these sizes, all of whose data is zeros, ended by so many empty blocks. */
static void make_tar(struct vk_buf *b, const size_t *sizes, size_t n, size_t end_blocks)
{
	char block[512];
	vk_buf_init(b, 1 << 20);
	for (size_t i = 0; i < n; i++) {
		memset(block, 0, sizeof(block));
		snprintf(block, sizeof(block), "file%zu", i);
		snprintf(block + 124, 12, "%011zo", sizes[i]);
		vk_buf_add(b, block, sizeof(block));
		memset(block, 0, sizeof(block));
		for (size_t k = 0; k < (sizes[i] + 511) / 512; k++)
			vk_buf_add(b, block, sizeof(block));
	}
	memset(block, 0, sizeof(block));
	for (size_t k = 0; k < end_blocks; k++)
		vk_buf_add(b, block, sizeof(block));
}

static int relayed(const struct vk_buf *tar)
{
	int in[2], out[2];
	vk_autobuf got = VK_BUF_INIT(1 << 20);
	cr_assert_eq(pipe(in), 0);
	cr_assert_eq(pipe(out), 0);
	cr_assert_eq(write(in[1], vk_buf_str(tar), tar->len), (ssize_t)tar->len);
	close(in[1]);
	int code = relay_tar(in[0], out[1], NULL);
	close(out[1]);
	vk_fs_read_fd(out[0], &got, NULL);
	cr_assert_eq(got.len, tar->len);
	cr_assert_arr_eq(vk_buf_str(&got), vk_buf_str(tar), tar->len);
	close(in[0]);
	close(out[0]);
	return code;
}

Test(relay, knows_a_whole_tar)
{
	static const size_t sizes[] = {0, 1, 512, 5000, 2048};
	struct vk_buf tar;
	make_tar(&tar, sizes, VK_COUNT(sizes), 2);
	cr_assert_eq(relayed(&tar), 0);
	vk_buf_release(&tar);
	make_tar(&tar, sizes, VK_COUNT(sizes), 20); /* padded to a record */
	cr_assert_eq(relayed(&tar), 0);
	vk_buf_release(&tar);
	make_tar(&tar, NULL, 0, 2); /* an empty tree */
	cr_assert_eq(relayed(&tar), 0);
	vk_buf_release(&tar);
}

Test(relay, knows_one_that_was_cut_off_anywhere)
{
	static const size_t sizes[] = {1, 5000, 4096}; /* zeros at the end are no end */
	struct vk_buf tar;
	make_tar(&tar, sizes, VK_COUNT(sizes), 2);
	for (size_t n = 0; n < tar.len; n += n % 512 == 0 ? 511 : 1) {
		struct vk_buf part = {.data = tar.data, .len = n, .cap = tar.cap, .max = tar.max};
		cr_assert_eq(relayed(&part), VK_FAILED, "cut at %zu", n);
	}
	vk_buf_release(&tar);
}

Test(relay, refuses_what_is_no_tar)
{
	struct vk_buf tar;
	make_tar(&tar, NULL, 0, 0);
	for (int i = 0; i < 2048; i++)
		vk_buf_addc(&tar, i < 1024 ? 'x' : '\0');
	cr_assert_eq(relayed(&tar), VK_FAILED);
	vk_buf_release(&tar);
}

Test(relay, an_engine_that_stops_reading_does_not_hide_the_rest)
{
	int in[2], out[2];
	struct vk_buf tar;
	make_tar(&tar, &(size_t){3000}, 1, 2);
	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(pipe(in), 0);
	cr_assert_eq(pipe(out), 0);
	close(out[0]);
	cr_assert_eq(write(in[1], tar.data, tar.len), (ssize_t)tar.len);
	close(in[1]);
	cr_assert_eq(relay_tar(in[0], out[1], NULL), 0);
	vk_buf_release(&tar);
}

/* --- the runner, with a shell in the job's place --- */

struct watch {
	struct vk_loop *loop;
	struct vk_buf lines; /* batches end in '|' */
	json_t *done;
	bool ended, cancelled;
	struct runner *runner;
};

static void on_out(void *arg, json_t *lines)
{
	struct watch *w = arg;
	for (size_t i = 0; i < json_array_size(lines); i++)
		vk_buf_addf(&w->lines, "%s;", json_string_value(json_array_get(lines, i)));
	vk_buf_addc(&w->lines, '|');
}

static void on_ended(void *arg, json_t *done)
{
	struct watch *w = arg;
	w->ended = true;
	w->cancelled = done == NULL;
	w->done = json_incref(done);
}

static void start(struct watch *w, const char *script, int64_t timeout_ms)
{
	struct vk_err err = {0};
	const char *const argv[] = {"sh", "-c", script, NULL};
	vk_autojson *job = json_pack("{s:s}", "id", "b1");
	*w = (struct watch){.lines = VK_BUF_INIT(1 << 20)};
	cr_assert_eq(vk_loop_new(&w->loop, NULL), 0);
	struct runner_opts o = {.loop = w->loop,
		.path = "/bin/sh",
		.argv = argv,
		.timeout_ms = timeout_ms,
		.timeout_setting = "builds.timeout",
		.out = on_out,
		.ended = on_ended,
		.arg = w};
	cr_assert_eq(runner_start(&o, job, &w->runner, &err), 0, "%s", err.msg);
}

static void wait_end(struct watch *w)
{
	int64_t deadline = vk_mono_ms() + 10000;
	while (!w->ended && vk_mono_ms() < deadline)
		vk_loop_once(w->loop, 100);
	cr_assert(w->ended, "the runner does not end");
	vk_loop_free(w->loop);
}

static void release(struct watch *w)
{
	json_decref(w->done);
	vk_buf_release(&w->lines);
}

Test(runner, first_line_at_once_later_ones_together)
{
	struct watch w;
	start(&w,
		"cat >/dev/null; echo '{\"out\":\"a\"}'; sleep 0.3; echo '{\"out\":\"b\"}'; echo "
		"'{\"out\":\"c\"}'; "
		"echo '{\"out\":\"d\"}'; echo '{\"done\":{\"ok\":true,\"n\":7}}'",
		10000);
	int64_t begin = vk_mono_ms();
	while (w.lines.len == 0 && vk_mono_ms() - begin < 5000)
		vk_loop_once(w.loop, 100);
	cr_assert_str_eq(vk_buf_str(&w.lines), "a;|");
	wait_end(&w);
	cr_assert_str_eq(vk_buf_str(&w.lines), "a;|b;|c;d;|");
	cr_assert_eq(vk_json_int(w.done, "n", 0), 7);
	release(&w);
}

Test(runner, the_job_comes_on_stdin)
{
	struct watch w;
	start(&w, "read -r l; printf '{\"done\":{\"ok\":true,\"got\":%s}}\\n' \"$l\"$(cat)", 10000);
	wait_end(&w);
	cr_assert(!w.cancelled);
	release(&w);
	start(&w, "printf '{\"done\":{\"ok\":true,\"got\":%s}}\\n' \"$(cat)\"", 10000);
	wait_end(&w);
	cr_assert_str_eq(vk_json_str(json_object_get(w.done, "got"), "id", ""), "b1");
	release(&w);
}

Test(runner, output_is_drained_before_the_end_is_judged)
{
	struct watch w;
	start(&w,
		"i=0; while [ $i -lt 3000 ]; do echo \"{\\\"out\\\":\\\"$i\\\"}\"; i=$((i+1)); "
		"done; "
		"echo '{\"done\":{\"ok\":true}}'",
		10000);
	wait_end(&w);
	cr_assert(vk_json_bool(w.done, "ok", false));
	cr_assert(strstr(vk_buf_str(&w.lines), ";2999;|") != NULL);
	release(&w);
}

Test(runner, a_job_that_dies_is_a_failure)
{
	struct watch w;
	start(&w, "kill -9 $$", 10000);
	wait_end(&w);
	cr_assert_str_eq(vk_json_str(w.done, "error", ""), "INTERNAL");
	cr_assert(strstr(vk_json_str(w.done, "message", ""), "signal 9") != NULL);
	release(&w);
	start(&w, "exit 3", 10000);
	wait_end(&w);
	cr_assert(strstr(vk_json_str(w.done, "message", ""), "status 3") != NULL);
	release(&w);
	start(&w, "echo nonsense; echo '{\"done\":{\"ok\":true}}'", 10000);
	wait_end(&w);
	cr_assert(!vk_json_bool(w.done, "ok", true),
		"nonsense on the way makes the result worth nothing");
	release(&w);
}

Test(runner, cancel_ends_the_whole_group_soon)
{
	struct watch w;
	start(&w, "sleep 60 & sleep 60", 100000);
	int64_t begin = vk_mono_ms();
	runner_cancel(w.runner);
	runner_cancel(w.runner);
	wait_end(&w);
	cr_assert(w.cancelled);
	cr_assert(vk_mono_ms() - begin < 1000);
	release(&w);
}

Test(runner, one_that_ignores_the_term_signal_is_killed)
{
	struct watch w;
	start(&w, "trap '' TERM; echo '{\"out\":\"up\"}'; while :; do sleep 60; done", 100000);
	while (w.lines.len == 0)
		vk_loop_once(w.loop, 100);
	int64_t begin = vk_mono_ms();
	runner_cancel(w.runner);
	wait_end(&w);
	cr_assert(w.cancelled);
	cr_assert(vk_mono_ms() - begin >= KILL_MS - 100 && vk_mono_ms() - begin < KILL_MS + 3000);
	release(&w);
}

Test(runner, the_deadline_names_its_setting)
{
	struct watch w;
	start(&w, "sleep 60", 200);
	wait_end(&w);
	cr_assert_str_eq(vk_json_str(w.done, "error", ""), "TIMEOUT");
	cr_assert(strstr(vk_json_str(w.done, "message", ""), "builds.timeout") != NULL);
	release(&w);
}

Test(runner, held_back_nothing_is_read_or_lost)
{
	struct watch w;
	start(&w,
		"echo '{\"out\":\"a\"}'; sleep 0.2; echo '{\"done\":{\"ok\":true}}'; exec sleep "
		"0.2",
		10000);
	runner_hold(w.runner, true);
	for (int64_t end = vk_mono_ms() + 150; vk_mono_ms() < end;)
		vk_loop_once(w.loop, 20);
	cr_assert_eq(w.lines.len, 0);
	runner_hold(w.runner, false);
	wait_end(&w);
	cr_assert_str_eq(vk_buf_str(&w.lines), "a;|");
	cr_assert(vk_json_bool(w.done, "ok", false));
	release(&w);
}
