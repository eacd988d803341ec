/* Any bytes as a Dockerfile: no crash; what is accepted, and rewritten, has as many lines as
 * before, names no boat any more where one was named, and nothing that is refused. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dockerfile.h"

static size_t count_lines(const char *s, size_t n)
{
	size_t lines = 0;
	for (size_t i = 0; i < n; i++)
		lines += s[i] == '\n';
	return lines;
}

static void check(
	const struct dockerfile *d, const char *text, size_t n, const struct dockerfile_opts *o)
{
	vk_autobuf out = VK_BUF_INIT(16 << 20);
	struct dockerfile *again = NULL;
	struct vk_err err = {0};
	if (dockerfile_rewrite(d, text, n, NULL, "registry.example:5000", &out, &err) != 0)
		abort();
	if (count_lines(vk_buf_str(&out), out.len) != count_lines(text, n))
		abort();
	for (size_t i = 0; i < d->n; i++)
		if (!d->uses[i].is_boat &&
			image_name_forbidden(d->uses[i].image, o->registry, NULL) != 0)
			abort();
	if (out.len <= DOCKERFILE_MAX &&
		dockerfile_scan(vk_buf_str(&out), out.len, o, &again, &err) == 0) {
		for (size_t i = 0; i < again->n; i++)
			if (again->uses[i].is_boat)
				abort();
		if (again->n != d->n)
			abort();
	}
	dockerfile_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct dockerfile_opts o = {.file = "Dockerfile", .registry = "127.0.0.1:5000"};
	struct dockerfile *d = NULL;
	if (dockerfile_scan((const char *)data, n, &o, &d, NULL) == 0)
		check(d, (const char *)data, n, &o);
	dockerfile_free(d);
	return 0;
}
