/* One run of a box: attached before it starts, watched until it ends. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <viking/buildcgroup.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "box.h"
#include "linefold.h"

#define WATCH_MS 1000 /* how often the disk is looked at */
#define CLEANUP_MS \
	10000 /* before the job's own deadline: to say which pack it was, and to clean up */

/* -- output ---------------------------------------------------------------------------------- */

struct output {
	struct box *b;
	struct vk_frames frames;
	struct linefold folds[2]; /* stdout, stderr: each with lines of its own */
};

static void on_line(void *arg, const char *line, size_t n)
{
	struct output *o = arg;
	buildlog_line(&o->b->j->log, line, n);
}

static int on_frame(void *arg, int stream, const void *p, size_t n)
{
	struct output *o = arg;
	linefold_feed(&o->folds[stream == 2], p, n, vk_mono_ms(), on_line, o);
	return 0;
}

static int too_late(const struct box *b, struct vk_err *err)
{
	char took[24];
	vk_format_duration_ms((int64_t)b->j->config->build_timeout_ms, took);
	vk_err_set(err, VK_TIMEOUT, "the build took longer than %s (builds.timeout)", took);
	return vk_err_hint(
		err, "make it faster, or raise builds.timeout in /etc/viking/viking.conf");
}

/* 0: its output has ended. */
static int follow(struct output *o, int fd, struct vk_err *err)
{
	struct box *b = o->b;
	vk_autofree char *chunk = vk_alloc(65536);
	int64_t end = b->j->started_ms + (int64_t)b->j->config->build_timeout_ms - CLEANUP_MS;
	if (end < vk_mono_ms() + WATCH_MS) /* a deadline that short leaves no room */
		end = vk_mono_ms() + WATCH_MS;
	for (int64_t look = vk_mono_ms() + WATCH_MS;;) {
		struct pollfd p[2] = {
			{.fd = fd, .events = POLLIN}, {.fd = b->cancel_fd, .events = POLLIN}};
		int n = poll(p, 2, WATCH_MS);
		if (n < 0 && errno != EINTR)
			return vk_err_errno(err, errno, "poll");
		if (p[1].revents != 0)
			return vk_err_set(err, VK_CANCELLED, "cancelled");
		if (vk_mono_ms() >= end)
			return too_late(b, err);
		if (vk_mono_ms() >= look) {
			int code = box_disk_look(b, err);
			if (code != 0)
				return code;
			look = vk_mono_ms() + WATCH_MS;
		}
		if (n <= 0 || p[0].revents == 0)
			continue;
		ssize_t got = read(fd, chunk, 65536);
		if (got <= 0)
			return 0;
		int code = vk_frames_feed(&o->frames, chunk, (size_t)got, on_frame, o, err);
		if (code != 0)
			return code;
	}
}

/* -- run ------------------------------------------------------------------------------------- */

static int start(struct box *b, struct vk_err *err)
{
	vk_autofree char *path = vk_asprintf("/containers/%s/start", b->id);
	int code = vk_engine_call(b->j->engine, "POST", path, NULL, 0, NULL, err);
	b->started = code == 0;
	return code;
}

static int result(struct box *b, int *ret_status, struct vk_err *err)
{
	vk_autojson *waited = NULL, *shown = NULL;
	vk_autofree char *wait = vk_asprintf("/containers/%s/wait", b->id);
	vk_autofree char *look = vk_asprintf("/containers/%s/json", b->id);
	int code = vk_engine_call(b->j->engine, "POST", wait, NULL, 60000, &waited, err);
	if (code == 0)
		code = vk_engine_call(b->j->engine, "GET", look, NULL, 0, &shown, err);
	if (code != 0)
		return code;
	*ret_status = (int)vk_json_int(waited, "StatusCode", -1);
	b->out_of_memory = vk_json_bool(json_object_get(shown, "State"), "OOMKilled", false);
	return 0;
}

int box_run(struct box *b, int *ret_status, struct vk_err *err)
{
	vk_autobuf early = VK_BUF_INIT(1 << 20);
	vk_autoclose int fd = -1;
	vk_autofree char *path =
		vk_asprintf("/containers/%s/attach?stream=1&stdout=1&stderr=1", b->id);
	struct output o = {.b = b};
	uint64_t hits = vk_build_cgroup_memory_hits(VK_CGROUP_ROOT);
	box_disk_start(b);
	int code = vk_engine_hijack(b->j->engine, path, NULL, &fd, &early, err);
	if (code == 0)
		code = start(b, err);
	if (code != 0)
		return code;
	linefold_init(&o.folds[0]);
	linefold_init(&o.folds[1]);
	code = vk_frames_feed(&o.frames, vk_buf_str(&early), early.len, on_frame, &o, err);
	if (code == 0)
		code = follow(&o, fd, err);
	for (size_t i = 0; i < 2; i++) {
		linefold_end(&o.folds[i], on_line, &o);
		linefold_release(&o.folds[i]);
	}
	if (code == 0)
		code = result(b, ret_status, err);
	b->out_of_memory |= vk_build_cgroup_memory_hits(VK_CGROUP_ROOT) > hits;
	return code;
}
