/* JSON lines: the same values at every split, no line over its limit, and what is printed parses again. */
#include <stdlib.h>
#include <viking/json.h>

#include "split.h"

#define LINE_MAX_BYTES 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_value(void *arg, json_t *value, struct vk_err *err)
{
	(void)err;
	vk_autofree char *text = vk_json_text(value);
	vk_autojson *again = NULL;
	/* the strict parser refuses NULs, which lines may hold */
	if (strstr(text, "\\u0000") == NULL) {
		if (vk_json_parse(text, strlen(text), &again, NULL) != 0 ||
			!json_equal(value, again))
			abort();
	}
	vk_buf_adds(arg, text);
	return vk_buf_addc(arg, '\n');
}

static int run(const uint8_t *data, size_t n, size_t step, struct vk_buf *log)
{
	struct vk_jsonl l;
	vk_jsonl_init(&l, LINE_MAX_BYTES);
	int rc = 0;
	for (size_t at = 0; rc == 0 && at < n; at += step)
		rc = vk_jsonl_feed(
			&l, data + at, n - at < step ? n - at : step, on_value, log, NULL);
	if (rc == 0)
		rc = vk_jsonl_end(&l, on_value, log, NULL);
	if (l.buf.cap > 2 * LINE_MAX_BYTES + 64)
		abort();
	vk_jsonl_release(&l);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 1)
		return 0;
	vk_autobuf log = VK_BUF_INIT(1 << 22);
	split_check(data, n, run, &log);
	vk_autojson *safe = vk_json_safe_string((const char *)data, n);
	if (safe == NULL)
		abort();
	vk_autofree char *text = vk_json_text(safe);
	vk_autojson *back = NULL;
	if (n < 100000 && vk_json_parse(text, strlen(text), &back, NULL) != 0)
		abort();
	return 0;
}
