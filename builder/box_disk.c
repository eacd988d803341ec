#include "box_disk.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "box.h"
#include "disk_watch.h"

#define MEASURE_MS      60000
#define ALLOWANCE_MIN   (16u << 20) /* nearer to the limit than that it is not measured each second */
#define ALLOWANCE_BLIND (256u << 20)
#define DU_BYTES        4096

static int free_bytes(const struct box *b, uint64_t *ret)
{
	return disk_free(b->disk.root, b->j->config->state_dir, ret);
}

void box_disk_start(struct box *b)
{
	vk_freep(&b->disk.root);
	b->disk.root = disk_root(b->j->engine);
	b->disk.allowance =
		0; /* what an earlier build left in the cache counts: measured at once */
	b->disk.measure_ms = 0;
	if (free_bytes(b, &b->disk.free) != 0)
		b->disk.free = 0;
}

/* -- measuring ------------------------------------------------------------------------------- */

static int layer_bytes(const struct box *b, uint64_t *ret, struct vk_err *err)
{
	vk_autojson *shown = NULL;
	vk_autofree char *path = vk_asprintf("/containers/%s/json?size=1", b->id);
	int code = vk_engine_call(b->j->engine, "GET", path, NULL, MEASURE_MS, &shown, err);
	int64_t n = vk_json_int(shown, "SizeRw", 0);
	*ret = n > 0 ? (uint64_t)n : 0;
	return code;
}

static int on_frame(void *arg, int stream, const void *p, size_t n)
{
	return stream == 1 ? vk_buf_add(arg, p, n) : 0;
}

static int read_frames(int fd, struct vk_buf *early, struct vk_buf *out, struct vk_err *err)
{
	struct vk_frames frames = {0};
	int64_t deadline = vk_mono_ms() + MEASURE_MS;
	int code = vk_frames_feed(&frames, vk_buf_str(early), early->len, on_frame, out, err);
	while (code == 0) {
		char chunk[4096];
		int64_t left = deadline - vk_mono_ms();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return vk_err_set(err, VK_TIMEOUT, "du took too long");
		ssize_t got = read(fd, chunk, sizeof(chunk));
		if (got <= 0)
			break;
		code = vk_frames_feed(&frames, chunk, (size_t)got, on_frame, out, err);
	}
	return code;
}

/* The cache is a volume, which the engine measures only together with everything it has. du of the stack image, which the
 * build's user cannot change, as root: he may have closed his directories. */
static int cache_bytes(const struct box *b, uint64_t *ret, struct vk_err *err)
{
	vk_autojson *made = NULL,
		    *exec = json_pack("{s:s, s:b, s:[s,s,s,s]}", "User", "0", "AttachStdout", 1,
			    "Cmd", "/usr/bin/du", "-sx", "-B1", "/cache");
	vk_autojson *start = json_pack("{s:b, s:b}", "Detach", 0, "Tty", 0);
	vk_autobuf early = VK_BUF_INIT(DU_BYTES), out = VK_BUF_INIT(DU_BYTES);
	vk_autoclose int fd = -1;
	vk_autofree char *create = vk_asprintf("/containers/%s/exec", b->id);
	int code = vk_engine_call(b->j->engine, "POST", create, exec, 0, &made, err);
	vk_autofree char *run = vk_asprintf("/exec/%s/start", vk_json_str(made, "Id", ""));
	if (code == 0)
		code = vk_engine_hijack(b->j->engine, run, start, &fd, &early, err);
	if (code == 0)
		code = read_frames(fd, &early, &out, err);
	if (code != 0)
		return code;
	char *end = strchrnul(vk_buf_str(&out), '\t');
	vk_autofree char *number = vk_strndup(vk_buf_str(&out), (size_t)(end - vk_buf_str(&out)));
	return vk_parse_u64(number, 0, UINT64_MAX, ret) == 0
		? 0
		: vk_err_set(err, VK_INTERNAL, "du said no number");
}

static int over(const struct box *b, uint64_t layer, uint64_t cache, struct vk_err *err)
{
	char all[24], part[24], limit[24];
	vk_format_size(layer + cache, all);
	vk_format_size(cache, part);
	vk_format_size(b->limits.disk, limit);
	vk_err_set(err, VK_LIMIT,
		"the build takes %s of disk, %s of it in its cache (builds.disk is %s)", all, part,
		limit);
	return vk_err_hint(err,
		cache > layer ? "empty the cache: git push -o no-cache; or raise builds.disk in "
				"/etc/viking/viking.conf"
			      : "let it write less, or raise builds.disk in "
				"/etc/viking/viking.conf");
}

/* A builder image without du, or no room for another process: then it is measured more often. */
static int measure(struct box *b, uint64_t now_free, struct vk_err *err)
{
	uint64_t layer = 0, cache = 0, limit = b->limits.disk;
	if (layer_bytes(b, &layer, NULL) != 0)
		return 0;
	bool knows = !b->has_cache || cache_bytes(b, &cache, NULL) == 0;
	if (layer + cache > limit)
		return over(b, layer, cache, err);
	uint64_t left = limit - layer - cache;
	if (!knows && left > ALLOWANCE_BLIND)
		left = ALLOWANCE_BLIND;
	b->disk.allowance = left > ALLOWANCE_MIN ? left : ALLOWANCE_MIN;
	b->disk.free = now_free;
	b->disk.measure_ms = vk_mono_ms() + MEASURE_MS;
	return 0;
}

int box_disk_look(struct box *b, struct vk_err *err)
{
	uint64_t now, floor = b->j->config->free_bytes_min / 2;
	if (free_bytes(b, &now) != 0)
		return 0;
	b->disk.full = now < floor;
	if (b->disk.full)
		return vk_err_set(err, VK_LIMIT, "the disk is nearly full");
	bool gone = b->disk.free > now && b->disk.free - now >= b->disk.allowance;
	return gone || vk_mono_ms() >= b->disk.measure_ms ? measure(b, now, err) : 0;
}
