/* The frames of run, enter and git between hosts: the same whole frames at every split, none longer than allowed. */
#include <stdlib.h>
#include <viking/exec_frames.h>

#include "split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_frame(void *arg, int type, const void *p, size_t n)
{
	struct vk_buf *log = arg;
	if (type < 0 || type > 255 || n > VK_EXEC_MAX)
		abort();
	vk_buf_addf(log, "%d %zu ", type, n);
	vk_buf_add(log, p, n);
	return 0;
}

static int run(const uint8_t *data, size_t n, size_t step, struct vk_buf *log)
{
	struct vk_exec_frames f;
	int rc = 0;
	vk_exec_frames_init(&f);
	for (size_t at = 0; rc == 0 && at < n; at += step)
		rc = vk_exec_frames_feed(
			&f, data + at, n - at < step ? n - at : step, on_frame, log, NULL);
	vk_exec_frames_release(&f);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 1)
		return 0;
	vk_autobuf log = VK_BUF_INIT(1 << 22);
	split_check(data, n, run, &log);
	return 0;
}
