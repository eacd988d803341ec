/*
 * The engine's answer to POST /build: JSON lines, BuildKit's records inside them, and the output of tenants'
 * programs inside those. The input is fed twice, whole and split at a place it chooses; both must give the same
 * lines, no line may carry a control byte or be longer than its limit.
 */
#undef NDEBUG /* the checks are the test */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "buildkit.h"
#include "failure.h"
#include "progress.h"

#define OUT_MAX (64u << 20)

static void on_out(void *arg, const char *line, size_t n)
{
	struct vk_buf *all = arg;
	assert(n <= LINE_BYTES_MAX + 64);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)line[i];
		assert(c == '\t' || (c >= 0x20 && c != 0x7f));
	}
	vk_buf_add(all, line, n);
	vk_buf_addc(all, '\n');
}

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	return progress_line(arg, line, err);
}

static void run(const uint8_t *data, size_t n, size_t split, struct vk_buf *out)
{
	struct buildlog log;
	struct progress p;
	struct vk_jsonl lines;
	struct vk_err err = {0};
	buildlog_init(&log, on_out, out);
	progress_init(&p, &log);
	vk_jsonl_init(&lines, 1 << 20);
	if (vk_jsonl_feed(&lines, data, split, on_line, &p, NULL) == 0)
		vk_jsonl_feed(&lines, data + split, n - split, on_line, &p, NULL);
	vk_jsonl_end(&lines, on_line, &p, NULL);
	progress_end(&p);
	struct limits limits = {.memory = 1 << 30, .pids = 100};
	vk_autojson *steps =
		json_pack("[[i,s],[i,s],[i,s]]", 1, "FROM a AS base", 2, "RUN x", 7, "COPY . .");
	failure_describe(
		&(struct failure){
			.source = "Dockerfile", .steps = steps, .progress = &p, .limits = &limits},
		&err);
	assert(err.code == VK_FAILED && strchr(err.msg, '\n') == NULL);
	json_decref(buildlog_tail(&log));
	vk_jsonl_release(&lines);
	progress_release(&p);
	buildlog_release(&log);
}

static void no_vertex(void *arg, const struct buildkit_vertex *v)
{
	(void)arg;
	(void)v;
}

static void no_log(void *arg, const struct buildkit_log *l)
{
	(void)arg;
	(void)l;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct buildkit_events none = {.vertex = no_vertex, .log = no_log};
	vk_autobuf whole = VK_BUF_INIT(OUT_MAX), parts = VK_BUF_INIT(OUT_MAX);
	buildkit_decode(
		data, n, &none, NULL, NULL); /* the decoder by itself, without base64 in the way */
	run(data, n, n, &whole);
	run(data, n, n > 0 ? data[0] % n : 0, &parts);
	assert(whole.len == parts.len &&
		memcmp(vk_buf_str(&whole), vk_buf_str(&parts), whole.len) == 0);
	return 0;
}
