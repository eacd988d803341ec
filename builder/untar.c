#include "untar.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BLOCK   512
#define SIZE_AT 124
#define TYPE_AT 156

static int octal(const char *field, size_t width, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;
	while (i < width && field[i] == ' ')
		i++;
	for (; i < width && field[i] >= '0' && field[i] <= '7'; i++)
		v = v * 8 + (uint64_t)(field[i] - '0');
	if (i < width && field[i] != '\0' && field[i] != ' ')
		return VK_INVALID;
	*ret = v;
	return 0;
}

static void last_part(const char *field, char out[static 101])
{
	size_t n = strnlen(field, 100), from = 0;
	for (size_t i = 0; i + 1 < n; i++)
		if (field[i] == '/')
			from = i + 1;
	memcpy(out, field + from, n - from);
	out[n - from] = '\0';
}

int untar_next(const char *tar, size_t n, size_t *at, struct untar_file *ret, struct vk_err *err)
{
	bool skip = false; /* what follows has another name than it says */
	while (*at + BLOCK <= n && tar[*at] != '\0') {
		const char *h = tar + *at;
		uint64_t size;
		if (octal(h + SIZE_AT, 12, &size) != 0 || size > n - *at - BLOCK)
			return vk_err_set(err, VK_INVALID, "what the engine sent is no whole tar");
		size_t from = *at + BLOCK;
		char type = h[TYPE_AT];
		*at = from + (size_t)((size + BLOCK - 1) / BLOCK * BLOCK);
		if (*at > n)
			*at = n;
		bool file = type == '0' || type == '\0';
		if (file && !skip) {
			last_part(h, ret->name);
			ret->data = tar + from;
			ret->n = (size_t)size;
			return 0;
		}
		skip = type == 'x' || type == 'L' || type == 'K';
	}
	return vk_err_set(err, VK_NOTFOUND, "no more files");
}
