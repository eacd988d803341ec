/* Conditional and range requests (RFC 9110, sections 13 and 14), for one strong entity tag. Pure.
 * */
#ifndef WEB_COND_H
#define WEB_COND_H

#include <stdbool.h>
#include <stdint.h>

/* Is `etag` (with its quotes) in an If-None-Match list, by weak comparison? "*" always is. */
bool cond_none_match(const char *header, const char *etag);

enum range_kind { RANGE_ALL, RANGE_PART, RANGE_UNSATISFIABLE };
/* A Range header of one byte range over a body of `size` bytes. Absent (NULL), several ranges,
 * another unit or bad syntax: RANGE_ALL. */
enum range_kind range_parse(
	const char *header, uint64_t size, uint64_t *ret_off, uint64_t *ret_len);

#endif
