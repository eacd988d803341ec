/* The HTTP/1.1 reader: the same bytes give the same head, body, end and verdict however they are split. */
#include <stdlib.h>
#include <viking/api.h>
#include <viking/mem.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_head(void *arg, int status, const char *type, bool upgrade, struct vk_err *err)
{
	(void)err;
	return vk_buf_addf(arg, "[%d %s %d]", status, type, upgrade);
}

static int on_body(void *arg, const void *p, size_t n, struct vk_err *err)
{
	(void)err;
	return vk_buf_add(arg, p, n);
}

static int on_end(void *arg, struct vk_err *err)
{
	(void)err;
	return vk_buf_addc(arg, '$');
}

static const struct vk_http1_events events = {on_head, on_body, on_end};

static int run(const uint8_t *data, size_t n, size_t step, struct vk_buf *log, size_t *ret_used)
{
	struct vk_http1 *h = vk_http1_new(&events, log);
	size_t at = 0;
	int rc = 0;
	while (rc == 0 && at < n) {
		size_t len = n - at < step ? n - at : step, used = 0;
		rc = vk_http1_feed(h, data + at, len, &used, NULL);
		at += used;
		if (used < len)
			break;
	}
	if (rc == 0)
		rc = vk_http1_eof(h, NULL);
	vk_http1_free(h);
	*ret_used = at;
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 1)
		return 0;
	size_t step = 1 + data[0] % 64, used_whole, used_split;
	vk_autobuf whole = VK_BUF_INIT(1 << 20), split = VK_BUF_INIT(1 << 20);
	int a = run(data + 1, n - 1, n, &whole, &used_whole);
	int b = run(data + 1, n - 1, step, &split, &used_split);
	if (a != b || (a == 0 && used_whole != used_split))
		abort();
	if (a == 0 &&
		(whole.len != split.len ||
			memcmp(vk_buf_str(&whole), vk_buf_str(&split), whole.len) != 0))
		abort();
	return 0;
}
