#include <criterion/criterion.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "buildkit.h"
#include "failure.h"
#include "linefold.h"
#include "progress.h"

#define CORPUS TEST_DATA "/fuzz/corpus/builder__engine_stream_fuzz/"

static void collect(void *arg, const char *line, size_t n)
{
	struct vk_buf *b = arg;
	vk_buf_add(b, line, n);
	vk_buf_addc(b, '\n');
}

static void fold(const char *const *pieces, const int64_t *times, const char *expected)
{
	vk_autobuf out = VK_BUF_INIT(1 << 20);
	struct linefold f;
	linefold_init(&f);
	for (size_t i = 0; pieces[i] != NULL; i++)
		linefold_feed(&f, pieces[i], strlen(pieces[i]), times != NULL ? times[i] : 0,
			collect, &out);
	linefold_end(&f, collect, &out);
	cr_assert_str_eq(vk_buf_str(&out), expected);
	linefold_release(&f);
}

Test(linefold, joins_pieces_and_keeps_the_last_unfinished_line)
{
	fold((const char *const[]){"he", "llo\nwo", "rld\n\nend", NULL}, NULL,
		"hello\nworld\n\nend\n");
}

Test(linefold, carriage_return_replaces_the_line)
{
	fold((const char *const[]){"10%\r20%\r", "100%\nnext\r\n", NULL}, NULL, "100%\nnext\n");
}

Test(linefold, a_bar_without_newlines_shows_every_other_second)
{
	const int64_t times[] = {5000, 5100, 7200, 7300};
	fold((const char *const[]){"1%\r", "2%\r", "3%\r", "4%", NULL}, times, "1%\n3%\n4%\n");
}

Test(linefold, escapes_and_control_bytes_go_even_when_split)
{
	fold((const char *const[]){"\033[1;3", "1mred\033[0m \033]0;ti", "tle\007x\001\033(By\tz\n",
		     NULL},
		NULL,
		"red x"
		"y\tz\n");
	fold((const char *const[]){"\033[12\nplain\n", NULL}, NULL, "\nplain\n");
}

Test(linefold, long_lines_are_cut_and_say_so)
{
	vk_autobuf in = VK_BUF_INIT(1 << 20), out = VK_BUF_INIT(1 << 20);
	struct linefold f;
	for (int i = 0; i < 3 * LINE_BYTES_MAX; i++)
		vk_buf_addc(&in, 'x');
	vk_buf_adds(&in, "\nshort\n");
	linefold_init(&f);
	linefold_feed(&f, in.data, in.len, 0, collect, &out);
	linefold_release(&f);
	cr_assert_eq(out.len, LINE_BYTES_MAX + strlen("\nshort\n"));
	cr_assert(strstr(vk_buf_str(&out), "x ... (line cut)\nshort\n") != NULL);
}

struct seen {
	char text[512];
	unsigned vertices, logs;
};

static void saw_vertex(void *arg, const struct buildkit_vertex *v)
{
	struct seen *s = arg;
	size_t n = strlen(s->text);
	s->vertices++;
	snprintf(s->text + n, sizeof(s->text) - n, "%.*s%s%s%s:%.*s;", (int)v->name.n, v->name.p,
		v->cached ? " cached" : "", v->started ? " started" : "",
		v->completed ? " completed" : "", (int)v->error.n, v->error.p);
}

static void saw_log(void *arg, const struct buildkit_log *l)
{
	struct seen *s = arg;
	size_t n = strlen(s->text);
	s->logs++;
	snprintf(s->text + n, sizeof(s->text) - n, "%.*s%llu>%.*s;", (int)l->vertex.n, l->vertex.p,
		(unsigned long long)l->stream, (int)l->text.n, l->text.p);
}

static const struct buildkit_events events = {.vertex = saw_vertex, .log = saw_log};

static int decode(const char *p, size_t n, struct seen *s)
{
	*s = (struct seen){0};
	return buildkit_decode(p, n, &events, s, NULL);
}

#define DECODE(bytes, seen) decode(bytes, sizeof(bytes) - 1, seen)

