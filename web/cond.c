#include "cond.h"

#include <string.h>
#include <viking/str.h>

/* One tag of the list, without W/; NULL at the end or at what is no tag. */
static const char *next_tag(const char **at, size_t *ret_n)
{
	const char *s = *at + strspn(*at, " \t,");
	if (vk_starts(s, "W/"))
		s += 2;
	const char *end = s[0] == '"' ? strchr(s + 1, '"') : NULL;
	if (end == NULL)
		return NULL;
	*ret_n = (size_t)(end - s) + 1;
	*at = end + 1;
	return s;
}

bool cond_none_match(const char *header, const char *etag)
{
	size_t n, want = strlen(etag);
	if (header == NULL)
		return false;
	if (strcmp(header, "*") == 0)
		return true;
	for (const char *tag; (tag = next_tag(&header, &n)) != NULL;)
		if (n == want && memcmp(tag, etag, n) == 0)
			return true;
	return false;
}

/* Digits from s to the end of `n` bytes; an empty one is not a number. */
static bool number(const char *s, size_t n, uint64_t *ret)
{
	char text[24];
	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	return vk_parse_u64(text, 0, UINT64_MAX, ret) == 0;
}

enum range_kind range_parse(const char *header, uint64_t size, uint64_t *ret_off, uint64_t *ret_len)
{
	uint64_t first = 0, last = UINT64_MAX;
	if (header == NULL || !vk_starts(header, "bytes="))
		return RANGE_ALL;
	const char *s = header + strlen("bytes="), *dash = strchr(s, '-');
	if (dash == NULL || strchr(s, ',') != NULL)
		return RANGE_ALL;
	size_t n = strlen(dash + 1);
	if (dash == s) { /* the last so many bytes */
		uint64_t tail;
		if (!number(dash + 1, n, &tail))
			return RANGE_ALL;
		if (tail == 0 || size == 0)
			return RANGE_UNSATISFIABLE;
		*ret_len = tail < size ? tail : size;
		*ret_off = size - *ret_len;
		return RANGE_PART;
	}
	if (!number(s, (size_t)(dash - s), &first) || (n > 0 && !number(dash + 1, n, &last)) ||
		last < first)
		return RANGE_ALL;
	if (first >= size)
		return RANGE_UNSATISFIABLE;
	*ret_off = first;
	*ret_len = (last < size ? last + 1 : size) - first;
	return RANGE_PART;
}
