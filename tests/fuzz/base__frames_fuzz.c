/* Docker's framed streams: the same bytes on the same streams at every split, none invented, none lost. */
#include <stdlib.h>
#include <viking/engine.h>

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
	vk_autobuf whole = VK_BUF_INIT(1 << 22), split = VK_BUF_INIT(1 << 22);
	int a = run(data + 1, n - 1, n, &whole);
	int b = run(data + 1, n - 1, 1 + data[0] % 16, &split);
	if (a != b || whole.len != split.len ||
		memcmp(vk_buf_str(&whole), vk_buf_str(&split), whole.len) != 0)
		abort();
	if (whole.len / 2 > n - 1)
		abort();
	return 0;
}