Test(buildkit, reads_vertices_and_logs_and_skips_the_rest)
{
	struct seen s;
	/* vertex {digest "d", inputs "i", name "ab", cached, started, completed, error "e"}, status {}, log */
	cr_assert_eq(DECODE("\x0a\x13\x0a\x01"
			    "d\x12\x01i\x1a\x02"
			    "ab\x20\x01\x2a\x00\x32\x00\x3a\x01"
			    "e"
			    "\x12\x02\x20\x05"
			    "\x1a\x08\x0a\x01"
			    "d\x18\x02\x22\x01x",
			     &s),
		0);
	cr_assert_str_eq(s.text, "ab cached started completed:e;d2>x;");
}

Test(buildkit, skips_fixed_width_fields)
{
	struct seen s;
	cr_assert_eq(DECODE("\x09"
			    "12345678\x15"
			    "1234\x0a\x05\x1a\x03xyz",
			     &s),
		0);
	cr_assert_str_eq(s.text, "xyz:;");
}

Test(buildkit, refuses_damage)
{
	struct seen s;
	cr_assert_eq(DECODE("\x0a\x05\x1a\x03xy", &s), VK_INVALID); /* record cut off */
	cr_assert_eq(
		DECODE("\x0a\x04\x1a\x03xy", &s), VK_INVALID); /* field longer than its record */
	cr_assert_eq(DECODE("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &s),
		VK_INVALID); /* varint too long */
	cr_assert_eq(DECODE("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", &s),
		VK_INVALID);                          /* length beyond the input */
	cr_assert_eq(DECODE("\x0b", &s), VK_INVALID); /* a group */
	cr_assert_eq(DECODE("\x00", &s), VK_INVALID); /* field 0 */
	cr_assert_eq(DECODE("\x80", &s), VK_INVALID);
	cr_assert_eq(DECODE("", &s), 0);
}

/* A whole recorded answer of an engine. */
struct replay {
	struct vk_buf out;
	struct buildlog log;
	struct progress p;
};

static int replay_line(void *arg, json_t *line, struct vk_err *err)
{
	return progress_line(arg, line, err);
}

static void replay(struct replay *r, const char *file)
{
	vk_autobuf text = VK_BUF_INIT(1 << 20);
	struct vk_jsonl lines;
	vk_buf_init(&r->out, 1 << 20);
	buildlog_init(&r->log, collect, &r->out);
	progress_init(&r->p, &r->log);
	cr_assert_eq(vk_fs_read(file, &text, NULL), 0, "%s", file);
	vk_jsonl_init(&lines, 1 << 20);
	cr_assert_eq(vk_jsonl_feed(&lines, text.data, text.len, replay_line, &r->p, NULL), 0);
	cr_assert_eq(vk_jsonl_end(&lines, replay_line, &r->p, NULL), 0);
	vk_jsonl_release(&lines);
	progress_end(&r->p);
}

static void replay_release(struct replay *r)
{
	progress_release(&r->p);
	buildlog_release(&r->log);
	vk_buf_release(&r->out);
}

static const struct limits limits = {.memory = 64 << 20, .pids = 50};

static void expect_failure(struct replay *r, const json_t *steps, const char *expected)
{
	struct vk_err err = {0};
	cr_assert_eq(failure_describe(&(struct failure){.source = "Dockerfile",
					      .source_is_file = true,
					      .steps = steps,
					      .progress = &r->p,
					      .limits = &limits},
			     &err),
		VK_FAILED);
	cr_assert_str_eq(err.msg, expected);
}

static json_t *exit3_steps(void)
{
	return json_pack("[[i,s],[i,s],[i,s],[i,s],[i,s],[i,s]]", 1, "FROM builder-test-base", 2,
		"WORKDIR /app", 3, "RUN echo hello; echo err >&2; cat /proc/self/cgroup", 4,
		"COPY a.txt /app/", 5, "RUN exit 3", 6, "EXPOSE 8080");
}

Test(progress, buildkit_steps_are_named_once_with_their_output)
{
	struct replay r;
	vk_autojson *steps = exit3_steps();
	replay(&r, CORPUS "buildkit-exit3.jsonl");
	const char *out = vk_buf_str(&r.out);
	cr_assert(strstr(out, "Step 1/5: FROM builder-test-base\n") == out, "%s", out);
	cr_assert(strstr(out,
			  "Step 3/5: RUN echo hello; echo err >&2; cat /proc/self/cgroup\n"
			  "err\nhello\n9:name=systemd:/docker/buildkit/") != NULL,
		"%s", out);
	cr_assert(strstr(out, "[internal]") == NULL && strstr(out, "copy /context") == NULL, "%s",
		out);
	cr_assert_null(strstr(strstr(out, "Step 2/5") + 1, "Step 2/5"));
	expect_failure(&r, steps, "build failed at Dockerfile:5: RUN exit 3: exit code 3");
	expect_failure(&r, NULL, "build failed: RUN exit 3: exit code 3");
	replay_release(&r);
}

Test(progress, classic_steps_look_the_same)
{
	struct replay r;
	vk_autojson *steps = exit3_steps();
	replay(&r, CORPUS "classic-exit3.jsonl");
	const char *out = vk_buf_str(&r.out);
	cr_assert(strstr(out,
			  "Step 1/6: FROM builder-test-base\nStep 2/6: WORKDIR /app\n"
			  "Step 3/6: RUN ") == out,
		"%s", out);
	cr_assert(strstr(out, "err\nhello\n") != NULL, "%s", out);
	cr_assert(strstr(out, "--->") == NULL && strstr(out, "intermediate") == NULL, "%s", out);
	expect_failure(&r, steps, "build failed at Dockerfile:5: RUN exit 3: exit code 3");
	replay_release(&r);
}

Test(progress, cached_steps_say_so)
{
	struct replay r;
	replay(&r, CORPUS "buildkit-cached.jsonl");
	cr_assert_str_eq(vk_buf_str(&r.out),
		"Step 1/2: FROM builder-test-base\n"
		"Step 2/2: RUN echo okk1\n(cached)\n");
	cr_assert(strncmp(r.p.image, "sha256:6d1d580e89d0", 19) == 0);
	cr_assert_null(r.p.error);
	replay_release(&r);
}

Test(progress, finished_images_are_known)
{
	struct replay r;
	replay(&r, CORPUS "classic-ok.jsonl");
	cr_assert_str_eq(r.p.image,
		"sha256:a0cdeece687448a12fb1a87af5dac5136529f60cfd1b299c52e453dc3e5ae76d");
	cr_assert_str_eq(vk_buf_str(&r.out),
		"Step 1/2: FROM builder-test-base\nStep 2/2: RUN echo okk1\nokk1\n");
	replay_release(&r);
}

static json_t *stages_steps(void)
{
	return json_pack("[[i,s],[i,s],[i,s],[i,s],[i,s],[i,s],[i,s],[i,s],[i,s],[i,s],[i,s]]", 1,
		"ARG B=builder-test-base", 2, "FROM $B AS base", 3, "ARG W=world", 4, "ENV X=1", 5,
		"RUN echo \"hello $W\"; sleep 0.3; printf 'a\\rb\\rc\\n'", 7,
		"FROM builder-test-base", 8, "COPY --from=base /bin/busybox /bb", 9,
		"RUN echo two; (sleep 0.1; echo x)", 10, "FROM base", 11, "RUN sh -c 'exit 4' $W",
		12, "COPY --from=1 /bb /bb");
}

Test(progress, the_step_that_failed_is_told_from_those_that_were_stopped)
{
	struct replay r;
	vk_autojson *steps = stages_steps();
	replay(&r, CORPUS "buildkit-stages.jsonl");
	cr_assert(strstr(vk_buf_str(&r.out), "Step base 2/2: RUN echo \"hello world\"") != NULL);
	cr_assert(strstr(vk_buf_str(&r.out), "\nc\n") != NULL, "%s", vk_buf_str(&r.out));
	cr_assert(strstr(vk_buf_str(&r.out), "\na\n") == NULL);
	expect_failure(
		&r, steps, "build failed at Dockerfile:11: RUN sh -c 'exit 4' $W: exit code 4");
	replay_release(&r);
	replay(&r, CORPUS "classic-stages.jsonl");
	expect_failure(
		&r, steps, "build failed at Dockerfile:11: RUN sh -c 'exit 4' $W: exit code 4");
	replay_release(&r);
}

Test(progress, other_failures_use_the_engines_words_without_the_wrapping)
{
	struct replay r;
	vk_autojson *steps = json_pack("[[i,s],[i,s],[i,s]]", 1, "FROM builder-test-base", 2,
		"RUN true", 3, "COPY nofile /x");
	replay(&r, CORPUS "buildkit-copy.jsonl");
	expect_failure(&r, steps,
		"build failed at Dockerfile:3: COPY nofile /x: \"/nofile\" not found: not found");
	replay_release(&r);
	replay(&r, CORPUS "classic-copy.jsonl");
	expect_failure(&r, steps,
		"build failed at Dockerfile:3: COPY nofile /x: COPY failed: file not found in "
		"build "
		"context or excluded by .dockerignore: stat nofile: file does not exist");
	replay_release(&r);
	replay(&r, CORPUS "buildkit-parse.jsonl");
	expect_failure(&r, steps, "build failed at Dockerfile:2: unknown instruction: RUNN");
	replay_release(&r);
}

Test(progress, steps_of_a_stage_are_counted_as_buildkit_counts)
{
	vk_autojson *steps = stages_steps();
	cr_assert_eq(failure_find_step(steps, "base", 1), 1);
	cr_assert_eq(failure_find_step(steps, "base", 2), 4); /* ARG and ENV do not count */
	cr_assert_eq(failure_find_step(steps, "stage-1", 3), 7);
	cr_assert_eq(failure_find_step(steps, "stage-2", 1), 9); /* FROM base: no image, no step */
	cr_assert_eq(failure_find_step(steps, "stage-2", 9), -1);
	vk_autojson *scratch = json_pack(
		"[[i,s],[i,s]]", 1, "from --platform=linux/amd64  scratch as X", 2, "copy a b");
	cr_assert_eq(failure_find_step(scratch, "x", 1), 1);
	cr_assert_eq(failure_find_step(steps, "nosuch", 1), -1);
	cr_assert_eq(failure_find_step(NULL, "", 1), -1);
}

Test(progress, output_that_looks_like_a_step_is_output)
{
	struct replay r;
	vk_buf_init(&r.out, 1 << 16);
	buildlog_init(&r.log, collect, &r.out);
	progress_init(&r.p, &r.log);
	vk_autojson *a = json_pack("{s:s}", "stream", "Step 1/2 : FROM x\n");
	vk_autojson *b = json_pack("{s:s}", "stream", "Step 9/9 : RUN lies\n");
	progress_line(&r.p, a, NULL);
	progress_line(&r.p, b, NULL);
	cr_assert_str_eq(vk_buf_str(&r.out), "Step 1/2: FROM x\nStep 9/9 : RUN lies\n");
	cr_assert_eq(r.p.classic_step, 1);
	replay_release(&r);
}

Test(progress, the_classic_builders_own_labels_are_not_shown)
{
	struct replay r;
	vk_buf_init(&r.out, 1 << 16);
	buildlog_init(&r.log, collect, &r.out);
	progress_init(&r.p, &r.log);
	r.p.own_steps = 2;
	vk_autojson *a = json_pack("{s:s}", "stream",
		"Step 1/3 : FROM x\nStep 2/3 : LABEL viking.a=1\n ---> Running in "
		"0123456789ab\nStep 3/3 : LABEL viking.b=2\n");
	progress_line(&r.p, a, NULL);
	cr_assert_str_eq(vk_buf_str(&r.out), "Step 1/1: FROM x\n");
	replay_release(&r);
}

Test(progress, total_output_is_capped_and_the_tail_is_kept)
{
	vk_autobuf out = VK_BUF_INIT(64 << 20);
	struct buildlog log;
	char line[4000];
	memset(line, 'x', sizeof(line));
	buildlog_init(&log, collect, &out);
	for (unsigned i = 0; i < BUILDLOG_BYTES_MAX / sizeof(line) + 10; i++)
		buildlog_line(&log, line, sizeof(line));
	for (int i = 0; i < TAIL_LINES; i++)
		buildlog_linef(&log, "line %d", i);
	cr_assert(out.len < BUILDLOG_BYTES_MAX + (1 << 20));
	cr_assert(strstr(out.data + out.len - 200, "the last lines)") != NULL);
	size_t cut = out.len;
	buildlog_end(&log);
	cr_assert(vk_starts(out.data + cut, "line 0\n"), "%.20s", out.data + cut);
	cr_assert(vk_ends(out.data, "line 19\n"));
	buildlog_end(&log);
	cr_assert_eq(out.len - cut, 10 * strlen("line 0\n") + 10 * strlen("line 10\n"));
	vk_autojson *tail = buildlog_tail(&log);
	cr_assert_eq(json_array_size(tail), TAIL_LINES);
	cr_assert_str_eq(json_string_value(json_array_get(tail, 0)), "line 0");
	cr_assert_str_eq(json_string_value(json_array_get(tail, TAIL_LINES - 1)), "line 19");
	buildlog_release(&log);
}
