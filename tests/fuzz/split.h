/* For readers that are fed piece by piece: where the pieces end must not matter. */
#ifndef FUZZ_SPLIT_H
#define FUZZ_SPLIT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

/* Feeds n bytes in pieces of step and writes what came out to log; its result must not depend on step either. */
typedef int split_run(const uint8_t *data, size_t n, size_t step, struct vk_buf *log);

/* data[1..n) at once and in pieces whose size data[0] chooses; what came out is added to log, an empty buffer of 4 MiB at most. */
static inline void split_check(const uint8_t *data, size_t n, split_run *run, struct vk_buf *log)
{
	vk_autobuf split = VK_BUF_INIT(1 << 22);
	int a = run(data + 1, n - 1, n, log);
	int b = run(data + 1, n - 1, 1 + data[0] % 64, &split);
	if (a != b || log->len != split.len ||
		memcmp(vk_buf_str(log), vk_buf_str(&split), split.len) != 0)
		abort();
}

#endif
