/* Docker's framed streams: the same bytes on the same streams at every split, none invented, none lost. */
#include <stdlib.h>
#include <viking/engine.h>

#include "split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_frame(void *arg, int stream, const void *p, size_t n)
{
	struct vk_buf *log = arg;
	if (stream != 1 && stream != 2)
		abort();
	for (size_t i = 0; i < n; i++) {
		vk_buf_addc(log, (char)('0' + stream));
		vk_buf_addc(log, ((const char *)p)[i]);
	}
	return 0;
}

static int run(const uint8_t *data, size_t n, size_t step, struct vk_buf *log)
{
	struct vk_frames f = {0};
	int rc = 0;
	for (size_t at = 0; rc == 0 && at < n; at += step)
		rc = vk_frames_feed(
			&f, data + at, n - at < step ? n - at : step, on_frame, log, NULL);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 1)
		return 0;
	vk_autobuf log = VK_BUF_INIT(1 << 22);
	split_check(data, n, run, &log);
	if (log.len / 2 > n - 1)
		abort();
	return 0;
}
